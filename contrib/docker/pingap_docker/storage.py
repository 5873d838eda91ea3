"""The configuration that the labels of containers describe: ``-c docker://``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final, NoReturn
from urllib.parse import parse_qsl, unquote

import anyio

from pingap import ConfigSnapshot, ConfigStorage, StorageError, StorageFactory, hookimpl
from pingap_docker.documents import snapshot_of
from pingap_docker.engine import Engine, EngineError, configured_address, is_address

log = logging.getLogger("pingap_docker")

GATHER_SECONDS: Final = 0.25
"""How long events are collected: starting one container causes several."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
"""Pauses in seconds before the daemon is asked for events again, doubled each time."""

_FORM: Final = "expected docker://, docker:///path/of.sock or docker://host:port, with ?server=NAME"


class DockerStorage(ConfigStorage):
    """Locations and upstreams from the labels of the running containers.

    While the daemon cannot be reached, the containers that it named last are returned.

    :param location: ``docker://``, ``docker:///path``, or ``docker://host:port``; ``?server=a,b`` names the
        servers of containers that name none.
    """

    is_writable = False

    def __init__(self, location: str) -> None:
        address, _, query = location.partition("://")[2].partition("?")
        parameters = parse_qsl(query, keep_blank_values=True)
        address = unquote(address)
        if (address and not is_address(address)) or any(key != "server" for key, _ in parameters):
            raise ValueError(_FORM)
        named = (name.strip() for _, value in parameters for name in value.split(","))
        self._servers = tuple(name for name in named if name) or ("*",)
        self._engine = Engine(address or configured_address())
        self._last: ConfigSnapshot | None = None
        self._is_reachable = True

    async def read(self) -> ConfigSnapshot:
        """Return a document for each location.

        :raises StorageError: the daemon cannot be queried, and never could.
        """
        try:
            containers = await self._engine.containers()
        except EngineError as error:
            if self._last is None:
                raise StorageError(str(error)) from None
            self._report(error)
            return self._last
        self._last = snapshot_of(containers, self._servers)
        return self._last

    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> NoReturn:
        """Reject the change.

        :raises StorageError: always.
        """
        raise StorageError("labels of containers cannot be written: change them where they are set")

    async def watch(self) -> AsyncIterator[None]:
        """Yield an item after events of containers, and whenever the daemon can be reached again."""
        changed = asyncio.Event()
        listening = asyncio.create_task(self._listen(changed))
        listening.add_done_callback(lambda _: changed.set())
        try:
            while not listening.done():
                await changed.wait()
                await anyio.sleep(GATHER_SECONDS)
                changed.clear()
                yield
            listening.result()
        finally:
            listening.cancel()

    async def _listen(self, changed: asyncio.Event) -> NoReturn:
        """Set an event after each change."""
        pause = FIRST_PAUSE

        def tell() -> None:
            nonlocal pause
            if not self._is_reachable:
                log.info("%s: the Docker daemon can be reached again", self._engine.address)
            self._is_reachable, pause = True, FIRST_PAUSE
            changed.set()

        while True:
            try:
                await self._engine.listen(tell)
            except EngineError as error:
                self._report(error)
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _report(self, error: EngineError) -> None:
        """Log that the daemon cannot be reached, once."""
        if self._is_reachable:
            log.error("%s: the locations of the last known containers stay in use", error)
        self._is_reachable = False


@hookimpl
def pingap_storages() -> Mapping[str, StorageFactory]:
    """Name the storage."""
    return {"docker": DockerStorage}
