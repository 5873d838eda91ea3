"""Host names: a single spelling for all equivalent ones (RFC 3986, 6.2.2; RFC 4343)."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import unquote

from pingap.http.errors import BadRequest

_HOST: Final = re.compile(
    rb"(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z\-._~%!$&'()*+,;=]*)(?::[0-9]{0,5})?"
)


_LONGEST_HOST: Final = 255 + len(":65535")
"""Maximum size of a host with its port: DNS names have at most 255 bytes (RFC 1035, 2.3.4)."""


def normal_host(host: str) -> str:
    """Return a host in the form in which hosts are compared: in lower case, without a final dot.

    An IPv6 literal keeps its brackets and is written as in RFC 5952.

    :param host: ASCII, without port; may be empty.
    :raises ValueError: it has an empty label, or is not a valid IPv6 address.
    """
    if host.startswith("["):
        address = IPv6Address(host[1:-1])
        if (inner := address.ipv4_mapped) is not None:  # as Python 3.13 writes it, too
            return f"[::ffff:{inner}]"
        return f"[{address}]"
    name = (unquote(host) if "%" in host else host).lower()
    if not name.isascii() or not name.isprintable():
        raise ValueError(f"{host!r} is not a host")
    if name == "." or ".." in name:
        raise ValueError(f"{host!r} has an empty label")
    return name.removesuffix(".")


@lru_cache(maxsize=1024)
def parse_host(value: bytes) -> str:
    """Return the normalised host of ``host[:port]`` (see ``normal_host``).

    :raises BadRequest: not a host (RFC 9112, 3.2), or too long.
    """
    if len(value) > _LONGEST_HOST or not (match := _HOST.fullmatch(value)):
        raise BadRequest("Invalid Host header")
    if not match["host"] and value:  # a port without a host: RFC 9110, 4.2.1
        raise BadRequest("Invalid Host header")
    try:
        return normal_host(match["host"].decode("ascii"))
    except ValueError:
        raise BadRequest("Invalid Host header") from None
