"""The storages of the library limits for Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from limits.aio.storage import RedisClusterStorage, RedisSentinelStorage, RedisStorage
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from pingap_limit.redis_address import Parameter, parameters

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
    scheme, _, rest = url.partition("?")[0].partition("://")
    storage, given = _STORAGES.get(scheme.partition("+")[2], RedisStorage), parameters(url)
    common = {"socket_timeout": timeout, "socket_connect_timeout": timeout, **_tls(scheme, given)}
    options: dict[str, Any] = {**common, "max_connections": connections, "retry": _retry()}
    if "db" in given:
        options["db"] = given["db"]
    if storage is not RedisStorage:
        options |= _credentials(url)
    if storage is RedisSentinelStorage:
        of_sentinels = {one: given.get(f"sentinel_{one}") for one in ("username", "password")}
        options["sentinel_kwargs"] = {**common, **of_sentinels, "retry": _retry()}
    scheme = scheme.replace("rediss+", "redis+")
    return storage(
        f"async+{scheme}://{rest}", implementation="redispy", key_prefix=prefix, **options
    )


def _retry() -> Retry:
    return Retry(NoBackoff(), 1)  # a connection that was idle


def _tls(scheme: str, given: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the options of connections with TLS; none without it."""
    if not scheme.startswith("rediss"):
        return {}
    found: dict[str, Parameter] = {"ssl_check_hostname": True}  # not the default of redis-py 5
    found |= {name: value for name, value in given.items() if name.startswith("ssl_")}
    if "+" in scheme:  # otherwise, the scheme says so
        found["ssl"] = True
    return found


def _credentials(url: str) -> dict[str, str]:
    """Return user name and password, which the library does not decode."""
    parts = urlsplit(url)
    found = (("username", parts.username), ("password", parts.password))
    return {name: unquote(value) for name, value in found if value}
