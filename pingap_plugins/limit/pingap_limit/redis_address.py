"""Addresses of Redis. Checking one needs no client, so a configuration without Redis does not load any."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_SCHEMES: Final = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
Parameter: TypeAlias = str | int | bool

_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OF_SENTINELS: Final = ("sentinel_username", "sentinel_password")


def check_address(url: str) -> None:
    """Check an address. Messages do not contain it, since it may contain a password.

    :raises ValueError: it is none.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in _SCHEMES:
        known = ", ".join(f"{one}://" for one in _SCHEMES)
        raise ValueError(f"storage begins with none of {known}")
    parameters(url)
    if scheme == "redis+unix":
        if not rest.startswith("/"):
            raise ValueError("storage lacks the path of a socket: redis+unix:///run/redis.sock")
        return
    parts = urlsplit(url)
    _check_places(scheme, parts.netloc.rpartition("@")[2])
    _check_path(scheme, parts.path.strip("/"))


def parameters(url: str) -> dict[str, Parameter]:
    """Return the parameters behind the ``?`` of an address.

    :raises ValueError: one of them is unknown, or has an invalid value.
    """
    parts = urlsplit(url)
    known = _known_parameters(parts)
    found: dict[str, Parameter] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            expected = f"expected {', '.join(known)}" if known else "there are none"
            raise ValueError(f"storage: unknown parameter for {parts.scheme}://: {expected}")
        found[name] = _parameter(name, value)
    return found


def _known_parameters(parts: SplitResult) -> list[str]:
    known = [] if parts.scheme.endswith("cluster") else ["db"]
    if parts.scheme.startswith("rediss"):
        known += (*_FILES, "ssl_check_hostname")
    if parts.scheme.endswith("sentinel"):
        known += _OF_SENTINELS
    return known


def _parameter(name: str, value: str) -> Parameter:
    if name == "db":
        return _number(value)
    if name == "ssl_check_hostname":
        if value not in ("true", "false"):
            raise ValueError(f"storage: {name} is neither true nor false")
        return value == "true"
    if name in _FILES and not Path(value).is_file():
        raise ValueError(f"storage: the file of {name} does not exist")
    return value


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("storage: the database is not a number")
    return int(text)


def _check_places(scheme: str, places: str) -> None:
    found = places.split(",")
    if len(found) > 1 and not scheme.endswith(("sentinel", "cluster")):
        raise ValueError(f"storage: several hosts, expected one with {scheme}://")
    for place in found:
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError("storage: a host has no port, expected host:port")


def _check_path(scheme: str, path: str) -> None:
    if scheme.endswith("sentinel"):
        if not path:
            raise ValueError(
                "storage lacks the name of the service: redis+sentinel://host:port/name"
            )
    elif scheme.endswith("cluster"):
        if path:
            raise ValueError("storage: a cluster has no numbered databases")
    elif path:
        _number(unquote(path))
