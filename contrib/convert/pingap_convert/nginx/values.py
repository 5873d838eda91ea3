"""Values of nginx in the notation of pingap."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(\d+)([kKmMgG]?)")
_TIME: Final = re.compile(r"(?:\d+(?:ms|[smhdwMy]))+")
_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z0-9_]+)\}?")
_VARIABLES: Final = {
    "args": "$args",
    "host": "$host",
    "hostname": "$hostname",
    "proxy_add_x_forwarded_for": "$proxy_add_x_forwarded_for",
    "query_string": "$args",
    "remote_addr": "$remote_addr",
    "remote_port": "$remote_port",
    "request_id": "$request_id",
    "request_method": "$method",
    "request_uri": "$uri",
    "scheme": "$scheme",
    "server_addr": "$server_addr",
    "server_port": "$server_port",
    "upstream_addr": "$upstream_addr",
}


def size(text: str) -> str:
    """Return a size: ``10m`` becomes ``10MiB``.

    :raises ValueError: it is none.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is not a size")
    unit = f"{found[2].upper()}iB" if found[2] else "B"
    return f"{found[1]}{unit}"


def duration(text: str) -> str:
    """Return a time: ``60`` becomes ``60s``.

    :raises ValueError: it is none.
    """
    if text.isdecimal():
        return f"{text}s"
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text} is not a time")
    return text


def header_value(text: str) -> str:
    """Return a header value, which may be one variable.

    :raises ValueError: pingap has no form for it.
    """
    if "$" not in text:
        return text
    found = _VARIABLE.fullmatch(text)
    if found is None:
        raise ValueError("a variable can only be a whole value")
    if found[1].startswith("http_"):
        return f"${found[1]}"
    if found[1] not in _VARIABLES:
        raise ValueError(f"there is no variable such as ${found[1]}")
    return _VARIABLES[found[1]]
