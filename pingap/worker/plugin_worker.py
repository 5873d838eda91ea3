"""The worker as plugins see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from pingap.build.graph import Runtime
from pingap.config.storage.interface import ConfigStorage
from pingap.plugins.durable_store import DurableStore
from pingap.plugins.instance import Instance
from pingap.shared_state.messages import MessageBus
from pingap.shared_state.state import SharedState


class PluginWorker:
    """Implements ``pingap.Worker``.

    :param shared: what the worker shares with the others.
    :param runtime: returns what the worker serves now.
    :param store: what survives restarts.
    :param storage: makes the storage of the configuration.
    :param instance: returns what controls the running pingap.
    """

    def __init__(
        self,
        shared: SharedState,
        runtime: Callable[[], Runtime],
        *,
        store: DurableStore,
        storage: Callable[[], ConfigStorage],
        instance: Callable[[], Instance],
    ) -> None:
        self.shared = shared
        self.bus = MessageBus(runtime().bus)
        self._runtime = runtime
        self._make_storage = storage
        self.store = store
        self._instance = instance

    async def metrics(self, server: str) -> bytes:
        """Return the metrics page of a server: all workers together.

        :raises KeyError: there is no such server.
        """
        runtime = self._runtime()
        return await runtime.servers[server].metrics.page_of_all(runtime.stats)

    @cached_property
    def storage(self) -> ConfigStorage:
        """The storage that this process was started from."""
        return self._make_storage()

    def close(self) -> None:
        """Let go of what plugins have used: no plugin runs any more."""
        self.store.close()

    @property
    def instance(self) -> Instance:
        """The running pingap, with all its processes."""
        return self._instance()
