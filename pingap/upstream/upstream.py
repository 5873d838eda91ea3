"""An upstream: its peers, the choice among them, and connections to them."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from pingap.http.connection import Connection
from pingap.http.errors import UpstreamError
from pingap.http.request import Request
from pingap.plugins import peer as plugin_peer
from pingap.protocol.proxy_protocol import proxy_header
from pingap.tls.client_context import ClientTls
from pingap.tls.options import reason
from pingap.upstream.balancing.selection import Balancing, Selection
from pingap.upstream.circuit_breaking.observer import Observer
from pingap.upstream.connections import connect_errors, dial, fast_open
from pingap.upstream.connections.alpn import Speaks
from pingap.upstream.connections.http1_connection import UpstreamConnection
from pingap.upstream.connections.pool import KeepalivePool
from pingap.upstream.connections.proxy_introduction import IntroducedConnection, Introduction
from pingap.upstream.connections.tls_connector import TlsConnector
from pingap.upstream.peer import Peer
from pingap.upstream.retrying.retry_budget import RetryBudget
from pingap.upstream.timeouts import ConnectDeadlines, Timeouts
from pingap.wire.tcp import TcpOptions

if TYPE_CHECKING:
    from pingap.config.health_check import HealthCheck
    from pingap.shared_state.state import SharedState
    from pingap.upstream.circuit_breaking.breakers import Breakers
    from pingap.upstream.connections.http2_connection import Http2UpstreamConnection
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream
    from pingap.upstream.connections.pinned import PinnedConnections
    from pingap.upstream.discovering.service import Refresher
    from pingap.upstream.health.ejection import PassiveEjection

log = logging.getLogger("pingap")

HANDSHAKE_SECONDS: Final = 30.0
"""Time limit of the TLS handshake, unless ``total_connection_timeout`` sets one."""
DEFAULT_RETRY_BUDGET: Final = 20
"""Percent."""


class UpstreamRuntime:
    """A configured upstream, ready to serve.

    :param name: the key below ``[upstreams]``.
    :param peers: at least one, unless they are created on demand.
    :param tls: None for connections without TLS.
    :param proxy_protocol: ``v1`` or ``v2``: connections begin with a PROXY header.
    :param speaks: the protocol; with ``Speaks.EITHER``, ALPN decides.
    :param max_h2_streams: concurrent requests on an HTTP/2 connection.
    :param balancing: how peers are chosen.
    :param retry_budget: percentage of the requests that may be sent again.
    """

    breakers: Breakers | None = None
    """Circuit breakers, which are also notified when attempts are over; they are among the observers."""
    is_traced = False
    """Whether the number of connections is recorded (``enable_tracer``)."""
    connections = 0
    """Open connections."""
    health_check: HealthCheck | None = None
    """How peers are checked; None: they are not."""
    ejection: PassiveEjection | None = None
    """Passive ejection; None if it is off."""
    on_peers: Callable[[UpstreamRuntime], None] | None = None
    """Called after a change of the peers, to apply their known state."""

    def __init__(
        self,
        name: str,
        peers: Sequence[Peer],
        pool: KeepalivePool,
        timeouts: Timeouts,
        tcp: TcpOptions,
        tls: ClientTls | None = None,
        *,
        proxy_protocol: str = "",
        speaks: Speaks = Speaks.HTTP1,
        max_h2_streams: int = 1,
        balancing: Balancing = Balancing(),  # noqa: B008 - it cannot be changed
        retry_budget: int = DEFAULT_RETRY_BUDGET,
    ) -> None:
        self.name = name
        self.observers: tuple[Observer, ...] = ()
        """Notified how attempts end; usually empty."""
        self._peers = tuple(peers)
        self.finds_peers = False
        """Whether requests get their peer from ``find_peer`` (``TransparentUpstream``)."""
        self.pool = pool
        self.timeouts = timeouts
        self._tcp = tcp
        self.fast_open = tcp.fast_open
        """Whether new connections may use TCP Fast Open."""
        self.tls = self._tls = tls
        self.proxy_protocol = proxy_protocol
        self.has_tls = tls is not None
        self.speaks = self._speaks = speaks
        self.may_choose = speaks is Speaks.EITHER and tls is not None
        """Whether the backend may choose HTTP/2, which has no ``Upgrade``."""
        self._warned_of_http1 = False  # although HTTP/2 is configured
        self.max_h2_streams = max_h2_streams
        self.retry_budget = RetryBudget(retry_budget)
        self.retries: dict[str, int] = {}
        """Number of retries, by reason."""
        self._balancing = balancing
        self.selection = Selection(name, self._peers, balancing)
        self.choose_peer = self.selection.choose
        """Returns the peer for a request (:meth:`Selection.choose`, or :meth:`Breakers.choose`)."""
        self.refresher: Refresher | None = None
        """Keeps the peers current; None for peers from the configuration."""

    @property
    def peers(self) -> Sequence[Peer]:
        """The current peers."""
        return self._peers

    async def find_peer(self, request: Request, client: Connection) -> Peer:
        """Return the peer for a request; only used if ``finds_peers``."""
        raise NotImplementedError

    def replace_peers(self, peers: Iterable[Peer]) -> None:
        """Replace the peers. Existing ones with the same name and address are kept.

        A new one starts slowly (``slow_start``). A removed one gets no more requests, and its connections are
        closed when idle.

        :param peers: new objects; for a kept one, only its weight and rank are used.
        """
        now = time.monotonic()
        known: dict[tuple[str, str], list[Peer]] = {}
        for peer in self._peers:
            known.setdefault((peer.host, peer.text), []).append(peer)
        before = [(peer, peer.weight, peer.backup) for peer in self._peers]
        wanted: list[Peer] = []
        for new in peers:
            if same := known.get((new.host, new.text)):
                peer = same.pop(0)
                peer.weight, peer.backup = new.weight, new.backup
            else:
                peer = new
                peer.available_since = now
            wanted.append(peer)
        for gone in known.values():
            for peer in gone:
                peer.retire()
        if [(peer, peer.weight, peer.backup) for peer in wanted] != before:
            self._peers = tuple(wanted)
            self.selection = Selection(self.name, self._peers, self._balancing)
            if self.breakers is None:
                self.choose_peer = self.selection.choose
            if self.on_peers is not None:
                self.on_peers(self)
            if self.breakers is not None:
                self.breakers.apply_known()

    def count_with(self, shared: SharedState) -> None:
        """Count with other workers from now on; called before there are requests."""
        self.retry_budget.count_with(shared, self.name)
        if self.breakers is not None:
            self.breakers.count_with(shared)

    def close(self) -> None:
        """Close all connections: there will be no more requests."""
        for peer in self.peers:
            peer.retire()
        if self.breakers is not None:
            self.breakers.close()

    def host_of(self, peer: plugin_peer.Peer) -> str:
        """Return the ``Host`` under which a peer knows itself: its configured name, with the port.

        A peer without a name has that of its certificate (``sni``), or else its address. A port that is the
        default of the scheme is omitted.
        """
        sni = self.tls.server_name if self.tls is not None else None
        if isinstance(peer.address, str):
            return sni or "localhost"
        address, port = peer.address
        name = (sni or address) if peer.host == peer.text else peer.host
        if name.count(":") == 1:
            name = name.partition(":")[0]  # a name with its port
        name = f"[{name}]" if ":" in name else name
        return name if port == (443 if self.has_tls else 80) else f"{name}:{port}"

    def idle_deadline(self) -> float:
        """Return the time until which a connection that is idle from now on is kept."""
        idle = self.timeouts.idle
        return math.inf if idle is None else time.monotonic() + idle

    async def connect(
        self,
        peer: Peer,
        client: Connection,
        home: Peer | PinnedConnections,
        timeouts: Timeouts,
        *,
        upgrades: bool = False,
        repeatable: bool = False,
    ) -> UpstreamConnection | Http2UpstreamStream:
        """Make a new connection to a peer; with HTTP/2, share an existing one if there is one by now.

        :param client: the connection whose request needs it.
        :param home: where it waits for further requests.
        :param timeouts: the limits of the request.
        :param upgrades: HTTP/1.1 is required, even if both versions are allowed.
        :param repeatable: the request has no body and can be repeated safely, so it may be sent before the
            connection is established (``fast_open``), and a failure to connect may be reported later.
        :raises UpstreamError: it was refused, is unreachable or took too long.
        """
        make = partial(self._connect, peer, client, timeouts, upgrades, repeatable)
        if self._speaks is not Speaks.HTTP1 and not upgrades:
            connection = await home.shared.connect(make, self.max_h2_streams, timeouts)
        else:
            made = await make()
            assert isinstance(made, UpstreamConnection)
            connection = made
        if isinstance(connection, UpstreamConnection):
            connection.home = home
        return connection

    async def _connect(
        self,
        peer: Peer,
        client: Connection,
        timeouts: Timeouts,
        upgrades: bool,
        repeatable: bool,
    ) -> UpstreamConnection | Http2UpstreamConnection:
        where = f"{self.name}({peer.text})"
        until = timeouts.connecting_from(time.monotonic())
        try:
            return await self._open(peer, client, upgrades, repeatable, until)
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise UpstreamError(
                f"{where} failed the TLS handshake: {reason(error)}",
                error_type="InvalidCert"
                if isinstance(error, ssl.CertificateError)
                else "TLSHandshakeFailure",
                connecting=True,
            ) from None
        except OSError as error:  # includes TimeoutError
            failure = connect_errors.unreachable(error)
            failure.detail = f"{where} {failure.detail}"
            raise failure from None

    async def _open(
        self,
        peer: Peer,
        client: Connection,
        upgrades: bool,
        repeatable: bool,
        until: ConnectDeadlines,
    ) -> UpstreamConnection | Http2UpstreamConnection:
        header = _introduce(self.proxy_protocol, client) if self.proxy_protocol else b""
        if (tls := self._tls_for(peer)) is None:
            made = self._protocol(peer, "h2" if self._speaks is Speaks.HTTP2 else None)
            late: Callable[[], None] | None = None
            if not isinstance(made, UpstreamConnection):
                late = partial(made.refuse, TimeoutError())
            elif repeatable:
                late = made.on_connect_timeout
            began = time.monotonic()
            await self._reach(peer, made, header, until.tcp, late)
            made.tcp_seconds = time.monotonic() - began
        else:
            made = await self._open_tls(peer, tls.http1 if upgrades else tls, header, until)
        if not isinstance(made, UpstreamConnection):
            try:
                with anyio.fail_after(until.whole - time.monotonic()):
                    await asyncio.shield(made.ready)
            except BaseException:
                made.abort()
                raise
        return made

    async def _open_tls(
        self, peer: Peer, tls: ClientTls, header: bytes, until: ConnectDeadlines
    ) -> UpstreamConnection | Http2UpstreamConnection:
        complete = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        make = partial(self._protocol, peer)
        connector = TlsConnector(tls, peer, self.pool.backlog, make, complete)
        try:
            refuse = partial(connector.refused, TimeoutError())
            await self._reach(peer, connector, header, until.tcp, refuse)
            made = await self._handshake(peer, complete, until.whole)
        except BaseException:
            connector.abort()
            if not complete.cancel() and not complete.cancelled():
                complete.exception()  # marks the exception as retrieved, as nothing may be waiting
            raise
        made.tcp_seconds = connector.connected_at - began
        made.tls_seconds = connector.established_at - connector.connected_at
        return made

    async def _handshake(
        self,
        peer: Peer,
        complete: asyncio.Future[UpstreamConnection | Http2UpstreamConnection],
        until: float,
    ) -> UpstreamConnection | Http2UpstreamConnection:
        """Return the connection after the TLS handshake."""
        limit = HANDSHAKE_SECONDS if until == math.inf else until - time.monotonic()
        with anyio.move_on_after(limit):
            return await complete
        raise UpstreamError(
            f"{self.name}({peer.text}) did not complete the TLS handshake in time",
            error_type="ConnectTimedout",
            status=504,
            connecting=True,
        )

    def _protocol(
        self, peer: Peer, alpn: str | None
    ) -> UpstreamConnection | Http2UpstreamConnection:
        """Return the protocol of a connection that is being made.

        :param alpn: the negotiated protocol.
        """
        if alpn != "h2":
            if self._speaks is Speaks.HTTP2 and not self._warned_of_http1:
                self._warned_of_http1 = True
                where = f"{self.name}({peer.text})"
                log.warning("%s does not offer HTTP/2 (ALPN h2): HTTP/1.1 is used", where)
            kind = IntroducedConnection if self.proxy_protocol else UpstreamConnection
            return kind(self, peer)
        # Importing h2 takes 60 ms and 1.5 MB, which a worker without HTTP/2 saves.
        from pingap.upstream.connections.http2_connection import Http2UpstreamConnection

        return Http2UpstreamConnection(self, peer)

    def _tls_for(self, peer: Peer) -> ClientTls | None:
        return self._tls

    async def _reach(
        self,
        peer: Peer,
        protocol: asyncio.Protocol,
        header: bytes,
        until: float,
        late: Callable[[], None] | None,
    ) -> None:
        """Make a plain connection for a protocol.

        :param late: called if TCP Fast Open is used and the connection is not established in time; None: it
            is not used.
        """
        if header:
            protocol = Introduction(header, protocol)
        with anyio.fail_after(until - time.monotonic()):
            if self.fast_open and late is not None and not isinstance(peer.address, str):
                await fast_open.connect(protocol, peer.address, self._tcp, until, late)
            else:
                await dial.connect(protocol, peer.address, self._tcp)


def _introduce(version: str, client: Connection) -> bytes:
    return proxy_header(
        version,
        (client.remote_addr, client.remote_port),
        (client.server_addr, client.server_port),
    )
