"""An upstream: its peers, whose turn it is, and how they are connected to."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from pingap.errors import UpstreamError
from pingap.net.tcp import TcpOptions
from pingap.upstream.balancing import round_robin
from pingap.upstream.connection import UpstreamConnection
from pingap.upstream.pool import KeepalivePool


@dataclass(frozen=True, slots=True, eq=False)
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
    :param read: between two reads of an answer, and until its first byte.
    :param write: for the upstream to take what was sent.
    :param idle: how long an unused connection is kept.
    """

    connect: float | None = None
    read: float | None = None
    write: float | None = None
    idle: float | None = 60.0


class UpstreamRuntime:
    """A configured upstream, ready to serve.

    :param name: the key below ``[upstreams]``.
    :param peers: at least one.
    """

    def __init__(
        self,
        name: str,
        peers: Sequence[Peer],
        pool: KeepalivePool,
        timeouts: Timeouts,
        tcp: TcpOptions,
    ) -> None:
        self.name = name
        self.peers = tuple(peers)
        self.pool = pool
        pool.add(self.peers)
        self.timeouts = timeouts
        self._tcp = tcp
        self._turns = round_robin(self.peers, [peer.weight for peer in self.peers])

    def choose_peer(self) -> Peer:
        """Return the peer whose turn it is."""
        return next(self._turns)

    def idle_deadline(self) -> float:
        """Return the moment up to which a connection that is idle from now on is kept."""
        idle = self.timeouts.idle
        return math.inf if idle is None else time.monotonic() + idle

    async def connect(self, peer: Peer) -> UpstreamConnection:
        """Make a new connection to a peer.

        :raises UpstreamError: it was refused, is unreachable or took too long.
        """
        where = f"{self.name}({peer.text})"
        try:
            with anyio.fail_after(self.timeouts.connect):
                return await self._open(peer)
        except TimeoutError:
            raise UpstreamError(
                f"{where} did not accept a connection in time",
                error_type="ConnectTimedout",
                status=504,
                connecting=True,
            ) from None
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            raise UpstreamError(
                f"{where} cannot be reached: {error.strerror or error}",
                error_type="ConnectRefused" if refused else "ConnectError",
                connecting=True,
            ) from None

    async def _open(self, peer: Peer) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        connection = UpstreamConnection(self, peer)
        if isinstance(peer.address, str):
            await loop.create_unix_connection(lambda: connection, peer.address)
            return connection
        host, port = peer.address
        transport, _ = await loop.create_connection(lambda: connection, host, port)
        self._tcp.apply(transport.get_extra_info("socket"))
        return connection
