"""A worker: accepts connections, serves them, drains, ends."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from pingap.build.runtime import Runtime
from pingap.client import http_client
from pingap.config.storage.interface import ConfigStorage
from pingap.config.storage.memory import MemoryStorage
from pingap.downstream.listener import ConnectionBudget
from pingap.host.services import attempt, keep_running
from pingap.observability.failures import DefectHandler
from pingap.observability.watchdog import Watchdog
from pingap.plugins.chains import Instance as PluginInstance
from pingap.plugins.durable_store import DurableStore
from pingap.plugins.failure_handlers import FailureHandlers
from pingap.plugins.instance import Instance
from pingap.plugins.services import PluginTasks
from pingap.proxy.async_hooks import HookTasks
from pingap.shared_state.local import LocalState
from pingap.shared_state.state import SharedState
from pingap.upstream.discovering.service import DiscoveryService
from pingap.worker.dismantle import dismantle
from pingap.worker.door import Door, Place
from pingap.worker.front import Front
from pingap.worker.listening import Listening, open_all
from pingap.worker.lone_instance import LoneInstance
from pingap.worker.network_files import follow_files
from pingap.worker.notifying import NotificationService
from pingap.worker.plugin_worker import PluginWorker

log = logging.getLogger("pingap")

LOOK_SECONDS: Final = 0.25
"""How often to check whether the last request, or the last one of an old configuration, has ended."""


class Worker:
    """Serves a runtime graph, and after a reload the next one.

    :param runtime: the runtime to serve.
    :param sockets: the sockets to accept from; without them, ``bind`` opens some.
    :param shared: shared with other workers; by default there are none.
    :param store: the durable store of its plugins; by default that of the machine.
    :param storage: makes the storage of the configuration.
    """

    def __init__(
        self,
        runtime: Runtime,
        sockets: Iterable[Listening] = (),
        shared: SharedState | None = None,
        store: DurableStore | None = None,
        storage: Callable[[], ConfigStorage] = MemoryStorage,
    ) -> None:
        self.runtime, self._storage = runtime, storage
        self._store = DurableStore() if store is None else store
        self.shared = LocalState() if shared is None else shared
        runtime.count_with(self.shared)
        self._sockets = list(sockets)
        self._doors: dict[int, Door] = {}
        """Number of a listening socket -> its door."""
        self._fronts: dict[Place, Front] = {}
        self._leaving: list[Front] = []
        """Fronts of closed listening sockets, as long as they have connections."""
        self._requests: HookTasks
        self._has_stopped = False
        self._budget = ConnectionBudget(runtime.config.basic.max_connections)
        self._idle = anyio.Event()
        self.bus = runtime.bus
        self._notifications = NotificationService(
            runtime.bus,
            lambda: self.runtime.handlers["pingap_notification"],
            runtime.plugin_failures,
        )
        self._on_failure = FailureHandlers(runtime.plugin_failures)
        self._on_failure.handlers = runtime.handlers["pingap_failure"]
        self._leading: anyio.CancelScope | None = None
        self._old: list[Runtime] = []  # replaced runtimes that still have requests
        self._prepared: Runtime | None = None
        self.instance: Instance = LoneInstance(self)
        self._plugins: PluginTasks
        self._for_plugins: PluginWorker
        self._discovery: DiscoveryService
        self._services: TaskGroup

    def bind(self) -> None:
        """Open all listening sockets.

        :raises ListenError: an address cannot be listened on.
        """
        self._sockets = open_all(self.runtime.config, 1)

    @property
    def sockets(self) -> list[Listening]:
        """The listening sockets."""
        return list(self._sockets)

    @property
    def addresses(self) -> dict[str, list[str]]:
        """The addresses that each server actually listens on, as text."""
        found: dict[str, list[str]] = {}
        for one in self._sockets:
            found.setdefault(one.server, []).append(one.text)
        return found

    @property
    def connections(self) -> int:
        """Number of connected clients."""
        return sum(front.listener.connections for front in self._every_front())

    def _every_front(self) -> list[Front]:
        return [*self._fronts.values(), *self._leaving]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Accept connections inside the block; at its end, close the remaining ones.

        Does not change anything that belongs to the whole process: signals, limits and the garbage collector
        are handled elsewhere. So several workers can serve in one process, each in a thread.

        :raises PluginStartError: a plugin cannot start.
        """
        runtime = self.runtime
        requests = self._requests = HookTasks(runtime.deadlines)
        async with anyio.create_task_group() as services:
            self._services = services
            self._for_plugins = PluginWorker(
                self.shared,
                lambda: self.runtime,
                runtime_of=self._runtime_of,
                store=self._store,
                storage=self._storage,
                instance=lambda: self.instance,
                tasks=requests,
            )
            self._plugins = PluginTasks(runtime.plugin_failures, self._for_plugins.seen_by)
            self._discovery = DiscoveryService(services, runtime.bus)
            watchdog = Watchdog()
            defects = DefectHandler(self._on_failure)
            defects.attach()
            runtime.plugin_failures.on_failure = self._on_failure
            try:
                await runtime.registry.startup()
                await self._plugins.start(runtime.plugins)
                await self._discovery.prepare(runtime.upstreams.values())
                self._discovery.start(runtime.upstreams.values())
                await self._accept()
                services.start_soon(keep_running, runtime.deadlines.run)
                services.start_soon(keep_running, runtime.log_files.run)
                services.start_soon(keep_running, follow_files)
                services.start_soon(keep_running, self._trim_pool)
                services.start_soon(keep_running, self._notifications.run)
                watchdog.start()
                yield
            finally:
                watchdog.stop()
                with anyio.CancelScope(shield=True):
                    await self._end(requests)
                    defects.detach()
                    services.cancel_scope.cancel()

    async def _end(self, requests: HookTasks) -> None:
        runtime = self.runtime
        await self._stop_accepting()
        for front in self._every_front():
            front.cut_early()
            front.listener.cut()
        # Transports report in the next turn that they are closed, and their requests then release upstream
        # connections; those that become idle in that turn are closed as well.
        await anyio.lowlevel.checkpoint()
        self._for_plugins.fetching.close()
        runtime.pool.close()
        await requests.end()
        runtime.pool.close()
        await anyio.lowlevel.checkpoint()
        self._plugins.stop()
        # Plugins get time to shut down, but not forever.
        limit = runtime.config.basic.graceful_shutdown_timeout
        with anyio.move_on_after(limit) as last:
            await self._notifications.finish()
            await runtime.registry.shutdown()
            await self._plugins.ended()
            await http_client.close()
        await self._plugins.cut()
        self._for_plugins.close()
        if last.cancelled_caught:
            log.warning("plugins did not shut down within %g s", limit)

    # Another configuration.

    async def prepare(self, runtime: Runtime) -> None:
        """Start the new parts of a runtime that was built beside the current one.

        :raises PluginLoadError: a distribution cannot start.
        :raises PluginStartError: a plugin cannot start; nothing new is then running.
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
        """Discard a prepared runtime."""
        self._prepared = None
        self._stop_unused()
        living = self._living()
        used = {target for one in living for target in one.log_targets}
        self.runtime.log_files.close_others(used)

    async def swap(self, runtime: Runtime, sockets: Iterable[Listening] | None = None) -> None:
        """Serve every new request from a prepared runtime.

        Requests in progress continue with the old one. When the last of them has ended, everything that only
        they needed is shut down.

        :param sockets: the sockets to accept from; by default the same as before.
        """
        old, self.runtime, self._prepared = self.runtime, runtime, None
        self._old.append(old)
        self._budget.limit = runtime.config.basic.max_connections
        for front in self._every_front():
            if front.name in runtime.servers:
                front.update(runtime)
        runtime.take_effect()
        self._on_failure.handlers = runtime.handlers["pingap_failure"]
        self._discovery.start(runtime.upstreams.values())
        if sockets is not None:
            self._sockets = list(sockets)
        await self._move()
        self._services.start_soon(attempt, self._retire, old)

    async def _move(self) -> None:
        """Accept from the new set of sockets; let the connections of others drain."""
        numbers = {one.number for one in self._sockets}
        gone = [self._doors.pop(number) for number in self._doors.keys() - numbers]
        await self._accept()
        for door in gone:
            await door.close(waiting=True)
        places = {door.place for door in self._doors.values()}
        for place in self._fronts.keys() - places:
            front = self._fronts.pop(place)
            front.listener.drain(at_once=False)
            self._leaving.append(front)

    async def _retire(self, old: Runtime) -> None:
        """Shut down everything that is no longer needed."""
        while self._is_in_use(old):  # noqa: ASYNC110 - a notification would cost every request
            await anyio.sleep(LOOK_SECONDS)
        self._old.remove(old)
        self._stop_unused()
        old.release(self._living())
        await dismantle(old)

    def _living(self) -> list[Runtime]:
        """Return the current runtime, the next one, and those that still have requests."""
        return [self.runtime, *self._old, *filter(None, [self._prepared])]

    def _runtime_of(self, instance: PluginInstance) -> Runtime:
        """Return the runtime that an instance belongs to; the one that serves, if to several."""
        for runtime in self._living():
            if any(one.plugin is instance.plugin for one in runtime.plugins):
                return runtime
        return self.runtime  # its own was discarded

    def _stop_unused(self) -> None:
        living = self._living()
        self._plugins.stop(keep=(plugin for one in living for plugin in one.plugins))
        self._discovery.stop(
            keep=[upstream for one in living for upstream in one.upstreams.values()]
        )

    def _is_in_use(self, old: Runtime) -> bool:
        self._leaving = [front for front in self._leaving if front.is_busy]
        servers = set(map(id, old.servers.values()))
        listeners = [front.listener for front in self._every_front()]
        # The configuration may no longer contain the server of a front that is closing.
        return any(id(listener.server) in servers for listener in listeners) or any(
            id(exchange.server) in servers
            for listener in listeners
            for exchange in listener.exchanges
        )

    def lead(self) -> None:
        """Do the work that one worker does for all: check backends, and run ``lead`` of plugins."""
        if self._leading is None:
            self._plugins.lead()
            self._discovery.lead()
            self._notifications.lead()
            self._leading = anyio.CancelScope()
            self._services.start_soon(keep_running, self._check_backends, self._leading)

    async def follow(self) -> None:
        """Leave that work to another worker."""
        leading, self._leading = self._leading, None
        if leading is not None:
            leading.cancel()
            await self._plugins.follow()

    @property
    def leads(self) -> bool:
        """Whether it does the work that one worker does for all."""
        return self._leading is not None

    def state(self) -> dict[str, int]:
        """Return the number of connections and requests."""
        stats = self.runtime.stats
        return {
            "connections": self.connections,
            "processing": stats.processing,
            "accepted": stats.accepted,
        }

    async def _check_backends(self, leading: anyio.CancelScope) -> None:
        with leading:
            await self.runtime.health.run()

    # The end.

    async def drain(self, *, at_once: bool = True) -> None:
        """Stop accepting; return when all requests are answered, or the grace period is over.

        :param at_once: also close connections whose client may be about to send its next request. Otherwise
            that request is still served, with a notice that it is the last.
        """
        if self._leading is not None:
            self._leading.cancel()  # another worker leads from now on
            self._services.start_soon(attempt, self._plugins.follow)
            self._discovery.follow()
            self._notifications.follow()
        await self._stop_accepting()
        for front in self._every_front():
            if at_once:
                front.cut_early()
            front.listener.on_idle = self._check_idle
            front.listener.drain(at_once=at_once)
        self._check_idle()
        with anyio.move_on_after(self.runtime.config.basic.grace_period) as grace:
            while not self._idle.is_set():
                with anyio.move_on_after(LOOK_SECONDS):
                    await self._idle.wait()
                self._check_idle()  # a failed handshake does not trigger this
        if grace.cancelled_caught:
            log.warning("the grace period is over: closing the remaining connections")

    def sweep(self) -> None:
        """Check all time limits now instead of at the next interval."""
        self.runtime.deadlines.sweep(time.monotonic())
        self.runtime.pool.trim()

    def close(self) -> None:
        """Close all listening sockets, if serving has not already done so."""
        for one in self._sockets:
            one.sock.close()

    async def _accept(self) -> None:
        """Accept from every socket; existing doors may get another server."""
        for one in self._sockets:
            place = (one.server, one.address)
            if (front := self._fronts.get(place)) is None:
                front = Front(one.server, self.runtime, self._requests, self._budget, self.shared)
                self._fronts[place] = front
            if (door := self._doors.get(one.number)) is not None:
                door.place, door.front = place, front
                continue
            door = Door(one, place, front)
            await door.open(self.runtime.config.servers[one.server].backlog)
            if self._has_stopped:  # in the meantime
                await door.close()
            else:
                self._doors[one.number] = door

    async def _stop_accepting(self) -> None:
        self._has_stopped = True
        doors, self._doors = self._doors, {}
        for door in doors.values():
            await door.close()

    def _check_idle(self) -> None:
        if not any(front.is_busy for front in self._every_front()):
            self._idle.set()

    async def _trim_pool(self) -> None:
        while True:
            await anyio.sleep(1)
            self.runtime.pool.trim()
