"""Backends that are running containers with a label."""

from __future__ import annotations

from collections.abc import Callable

from pingap import Discovered, Discovery, DiscoverySettings, Endpoint
from pingap_docker.containers import Entry, NoAddress, endpoint_of, name_of, parse_entry
from pingap_docker.engine import Engine, configured_address


class DockerDiscovery(Discovery):
    """Finds backends among the containers of a Docker daemon, and follows its events."""

    word = "docker"

    def __init__(self, settings: DiscoverySettings) -> None:
        super().__init__(settings)
        self._engine = Engine(configured_address())
        self._entries: list[Entry] = []

    def add(self, text: str) -> None:
        """Add ``label[:port][ weight]``.

        :raises ValueError: it is malformed.
        """
        self._entries.append(parse_entry(text))

    async def find(self) -> Discovered:
        """Return the running containers with each label.

        :raises EngineError: the daemon cannot be queried.
        """
        endpoints: list[Endpoint] = []
        failures: list[str] = []
        for entry in self._entries:
            for container in await self._engine.containers(entry.label):
                try:
                    ipv4_only = self.settings.ipv4_only
                    endpoints.append(endpoint_of(container, entry, ipv4_only=ipv4_only))
                except NoAddress as error:
                    failures.append(f"{name_of(container)} {error}")
        return Discovered(endpoints, failures=failures)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Follow the events of the daemon.

        :raises EngineError: the events ended.
        """
        await self._engine.listen(changed)
