"""Reloads when the storage of a distribution reports that the configuration has changed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import anyio

from pingap.build.loading import failure_of, read_from
from pingap.config import Snapshot
from pingap.config.storage.errors import StorageError
from pingap.config.storage.interface import ConfigStorage

log = logging.getLogger("pingap")

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
"""Pauses in seconds after failures, doubled each time."""


class StorageWatch:
    """Watches one storage.

    :param storage: the storage to watch.
    :param served: returns the version of the current configuration.
    :param reload: applies what was read.
    """

    def __init__(
        self,
        storage: ConfigStorage,
        served: Callable[[], str],
        reload: Callable[[Snapshot], Awaitable[None]],
    ) -> None:
        self._storage = storage
        self._served = served
        self._reload = reload
        self._seen = ""
        self._pause = FIRST_PAUSE

    async def run(self) -> NoReturn:
        """Reload after each change; continues if the storage fails."""
        while True:
            try:
                async for _ in self._storage.watch():
                    await self._look()
                log.error("the storage of the configuration ended its watch")
            except Exception as error:  # of a distribution
                text = "the storage of the configuration failed while it was watched: %s"
                log.error(text, failure_of(error))  # noqa: TRY400 - see ``failure_of``
            await self._wait()

    async def _look(self) -> None:
        """Reload if there is a version that has not been tried."""
        while (snapshot := await self._read()) is None:
            await self._wait()
        self._pause = FIRST_PAUSE
        # A version with errors has been seen, but is not served.
        is_new = snapshot.version not in (self._seen, self._served())
        self._seen = snapshot.version
        if is_new:
            log.info("the configuration changed in its storage")
            await self._reload(snapshot)  # reading again could fail without being reported

    async def _read(self) -> Snapshot | None:
        try:
            return await read_from(self._storage)
        except StorageError as error:
            if self._pause == FIRST_PAUSE:
                log.error("the configuration cannot be read: %s", error)  # noqa: TRY400
            return None

    async def _wait(self) -> None:
        await anyio.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
