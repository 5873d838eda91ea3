"""A server's side towards its clients: handles each connection that a worker accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from pingap.build.client_options import client_limits, client_tcp, path_rules
from pingap.build.runtime import Runtime
from pingap.downstream.connection_gate import Gate, GatedConnection
from pingap.downstream.http1_connection import Http1Connection
from pingap.downstream.listener import ConnectionBudget, Listener
from pingap.downstream.proxy_acceptor import ProxyAcceptor, ProxyHeaders
from pingap.downstream.tls_acceptor import Handshakes, MakeProtocol, TlsAcceptor
from pingap.observability.handshakes import HandshakeStats
from pingap.proxy.async_hooks import HookTasks
from pingap.shared_state.state import SharedState
from pingap.worker.rights import Rights

Factory = Callable[[], asyncio.Protocol]


class Front:
    """Makes the protocol of each new connection of one server, with the current configuration.

    :param name: of the server.
    :param tasks: runs awaitables of plugins.
    :param budget: shared by all servers of the worker.
    :param shared: the state that the worker shares with the others.
    """

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        tasks: HookTasks,
        budget: ConnectionBudget,
        shared: SharedState,
    ) -> None:
        settings = runtime.config.servers[name]
        self.name = name
        self._shared = shared
        self.listener = Listener(
            runtime.servers[name],
            client_limits(settings),
            client_tcp(settings),
            runtime.deadlines,
            runtime.writes,
            runtime.backlog,
            tasks,
            budget,
            runtime.stats,
            runtime.trusted_proxies,
            shared,
        )
        self._make: Factory = partial(Http1Connection, self.listener)
        counted = runtime.stats.handshakes.setdefault(name, HandshakeStats())
        self._handshakes = Handshakes(0, 0.0, runtime.deadlines, counted, runtime.backlog)
        self._proxy_headers = ProxyHeaders((), 0.0, runtime.deadlines, self._make)
        self._rights: Rights | None = None
        self.update(runtime)

    def update(self, runtime: Runtime) -> None:
        """Serve new requests from another runtime, and new connections with its settings.

        Connections with rights that a new connection would not get are closed after their requests.
        """
        settings = runtime.config.servers[self.name]
        server, listener = runtime.servers[self.name], self.listener
        options = None if server.tls is None else server.tls.options
        rights = Rights(
            runtime.trusted_proxies,
            server.trusted_forwarding,
            settings.proxy_protocol,
            path_rules(settings),
            options,
        )
        if self._rights is not None and rights.are_fewer_than(self._rights):
            self.cut_early()
            listener.renew()
        self._rights = rights
        listener.update(
            server, client_limits(settings), client_tcp(settings), runtime.trusted_proxies
        )
        first: Factory  # for the client's own first byte
        if server.tls is None:
            first = _connection_factory(listener, enabled_h2=settings.enabled_h2)
        else:
            handshakes, context = self._handshakes, server.tls.context
            handshakes.limit = settings.tls_max_handshakes
            handshakes.seconds = settings.tls_handshake_timeout
            after = _after_handshake(listener, enabled_h2=settings.enabled_h2)
            spoken = frozenset(word.encode() for word in server.tls.options.alpn)
            first = partial(TlsAcceptor, context, spoken, handshakes, after, server.tls.challenges)
        if server.connection_handlers:
            gate = Gate(
                server.connection_handlers,
                self.name,
                tls=server.tls is not None,
                shared=self._shared,
                failures=runtime.plugin_failures,
                refused=runtime.stats.refused,
            )
            first = partial(GatedConnection, gate, first)
        headers = self._proxy_headers
        headers.trusted, headers.seconds = runtime.trusted_proxies, settings.head_read_timeout
        headers.make = first
        self._make = partial(ProxyAcceptor, headers) if settings.proxy_protocol else first

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of an accepted connection."""
        return self._make()

    @property
    def is_busy(self) -> bool:
        """Whether any connection is open, or a request is in progress without one."""
        early = self._handshakes.under_way + self._proxy_headers.under_way
        return bool(early) or self.listener.is_busy

    def cut_early(self) -> None:
        """Close connections without a request: their clients can reconnect elsewhere."""
        self._proxy_headers.cut()
        self._handshakes.cut()


def _connection_factory(listener: Listener, *, enabled_h2: bool) -> Factory:
    """Return the factory for the protocol of a connection without TLS."""
    if not enabled_h2:
        return partial(Http1Connection, listener)
    # Importing h2 takes 60 ms and 1.5 MB, which a worker without HTTP/2 saves.
    from pingap.downstream.sniffing import SniffingConnection

    return partial(SniffingConnection, listener)


def _after_handshake(listener: Listener, *, enabled_h2: bool) -> MakeProtocol:
    """Return the factory for the protocol that ALPN selected."""
    if not enabled_h2:
        return lambda alpn: Http1Connection(listener)
    from pingap.downstream.http2_connection import Http2Connection

    return lambda alpn: (Http2Connection if alpn == "h2" else Http1Connection)(listener)
