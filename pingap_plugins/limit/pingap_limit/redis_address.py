"""Addresses of Redis. Checking one needs no client, so a configuration without Redis does not load any."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_SCHEMES: Final = (
    "redis",
    "rediss",
    "redis+unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


def check_address(url: str) -> None:
    """Check an address. Messages do not contain it, since it may contain a password.

    :raises ValueError: it is none.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in _SCHEMES:
        known = ", ".join(f"{one}://" for one in _SCHEMES)
        raise ValueError(f"storage begins with none of {known}")
    if scheme == "redis+unix":
        if not rest.startswith("/"):
            raise ValueError("storage lacks the path of a socket: redis+unix:///run/redis.sock")
        return
    _check_places(scheme, urlsplit(url).netloc.rpartition("@")[2])
    if scheme.endswith("sentinel") and not urlsplit(url).path.strip("/"):
        raise ValueError("storage lacks the name of the service: redis+sentinel://host:port/name")
    if scheme.endswith(("sentinel", "cluster")) and urlsplit(url).query:
        raise ValueError("storage: sentinels and clusters have no parameters")


def _check_places(scheme: str, places: str) -> None:
    found = places.split(",")
    if len(found) > 1 and not scheme.endswith(("sentinel", "cluster")):
        raise ValueError(f"storage: several hosts, expected one with {scheme}://")
    for place in found:
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError("storage: a host has no port, expected host:port")
