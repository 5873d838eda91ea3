"""An upstream: its peers, whose turn it is, and how they are connected to."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from pingap.context import Connection
from pingap.errors import UpstreamError
from pingap.messages import Request
from pingap.net.tcp import TcpOptions
from pingap.protocol.proxy_protocol import proxy_header
from pingap.tls.client_context import ClientTls
from pingap.tls.connector import TlsConnector
from pingap.tls.options import reason
from pingap.upstream.balancing import round_robin
from pingap.upstream.connection import UpstreamConnection
from pingap.upstream.pool import KeepalivePool
from pingap.upstream.proxy_introduction import IntroducedConnection, Introduction


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Peer:
    """One address of an upstream. Compared by identity: each upstream has peers of its own.

    :param host: what ``Host`` says for a request that came without one: the configured name.
    :param address: IP address and port, or the path of a Unix socket.
    :param text: the address as it is shown in logs and to plugins.
    :param idle: connections that can serve another request, the latest used last.
    """

    host: str
    address: tuple[str, int] | str
    text: str
    weight: int = 1
    idle: list[UpstreamConnection] = field(default_factory=list, repr=False)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of an upstream connection, in seconds; None for no limit (config.md 6).

    :param connect: until the connection is made.
    :param connect_in_all: until the connection is made, and TLS set up.
    :param read: between two reads of an answer, and until its first byte.
    :param write: for the upstream to take what was sent.
    :param idle: how long an unused connection is kept.
    """

    connect: float | None = None
    connect_in_all: float | None = None
    read: float | None = None
    write: float | None = None
    idle: float | None = 60.0


class UpstreamRuntime:
    """A configured upstream, ready to serve.

    :param name: the key below ``[upstreams]``.
    :param peers: at least one, unless they are found as they are asked for.
    :param tls: None for connections without TLS.
    :param proxy_protocol: ``v1`` or ``v2``: connections begin by telling whose they are.
    """

    finds_peers = False
    """A request asks for its peer by ``find_peer`` (``TransparentUpstream``)."""

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
    ) -> None:
        self.name = name
        self.peers = tuple(peers)
        self.pool = pool
        pool.add(self.peers)
        self.timeouts = timeouts
        self._tcp = tcp
        self._tls = tls
        self._proxy_protocol = proxy_protocol
        self._turns = round_robin(self.peers, [peer.weight for peer in self.peers])

    async def find_peer(self, request: Request, client: Connection) -> Peer:
        """Return the peer for a request; only where ``finds_peers``."""
        raise NotImplementedError

    def choose_peer(self) -> Peer:
        """Return the peer whose turn it is."""
        return next(self._turns)

    def idle_deadline(self) -> float:
        """Return the moment up to which a connection that is idle from now on is kept."""
        idle = self.timeouts.idle
        return math.inf if idle is None else time.monotonic() + idle

    async def connect(self, peer: Peer, client: Connection) -> UpstreamConnection:
        """Make a new connection to a peer.

        :param client: whose request needs it.
        :raises UpstreamError: it was refused, is unreachable or took too long.
        """
        where = f"{self.name}({peer.text})"
        try:
            with anyio.fail_after(self.timeouts.connect_in_all):
                return await self._open(peer, client)
        except TimeoutError:
            raise UpstreamError(
                f"{where} did not accept a connection in time",
                error_type="ConnectTimedout",
                status=504,
                connecting=True,
            ) from None
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise UpstreamError(
                f"{where} cannot be spoken to by TLS: {reason(error)}",
                error_type="TLSHandshakeFailure",
                connecting=True,
            ) from None
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            raise UpstreamError(
                f"{where} cannot be reached: {error.strerror or error}",
                error_type="ConnectRefused" if refused else "ConnectError",
                connecting=True,
            ) from None

    async def _open(self, peer: Peer, client: Connection) -> UpstreamConnection:
        header, connection = b"", UpstreamConnection
        if self._proxy_protocol:
            header, connection = _introduce(self._proxy_protocol, client), IntroducedConnection
        made = connection(self, peer)
        if (tls := self._tls_for(peer)) is None:
            await self._reach(peer, made, header)
            return made
        complete = asyncio.get_running_loop().create_future()
        connector = TlsConnector(tls, peer, made, complete)
        try:
            await self._reach(peer, connector, header)
            await complete
        except BaseException:
            connector.abort()
            if complete.done() and not complete.cancelled():
                complete.exception()  # it is known that it failed: nobody need be told
            raise
        return made

    def _tls_for(self, peer: Peer) -> ClientTls | None:
        return self._tls

    async def _reach(self, peer: Peer, protocol: asyncio.Protocol, header: bytes) -> None:
        """Make a plain connection for a protocol."""
        loop = asyncio.get_running_loop()
        if header:
            protocol = Introduction(header, protocol)
        with anyio.fail_after(self.timeouts.connect):
            if isinstance(peer.address, str):
                await loop.create_unix_connection(lambda: protocol, peer.address)
                return
            host, port = peer.address
            transport, _ = await loop.create_connection(lambda: protocol, host, port)
        self._tcp.apply(transport.get_extra_info("socket"))


def _introduce(version: str, client: Connection) -> bytes:
    return proxy_header(
        version,
        (client.remote_addr, client.remote_port),
        (client.server_addr, client.server_port),
    )
