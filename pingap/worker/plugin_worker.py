"""The worker as plugins see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import cache, partial
from typing import Final

from pingap.build.runtime import Runtime
from pingap.config.storage.interface import ConfigStorage
from pingap.http.connection import Connection
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.observability.notifications import Notification, notify
from pingap.plugins.chains import Instance as PluginInstance
from pingap.plugins.durable_store import DurableStore
from pingap.plugins.instance import Instance
from pingap.plugins.upstream_view import UpstreamView
from pingap.plugins.worker import HookRelay
from pingap.proxy.async_hooks import HookTasks
from pingap.proxy.fetch import Fetching
from pingap.shared_state.messages import MessageBus
from pingap.shared_state.state import SharedState
from pingap.worker.certificates import Certificates
from pingap.worker.upstream_views import ServedUpstream

_NOBODY: Final = ("", 0)
"""The client address of a request that has no client."""


class PluginWorker:
    """Implements ``pingap.Worker``.

    :param shared: the state that the worker shares with the others.
    :param runtime: returns the runtime that the worker serves.
    :param store: the durable store.
    :param storage: makes the storage of the configuration.
    :param instance: returns the interface to the running pingap.
    :param tasks: of the worker.
    :param runtime_of: returns the runtime that an instance of a plugin belongs to.
    """

    def __init__(
        self,
        shared: SharedState,
        runtime: Callable[[], Runtime],
        *,
        runtime_of: Callable[[PluginInstance], Runtime],
        store: DurableStore,
        storage: Callable[[], ConfigStorage],
        instance: Callable[[], Instance],
        tasks: HookTasks,
    ) -> None:
        self.shared = shared
        self.bus = MessageBus(runtime().bus)
        self._runtime = runtime
        self._make_storage = cache(storage)
        self.store = store
        self._instance = instance
        self.fetching = Fetching(tasks)
        self._runtime_of = runtime_of
        self.certificates = Certificates(runtime)

    def seen_by(self, plugin: PluginInstance) -> PluginWorker:
        """Return the same for one instance, whose certificates are for its own configuration."""
        view = copy(self)
        view.certificates = Certificates(partial(self._runtime_of, plugin))
        return view

    async def metrics(self, server: str) -> bytes:
        """Return the metrics page of a server: the sum of all workers.

        :raises KeyError: there is no such server.
        """
        runtime = self._runtime()
        return await runtime.servers[server].metrics.page_of_all(runtime.stats)

    async def fetch(
        self,
        request: Request,
        *,
        upstream: str,
        body: bytes = b"",
        timeout: float = 30.0,  # noqa: ASYNC109
        keep_body: bool = True,
        response_limit: int = 64 * 1024 * 1024,
    ) -> Response:
        """Send a request to an upstream (:meth:`pingap.Worker.fetch`)."""
        runtime = self._runtime()
        if upstream not in runtime.upstreams:
            raise KeyError(upstream)
        server = next(iter(runtime.servers.values()))
        connection = Connection(0, _NOBODY, _NOBODY, stats=runtime.stats, shared=self.shared)
        return await self.fetching.fetch(
            request,
            body,
            connection,
            server,
            runtime.upstreams,
            upstream,
            timeout,
            keep_body,
            response_limit,
        )

    @property
    def upstreams(self) -> Mapping[str, UpstreamView]:
        """The upstreams that are served."""
        runtime = self._runtime()
        return {name: ServedUpstream(runtime, one) for name, one in runtime.upstreams.items()}

    @property
    def storage(self) -> ConfigStorage:
        """The storage that this process was started from."""
        return self._make_storage()

    def close(self) -> None:
        """Release resources used by plugins; none of them runs any longer."""
        self.store.close()

    @property
    def instance(self) -> Instance:
        """The running pingap, with all its processes."""
        return self._instance()

    def notify(self, event: Notification) -> None:
        """Log an event, and pass it to all handlers of notifications.

        :raises ValueError: it is larger than 64 KiB.
        """
        notify(self._runtime().bus, event)

    @property
    def hooks(self) -> HookRelay:
        """The hooks that distributions define, to be called."""
        return self._runtime().registry.hooks
