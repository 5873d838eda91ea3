"""A worker: accepts connections, serves them, drains, ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from pingap.builder import Runtime
from pingap.config import Config
from pingap.hook_tasks import HookTasks
from pingap.net.listener import ConnectionBudget
from pingap.net.proxy_acceptor import MOST_WAITING
from pingap.observability.watchdog import Watchdog
from pingap.process.acceptor import SharedAcceptor
from pingap.process.dismantle import dismantle
from pingap.process.front import Front
from pingap.process.listening import Listening, open_all
from pingap.process.plugin_tasks import PluginTasks
from pingap.shared_state.local import LocalState
from pingap.shared_state.state import SharedState
from pingap.side_calls import http_client
from pingap.upstream.discovery import DiscoveryService

log = logging.getLogger("pingap")

LOOK_SECONDS: Final = 0.25
"""How often it is looked whether the last request, or the last of an old configuration, ended."""


class Worker:
    """Serves a runtime graph, and after a reload the next one.

    :param runtime: what to serve.
    :param sockets: what to accept from; without them, ``bind`` opens some.
    :param shared: what it shares with other workers; by default there are none.
    """

    def __init__(
        self,
        runtime: Runtime,
        sockets: Iterable[Listening] = (),
        shared: SharedState | None = None,
    ) -> None:
        self.runtime = runtime
        self.shared = LocalState() if shared is None else shared
        runtime.count_with(self.shared)
        self._sockets = list(sockets)
        self._servers: list[asyncio.Server | SharedAcceptor] = []
        self._fronts: dict[str, Front] = {}
        self._budget = ConnectionBudget(runtime.config.basic.max_connections)
        self._idle = anyio.Event()
        self.bus = runtime.bus
        self._leading: anyio.CancelScope | None = None
        self._old: list[Runtime] = []
        """Runtimes before this one that still have requests."""
        self._prepared: Runtime | None = None
        self._plugins: PluginTasks
        self._discovery: DiscoveryService
        self._services: TaskGroup

    def bind(self) -> None:
        """Open all listening sockets.

        :raises BindError: an address cannot be listened on.
        """
        self._sockets = open_all(self.runtime.config, 1)

    @property
    def addresses(self) -> dict[str, list[str]]:
        """What each server really listens on, as text."""
        found: dict[str, list[str]] = {}
        for one in self._sockets:
            found.setdefault(one.server, []).append(one.text)
        return found

    @property
    def connections(self) -> int:
        """Number of clients that are connected."""
        return sum(front.listener.connections for front in self._fronts.values())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Accept connections inside the block; at its end cut those that are left.

        Changes nothing that belongs to the whole process: signals, limits and the collector are
        the business of others. So several workers can serve in one process, each in a thread.

        :raises PluginStartError: a plugin cannot start.
        """
        runtime = self.runtime
        requests = HookTasks(runtime.deadlines)
        async with anyio.create_task_group() as services:
            self._services, self._plugins = services, PluginTasks(runtime.plugin_failures)
            self._discovery = DiscoveryService(services)
            watchdog = Watchdog()
            try:
                await runtime.registry.startup()
                await self._plugins.start(runtime.plugins)
                await self._discovery.prepare(runtime.upstreams.values())
                self._discovery.start(runtime.upstreams.values())
                await self._accept(requests)
                services.start_soon(runtime.deadlines.run)
                services.start_soon(runtime.log_files.run)
                services.start_soon(self._trim_pool)
                watchdog.start()
                yield
            finally:
                watchdog.stop()
                with anyio.CancelScope(shield=True):
                    await self._end(requests)
                    services.cancel_scope.cancel()

    async def _end(self, requests: HookTasks) -> None:
        runtime = self.runtime
        await self._stop_accepting()
        for front in self._fronts.values():
            front.cut_early()
            front.listener.cut()
        # Transports tell in the next turn that they are closed, and their requests let go of
        # connections: what an answer made idle in this very turn is closed as well.
        await anyio.lowlevel.checkpoint()
        runtime.pool.close()
        await requests.end()
        runtime.pool.close()
        await anyio.lowlevel.checkpoint()
        self._plugins.stop()
        # Plugins get a last word, but not for ever.
        limit = runtime.config.basic.graceful_shutdown_timeout
        with anyio.move_on_after(limit) as last:
            await runtime.registry.shutdown()
            await self._plugins.ended()
            await http_client.close()
        await self._plugins.cut()
        if last.cancelled_caught:
            log.warning("plugins did not shut down within %g s", limit)

    # Another configuration.

    async def prepare(self, runtime: Runtime) -> None:
        """Start what is new in a runtime that was built beside the one that serves.

        :raises PluginLoadError: a distribution cannot start.
        :raises PluginStartError: a plugin cannot start; then nothing new runs.
        """
        self._prepared = runtime
        try:
            await runtime.registry.startup()
            await self._plugins.start(runtime.plugins)
            await self._discovery.prepare(runtime.upstreams.values())
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Give up a runtime that was prepared."""
        self._prepared = None
        self._stop_unused()

    def swap(self, runtime: Runtime) -> None:
        """Serve every new request from a runtime that was prepared.

        Requests under way go on with the old one; when the last of them has ended, what only they
        needed is shut down.
        """
        old, self.runtime, self._prepared = self.runtime, runtime, None
        self._old.append(old)
        self._budget.limit = runtime.config.basic.max_connections
        for name, front in self._fronts.items():
            if name in runtime.servers:
                front.update(runtime)
        runtime.take_effect()
        self._discovery.start(runtime.upstreams.values())
        self._services.start_soon(self._retire, old)

    async def _retire(self, old: Runtime) -> None:
        """Shut down what nothing needs any more."""
        while self._is_in_use(old):  # noqa: ASYNC110 - to be told would cost every request
            await anyio.sleep(LOOK_SECONDS)
        self._old.remove(old)
        self._stop_unused()
        old.release(self._living())
        await dismantle(old)

    def _living(self) -> list[Runtime]:
        """The runtime that serves, the next one, and those on which requests began that go on."""
        return [self.runtime, *self._old, *filter(None, [self._prepared])]

    def _stop_unused(self) -> None:
        living = self._living()
        self._plugins.stop(keep=(plugin for one in living for plugin in one.plugins))
        self._discovery.stop(
            keep=[upstream for one in living for upstream in one.upstreams.values()]
        )

    def _is_in_use(self, old: Runtime) -> bool:
        servers = set(map(id, old.servers.values()))
        listeners = [front.listener for front in self._fronts.values()]
        # (A server that is gone from the configuration is served until the restart that this needs.)
        return any(id(listener.server) in servers for listener in listeners) or any(
            id(exchange.server) in servers
            for listener in listeners
            for exchange in listener.exchanges
        )

    def lead(self) -> None:
        """Do what one worker does for all: check backends."""
        if self._leading is None:
            self._leading = anyio.CancelScope()
            self._services.start_soon(self._check_backends, self._leading)

    async def _check_backends(self, leading: anyio.CancelScope) -> None:
        with leading:
            await self.runtime.health.run()

    # The end.

    async def drain(self, *, at_once: bool = True) -> None:
        """Stop accepting; return when all requests are answered, or the grace period is over.

        :param at_once: also close connections whose client may be sending its next request just
            now. Otherwise that one is still served, and told that it is the last.
        """
        if self._leading is not None:
            self._leading.cancel()  # another worker does it from now on
        await self._stop_accepting()
        for front in self._fronts.values():
            if at_once:
                front.cut_early()
            front.listener.on_idle = self._check_idle
            front.listener.drain(at_once=at_once)
        self._check_idle()
        with anyio.move_on_after(self.runtime.config.basic.grace_period) as grace:
            while not self._idle.is_set():
                with anyio.move_on_after(LOOK_SECONDS):
                    await self._idle.wait()
                self._check_idle()  # (a handshake that failed does not tell)
        if grace.cancelled_caught:
            log.warning("the grace period is over: cutting what is still under way")

    def sweep(self) -> None:
        """Check all time limits now, not only when it is time to."""
        self.runtime.deadlines.sweep(time.monotonic())
        self.runtime.pool.trim()

    def close(self) -> None:
        """Close all listening sockets, if serving did not come so far as to do it."""
        for one in self._sockets:
            one.sock.close()

    async def _accept(self, requests: HookTasks) -> None:
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            if (front := self._fronts.get(one.server)) is None:
                front = Front(one.server, self.runtime, requests, self._budget, self.shared)
                self._fronts[one.server] = front
            if one.is_shared:
                self._servers.append(SharedAcceptor(one.sock, front))
                continue
            # (Also for Unix sockets: this does not remove their file at the end.)
            backlog = self.runtime.config.servers[one.server].backlog
            server = await loop.create_server(front, sock=one.sock, backlog=backlog)
            self._servers.append(server)

    async def _stop_accepting(self) -> None:
        """Accept nothing more; return when the connections that were accepted have begun.

        Until they have, nobody counts them: a worker that drains would end without serving them.
        """
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        await anyio.lowlevel.checkpoint()  # the loop's own servers begin them in its next turn
        for server in servers:
            if isinstance(server, SharedAcceptor):
                await server.begun()

    def _check_idle(self) -> None:
        if not any(front.is_busy for front in self._fronts.values()):
            self._idle.set()

    async def _trim_pool(self) -> None:
        while True:
            await anyio.sleep(1)
            self.runtime.pool.trim()


def settle_memory() -> None:
    """Keep the collector away from what lives as long as the configuration."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 50)


def raise_file_limit(config: Config) -> None:
    """Allow this process as many open files as its connections may need."""
    wanted = _files_needed(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _files_needed(config: Config) -> int:
    """Return how many open files may be needed: connections on both sides, early ones, others."""
    early = sum(MOST_WAITING for server in config.servers.values() if server.proxy_protocol)
    handshakes = sum(
        server.tls_max_handshakes
        for server in config.servers.values()
        if server.global_certificates
    )
    return 2 * config.basic.max_connections + early + handshakes + 256
