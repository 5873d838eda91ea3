"""The worker as plugins see it."""

from __future__ import annotations

from collections.abc import Callable

from pingap.build.graph import Runtime
from pingap.plugins.durable_store import DurableStore
from pingap.plugins.instance import Instance
from pingap.plugins.worker import HookRelay
from pingap.shared_state.messages import MessageBus
from pingap.shared_state.state import SharedState


class PluginWorker:
    """Implements ``pingap.Worker``.

    :param shared: what the worker shares with the others.
    :param runtime: returns what the worker serves now.
    :param store: what survives restarts.
    :param instance: returns what controls the running pingap.
    """

    def __init__(
        self,
        shared: SharedState,
        runtime: Callable[[], Runtime],
        *,
        store: DurableStore,
        instance: Callable[[], Instance],
    ) -> None:
        self.shared = shared
        self.bus = MessageBus(runtime().bus)
        self._runtime = runtime
        self.store = store
        self._instance = instance

    async def metrics(self, server: str) -> bytes:
        """Return the metrics page of a server: all workers together.

        :raises KeyError: there is no such server.
        """
        runtime = self._runtime()
        return await runtime.servers[server].metrics.page_of_all(runtime.stats)

    def close(self) -> None:
        """Let go of what plugins have used: no plugin runs any more."""
        self.store.close()

    @property
    def instance(self) -> Instance:
        """The running pingap, with all its processes."""
        return self._instance()

    @property
    def hooks(self) -> HookRelay:
        """The hooks that distributions define, to be called."""
        return self._runtime().registry.hooks
