"""The storages of the library limits for Redis."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote, urlsplit

from limits.aio.storage import RedisClusterStorage, RedisSentinelStorage, RedisStorage
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_STORAGES: Final[dict[str, type[RedisStorage]]] = {
    "sentinel": RedisSentinelStorage,
    "cluster": RedisClusterStorage,
}


def open_storage(url: str, prefix: str, timeout: float, connections: int) -> RedisStorage:
    """Return the storage for an address that was checked. It connects when it is used.

    :param prefix: of all keys.
    :param timeout: seconds for each answer.
    :param connections: maximum number of connections, for each node of a cluster.
    """
    scheme, _, rest = url.partition("://")
    storage = _STORAGES.get(scheme.partition("+")[2], RedisStorage)
    options: dict[str, Any] = {
        "max_connections": connections,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 1),  # a connection that was idle
    }
    if storage is not RedisStorage:
        parts = urlsplit(url)
        if scheme.startswith("rediss"):
            scheme = scheme.replace("rediss", "redis")
            options["ssl"] = True
        for name, value in (("username", parts.username), ("password", parts.password)):
            if value:
                options[name] = unquote(value)  # which the library does not do
    return storage(
        f"async+{scheme}://{rest}", implementation="redispy", key_prefix=prefix, **options
    )
