"""A worker: listens, serves until a signal comes, drains, ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from socket import socket
from typing import Final

import anyio
import anyio.lowlevel

from pingap.builder import Runtime, client_limits, client_tcp
from pingap.config import Config
from pingap.hook_tasks import HookTasks
from pingap.net.http1_connection import Http1Connection
from pingap.net.listener import ConnectionBudget, Listener
from pingap.net.proxy_acceptor import MOST_WAITING, ProxyAcceptor, ProxyHeaders
from pingap.observability.watchdog import Watchdog
from pingap.process.plugin_tasks import PluginTasks
from pingap.process.sockets import listen, needs_v6_only
from pingap.side_calls import http_client
from pingap.tls.acceptor import Handshakes, MakeProtocol, TlsAcceptor
from pingap.upstream.discovery import DiscoveryService

log = logging.getLogger("pingap")

_DRAIN_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Worker:
    """Serves a runtime graph.

    :param runtime: what to serve.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._sockets: list[tuple[str, socket]] = []
        self._servers: list[asyncio.Server] = []
        self._listeners: dict[str, Listener] = {}
        self._handshakes: dict[str, Handshakes] = {}
        self._proxy_headers: dict[str, ProxyHeaders] = {}
        self._idle = anyio.Event()

    def bind(self) -> None:
        """Open all listening sockets.

        :raises BindError: an address cannot be listened on.
        """
        servers = self._runtime.config.servers
        every = [address for settings in servers.values() for address in settings.addresses]
        for name, settings in servers.items():
            for address in settings.addresses:
                sock = listen(
                    address,
                    reuse_port=settings.reuse_port,
                    fastopen=settings.tcp_fastopen,
                    v6_only=needs_v6_only(address, every),
                )
                self._sockets.append((name, sock))

    @property
    def addresses(self) -> dict[str, list[str]]:
        """What each server really listens on, as text."""
        found: dict[str, list[str]] = {}
        for name, sock in self._sockets:
            found.setdefault(name, []).append(_text(sock))
        return found

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until a signal asks to end.

        :param ready: called once connections are accepted.
        :raises PluginStartError: a plugin cannot start.
        """
        _raise_file_limit(_files_needed(self._runtime.config))
        with anyio.open_signal_receiver(*_DRAIN_SIGNALS, signal.SIGHUP) as signals:
            async with self.serving():
                _settle_memory()
                ready()
                await _wait_for_end(signals)
                log.info("draining")
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_cancel_on_signal, signals, tasks.cancel_scope)
                    await self.drain()
                    tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Accept connections inside the block; at its end cut those that are left.

        Changes nothing that belongs to the whole process: signals, limits and the collector are
        the business of ``run``. So several workers can serve in one process, each in a thread.
        """
        runtime = self._runtime
        requests = HookTasks(runtime.deadlines)
        async with anyio.create_task_group() as services:
            plugins = PluginTasks(services)
            watchdog = Watchdog()
            try:
                await runtime.registry.startup()
                await plugins.start(runtime.plugins)
                await DiscoveryService(services).update(runtime.upstreams.values())
                await self._accept(requests)
                services.start_soon(runtime.deadlines.run)
                services.start_soon(runtime.log_files.run)
                services.start_soon(self._trim_pool)
                watchdog.start()
                yield
            finally:
                watchdog.stop()
                with anyio.CancelScope(shield=True):
                    self._stop_accepting()
                    for listener in self._listeners.values():
                        listener.cut()
                    runtime.pool.close()
                    await (
                        anyio.lowlevel.checkpoint()
                    )  # let the transports tell that they are closed
                    await requests.end()
                    plugins.stop()
                    # Plugins get a last word, but not for ever.
                    limit = runtime.config.basic.graceful_shutdown_timeout
                    with anyio.move_on_after(limit) as last:
                        await runtime.registry.shutdown()
                        await plugins.ended()
                        await http_client.close()
                    if last.cancelled_caught:
                        log.warning("plugins did not shut down within %g s", limit)
                    services.cancel_scope.cancel()

    def sweep(self) -> None:
        """Check all time limits now, not only when it is time to."""
        self._runtime.deadlines.sweep(time.monotonic())
        self._runtime.pool.trim()

    def close(self) -> None:
        """Close all listening sockets, if serving did not come so far as to do it."""
        for _, sock in self._sockets:
            sock.close()

    async def drain(self) -> None:
        """Stop accepting; return when all requests are answered, or the grace period is over."""
        self._stop_accepting()
        for listener in self._listeners.values():
            listener.on_idle = self._check_idle
            listener.drain()
        self._check_idle()
        with anyio.move_on_after(self._runtime.config.basic.grace_period) as grace:
            await self._idle.wait()
        if grace.cancelled_caught:
            log.warning("the grace period is over: cutting what is still under way")

    async def _accept(self, requests: HookTasks) -> None:
        runtime, loop = self._runtime, asyncio.get_running_loop()
        budget = ConnectionBudget(runtime.config.basic.max_connections)
        for name, settings in runtime.config.servers.items():
            self._listeners[name] = Listener(
                runtime.servers[name],
                client_limits(settings),
                client_tcp(settings),
                runtime.deadlines,
                runtime.writes,
                requests,
                budget,
                runtime.stats,
                runtime.trusted_proxies,
            )
        for name, sock in self._sockets:
            listener = self._listeners[name]
            factory = self._protocol_factory(name, listener)
            if sock.family.name == "AF_UNIX":
                self._servers.append(await loop.create_unix_server(factory, sock=sock))
            else:
                self._servers.append(await loop.create_server(factory, sock=sock))

    def _protocol_factory(self, name: str, listener: Listener) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of a new connection of a server."""
        make = self._after_proxy_header(name, listener)
        settings = self._runtime.config.servers[name]
        if not settings.proxy_protocol:
            return make
        if (headers := self._proxy_headers.get(name)) is None:
            trusted, seconds = self._runtime.trusted_proxies, settings.head_read_timeout
            headers = ProxyHeaders(trusted, seconds, self._runtime.deadlines, make)
            self._proxy_headers[name] = headers
        return lambda: ProxyAcceptor(headers)

    def _after_proxy_header(self, name: str, listener: Listener) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol that takes the client's own first byte."""
        settings = self._runtime.config.servers[name]
        if (tls := self._runtime.servers[name].tls) is None:
            return _connection_factory(listener, enabled_h2=settings.enabled_h2)
        if (handshakes := self._handshakes.get(name)) is None:
            limit, seconds = settings.tls_max_handshakes, settings.tls_handshake_timeout
            handshakes = Handshakes(limit, seconds, self._runtime.deadlines)
            self._handshakes[name] = handshakes
        after = _after_handshake(listener, enabled_h2=settings.enabled_h2)
        return lambda: TlsAcceptor(tls.context, handshakes, after)

    def _stop_accepting(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for headers in self._proxy_headers.values():
            headers.cut()
        for handshakes in self._handshakes.values():
            handshakes.cut()

    def _check_idle(self) -> None:
        if not any(listener.connections for listener in self._listeners.values()):
            self._idle.set()

    async def _trim_pool(self) -> None:
        while True:
            await anyio.sleep(1)
            self._runtime.pool.trim()


def _connection_factory(listener: Listener, *, enabled_h2: bool) -> Callable[[], Http1Connection]:
    """Return what makes the protocol of a connection without TLS."""
    if not enabled_h2:
        return lambda: Http1Connection(listener)
    # (Importing h2 takes 60 ms and 1.5 MB, which a worker that does not offer it need not spend.)
    from pingap.net.sniffing import SniffingConnection

    return lambda: SniffingConnection(listener)


def _after_handshake(listener: Listener, *, enabled_h2: bool) -> MakeProtocol:
    """Return what makes the protocol that ALPN chose."""
    if not enabled_h2:
        return lambda alpn: Http1Connection(listener)
    from pingap.net.http2_connection import Http2Connection

    return lambda alpn: (Http2Connection if alpn == "h2" else Http1Connection)(listener)


async def _wait_for_end(signals: AsyncIterator[signal.Signals]) -> None:
    async for number in signals:
        if number != signal.SIGHUP:
            return
        log.warning("SIGHUP: reloading is not supported yet; the configuration stays as it is")


async def _cancel_on_signal(
    signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope
) -> None:
    """End at once at a second signal."""
    async for number in signals:
        if number != signal.SIGHUP:
            log.warning("second %s: ending at once", number.name)
            scope.cancel()


def _settle_memory() -> None:
    """Keep the collector away from what lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 50)


def _files_needed(config: Config) -> int:
    """Return how many open files may be needed: connections on both sides, early ones, others."""
    early = sum(MOST_WAITING for server in config.servers.values() if server.proxy_protocol)
    handshakes = sum(
        server.tls_max_handshakes
        for server in config.servers.values()
        if server.global_certificates
    )
    return 2 * config.basic.max_connections + early + handshakes + 256


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _text(sock: socket) -> str:
    name = sock.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
