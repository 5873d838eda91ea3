"""Scripts that Redis runs, and what happens while it is away."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, Final

import anyio
from redis.exceptions import RedisClusterException

from pingap import BackgroundTasks, SharedState
from pingap_limit.redis_storage import open_storage
from pingap_limit.standing import StorageAway

log = logging.getLogger("pingap")

_PAUSE: Final = 0.25
"""Seconds between two attempts to reach Redis again."""
_LONGEST_PROBE: Final = 2.0
"""Seconds that such an attempt may take: it also connects."""
_TOLD_FOR: Final = 10.0
"""Seconds in which workers do not log what another one has logged."""


class RedisCalls:
    """Calls scripts in Redis, with limits on time and connections.

    After a failure, Redis is away, and is not asked until an attempt succeeds.

    :param url: an address that was checked.
    :param name: of the limit; part of all keys.
    """

    def __init__(
        self,
        url: str,
        name: str,
        prefix: str,
        timeout: float,
        connections: int,
        shared: SharedState,
    ) -> None:
        self._storage = open_storage(url, prefix, timeout, connections)
        self._failures: tuple[type[Exception], ...] = (
            *_as_tuple(self._storage.base_exceptions),
            RedisClusterException,  # which is none of these
            OSError,
            TimeoutError,
        )
        self._name = name
        self._timeout = timeout
        self._room = anyio.CapacityLimiter(connections)
        self._scripts: dict[str, Any] = {}
        self._told = shared.values("limit:storage")
        self.is_away = False
        self._went_away = anyio.Event()

    def start(self, tasks: BackgroundTasks) -> None:
        """Begin to watch for its return."""
        tasks.start_service(self._watch)

    async def call(self, script: str, key: str, arguments: Sequence[object]) -> Any:
        """Run a script.

        :param script: name of its file.
        :param key: as clients chose it; Redis gets a digest, since it may be a secret.
        :raises StorageAway: it failed.
        """
        if self.is_away:
            raise StorageAway
        return await self._call(script, key, arguments, self._timeout)

    async def _call(
        self, script: str, key: str, arguments: Sequence[object], timeout_seconds: float
    ) -> Any:
        try:
            with anyio.fail_after(timeout_seconds):
                async with self._room:
                    return await self._script(script)([self._key(script, key)], arguments)
        except self._failures as error:
            self._note_failure(error)
            raise StorageAway from error

    def _script(self, name: str) -> Any:
        if name not in self._scripts:
            bridge: Any = self._storage.bridge
            self._scripts[name] = bridge.get_connection().register_script(_source(name))
        return self._scripts[name]

    def _key(self, script: str, key: str) -> str:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        kind = "slots" if script in ("enter", "renew", "leave") else script
        return self._storage.bridge.prefixed_key(f"limit:{self._name}:{kind}:{digest}")

    def _note_failure(self, error: BaseException) -> None:
        if not self.is_away:
            self.is_away = True
            self._went_away.set()
            # The text of an error may contain the address.
            self._tell(f"is away ({type(error).__name__})", logging.WARNING)

    async def _watch(self) -> None:
        while True:
            await self._went_away.wait()
            self._went_away = anyio.Event()
            while self.is_away:
                await anyio.sleep(_PAUSE)
                await self._try_again()

    async def _try_again(self) -> None:
        try:
            # Something that writes: a replica would answer a ping.
            await self._call("leave", "\0nobody", [""], _LONGEST_PROBE)
        except StorageAway:
            return
        self.is_away = False
        self._tell("is back", logging.INFO)

    def _tell(self, what: str, level: int) -> None:
        """Log something, unless another worker has logged it."""
        place = f"{self._name}:{'away' if self.is_away else 'back'}"
        if self._told.add(place, b"", _TOLD_FOR):
            log.log(level, 'limit "%s": its storage %s', self._name, what)

    async def close(self) -> None:
        """Close all connections."""
        bridge: Any = self._storage.bridge
        await bridge.get_connection().aclose()
        if (sentinel := getattr(bridge, "sentinel", None)) is not None:
            for one in sentinel.sentinels:
                await one.aclose()


@lru_cache
def _source(script: str) -> str:
    return files("pingap_limit").joinpath(f"redis_scripts/{script}.lua").read_text()


def _as_tuple(kinds: type[Exception] | tuple[type[Exception], ...]) -> tuple[type[Exception], ...]:
    return kinds if isinstance(kinds, tuple) else (kinds,)
