"""Addresses of Redis, and the storage of the library limits for each kind."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote, urlsplit

from limits.aio.storage import (
    RedisClusterStorage,
    RedisSentinelStorage,
    RedisStorage,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_SCHEMES: Final[dict[str, tuple[str, type[RedisStorage], bool]]] = {
    "redis": ("redis", RedisStorage, False),
    "rediss": ("rediss", RedisStorage, False),
    "redis+unix": ("redis+unix", RedisStorage, False),
    "redis+sentinel": ("redis+sentinel", RedisSentinelStorage, False),
    "rediss+sentinel": ("redis+sentinel", RedisSentinelStorage, True),
    "redis+cluster": ("redis+cluster", RedisClusterStorage, False),
    "rediss+cluster": ("redis+cluster", RedisClusterStorage, True),
}
"""Scheme -> that of the library, its class, and whether TLS is an option."""


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


def open_storage(url: str, prefix: str, timeout: float, connections: int) -> RedisStorage:
    """Return the storage for an address that was checked. It connects when it is used.

    :param prefix: of all keys.
    :param timeout: seconds for each answer.
    :param connections: maximum number of connections, for each node of a cluster.
    """
    scheme, _, rest = url.partition("://")
    ours, storage, tls = _SCHEMES[scheme]
    options: dict[str, Any] = {
        "max_connections": connections,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 1),  # type: ignore[no-untyped-call]  # a connection that was idle
    }
    if tls:
        options["ssl"] = True
    if scheme.endswith(("sentinel", "cluster")):
        parts = urlsplit(url)
        for name, value in (("username", parts.username), ("password", parts.password)):
            if value:
                options[name] = unquote(value)  # which the library does not do
    return storage(f"async+{ours}://{rest}", implementation="redispy", key_prefix=prefix, **options)
