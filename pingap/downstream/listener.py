"""What the connections of one server share: its limits, its state, and who they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

from pingap.http.connection import Connection
from pingap.http.networks import Network
from pingap.protocol.events import HeadLimits
from pingap.shared_state.local import LocalState
from pingap.wire.backlog import Backlog
from pingap.wire.deadlines import Deadlines, Watched
from pingap.wire.tcp import TcpOptions
from pingap.wire.write_batch import WriteBatch

if TYPE_CHECKING:
    from pingap.observability.counters import WorkerStats
    from pingap.proxy.async_hooks import HookTasks
    from pingap.proxy.exchange import Exchange
    from pingap.proxy.runtime import ServerRuntime
    from pingap.shared_state.state import SharedState

MOST_TURNED_AWAY: Final = 64
"""Connections above ``max_connections`` whose first bytes are awaited, to answer in their protocol."""

MOST_UNATTENDED: Final = 256
"""Requests that go on though their connection is gone (``ctx.finish_without_client``)."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What a server allows a client. Times in seconds, sizes in bytes.

    :param read_timeout: between two reads of a request body.
    :param tunnel_idle_timeout: for an upgraded connection on which nothing passes.
    :param write_timeout: for the client to take what was sent.
    :param pipeline_buffer_size: bytes of further requests held while one is being answered.
    """

    head: HeadLimits
    head_read_timeout: float = 60.0
    read_timeout: float = 60.0
    write_timeout: float = 60.0
    keepalive_timeout: float = 75.0
    keepalive_requests: int = 100_000
    tunnel_idle_timeout: float = 3600.0
    pipeline_buffer_size: int = 64 * 1024


class ClientConnection(Watched, Protocol):
    """A connection as its listener sees it."""

    @property
    def exchanges(self) -> Collection[Exchange]:
        """The requests that are under way."""

    def drain(self, *, at_once: bool) -> None:
        """End as soon as no request is under way.

        :param at_once: also where the client may be sending its next request just now; otherwise
            that one is still served, and told that it is the last.
        """

    def close(self) -> None:
        """End once what was written is sent."""

    def cut(self) -> None:
        """End at once."""


class ConnectionBudget:
    """How many client connections a worker holds (``basic.max_connections``)."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class Listener:
    """One server's side of all its connections.

    :param server: what a new request is handled with; replaced by a reload.
    :param tasks: where what plugins await is run.
    :param budget: shared by all listeners of the worker, as are the stats.
    :param trusted: networks whose forwarding headers are believed.
    :param shared: what the worker shares with the others.
    """

    def __init__(
        self,
        server: ServerRuntime,
        limits: ClientLimits,
        tcp: TcpOptions,
        deadlines: Deadlines,
        writes: WriteBatch,
        backlog: Backlog,
        tasks: HookTasks,
        budget: ConnectionBudget,
        stats: WorkerStats,
        trusted: tuple[Network, ...] = (),
        shared: SharedState | None = None,
    ) -> None:
        self.server = server
        self.limits = limits
        self.tasks = tasks
        self.writes = writes
        self.backlog = backlog
        self.draining = False
        self._tcp = tcp
        self._deadlines = deadlines
        self._budget = budget
        self._stats = stats
        self._trusted = trusted
        self._shared = LocalState() if shared is None else shared
        self._connections: set[ClientConnection] = set()
        self._left: set[Exchange] = set()
        """Requests whose connection is gone: they are read to their end, or plugins are not done with them."""
        self._is_cut = False
        self.on_idle: Callable[[], None] = lambda: None

    def update(
        self,
        server: ServerRuntime,
        limits: ClientLimits,
        tcp: TcpOptions,
        trusted: tuple[Network, ...],
    ) -> None:
        """Handle new requests with another server, and new connections with other limits."""
        self.server = server
        self.limits = limits
        self._tcp = tcp
        self._trusted = trusted

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    @property
    def excess(self) -> int:
        """How many connections there are above the limit; not positive if it is kept.

        A request whose connection is gone counts as one: else clients that leave would go on taking room.
        """
        return self._budget.used + len(self._left) - self._budget.limit

    @property
    def exchanges(self) -> Iterator[Exchange]:
        """The requests that are under way."""
        for connection in self._connections:
            yield from connection.exchanges
        yield from self._left

    @property
    def is_busy(self) -> bool:
        """Whether any connection is open, or a request goes on without one."""
        return bool(self._connections or self._left)

    def keep(self, exchange: Exchange) -> None:
        """Wait for a request that goes on, though its connection is gone.

        One that is only read to its end (``unattended``) is given up if there are too many.
        """
        self._left.add(exchange)
        if exchange.unattended and (self._is_cut or len(self._left) > MOST_UNATTENDED):
            exchange.give_up()

    def ended(self, exchange: Exchange) -> None:
        """Forget a request that went on without its connection."""
        if exchange in self._left:
            self._left.discard(exchange)
            self._tell_if_idle()

    def accepted(self, connection: ClientConnection, transport: asyncio.Transport) -> Connection:
        """Take in a new connection, which is to look whether it is in ``excess``."""
        self._connections.add(connection)
        self._deadlines.watch(connection)
        self._budget.used += 1
        if (sock := transport.get_extra_info("socket")) is not None:
            self._tcp.apply(sock)
        peer = transport.get_extra_info("peername")
        return Connection(
            next(_numbers),
            endpoint(peer),
            endpoint(transport.get_extra_info("sockname")),
            server=self.server.name,
            stats=self._stats,
            shared=self._shared,
            tls=transport.get_extra_info("tls_details"),
            trusted=self._trusted,
            family=self.server.trusted_forwarding,
            unix=isinstance(peer, str | bytes),
        )

    def replace(self, old: ClientConnection, new: ClientConnection) -> None:
        """Let another protocol serve a connection that was accepted."""
        self._connections.discard(old)
        self._deadlines.forget(old)
        self._connections.add(new)
        self._deadlines.watch(new)

    def closed(self, connection: ClientConnection) -> None:
        """Forget a connection that ended."""
        self._connections.discard(connection)
        self._deadlines.forget(connection)
        self._budget.used -= 1
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if self.draining and not self.is_busy:
            self.on_idle()

    def drain(self, *, at_once: bool = True) -> None:
        """Let every connection end as soon as its request is answered.

        :param at_once: see ``ClientConnection.drain``.
        """
        self.draining = True
        for connection in list(self._connections):
            connection.drain(at_once=at_once)

    def renew(self) -> None:
        """Let every connection of now end as soon as its request is answered; others may come."""
        for connection in list(self._connections):
            connection.drain(at_once=True)

    def cut(self) -> None:
        """End every connection at once; there will be no others."""
        self._is_cut = True
        for connection in list(self._connections):
            connection.cut()
        for exchange in list(self._left):
            exchange.give_up()


def endpoint(name: Any) -> tuple[str, int]:
    """Return address and port; a Unix socket has neither."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return "", 0
