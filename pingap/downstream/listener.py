"""State shared by the connections of one server: its limits, counts and open connections."""

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
"""Requests that continue although their connection is closed (``ctx.finish_without_client``)."""

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """The limits of a server's clients. Times in seconds, sizes in bytes.

    :param read_timeout: between two reads of a request body.
    :param tunnel_idle_timeout: for an upgraded connection without traffic.
    :param write_timeout: for the client to accept sent data.
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
    """A connection as seen by its listener."""

    @property
    def exchanges(self) -> Collection[Exchange]:
        """The requests in progress."""

    def drain(self, *, at_once: bool) -> None:
        """Close as soon as no request is in progress.

        :param at_once: also if the client may be about to send its next request; otherwise that request is
            still served, with a notice that it is the last.
        """

    def close(self) -> None:
        """Close once written data is sent."""

    def cut(self) -> None:
        """End at once."""


class ConnectionBudget:
    """Counts the client connections of a worker (``basic.max_connections``)."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class Listener:
    """One server's part of all its connections.

    :param server: handles new requests; replaced by a reload.
    :param tasks: runs awaitables of plugins.
    :param budget: shared by all listeners of the worker, as are the stats.
    :param trusted: networks whose forwarded headers are trusted.
    :param shared: the state that the worker shares with the others.
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
        """Requests whose connection is closed: they are read to their end, or plugins are still busy with them."""
        self._is_cut = False
        self.on_idle: Callable[[], None] = lambda: None

    def update(
        self,
        server: ServerRuntime,
        limits: ClientLimits,
        tcp: TcpOptions,
        trusted: tuple[Network, ...],
    ) -> None:
        """Use another server runtime for new requests, and other limits for new connections."""
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
        """How many connections exceed the limit; not positive if it is kept.

        A request whose connection is closed counts as one; otherwise clients that disconnect would keep using
        resources.
        """
        return self._budget.used + len(self._left) - self._budget.limit

    @property
    def exchanges(self) -> Iterator[Exchange]:
        """The requests in progress."""
        for connection in self._connections:
            yield from connection.exchanges
        yield from self._left

    @property
    def is_busy(self) -> bool:
        """Whether any connection is open, or a request is in progress without one."""
        return bool(self._connections or self._left)

    def keep(self, exchange: Exchange) -> None:
        """Keep track of a request that continues although its connection is closed.

        If it is only read to its end (``unattended``), it is cancelled if there are too many.
        """
        self._left.add(exchange)
        if exchange.unattended and (self._is_cut or len(self._left) > MOST_UNATTENDED):
            exchange.give_up()

    def ended(self, exchange: Exchange) -> None:
        """Remove a request that continued without its connection."""
        if exchange in self._left:
            self._left.discard(exchange)
            self._tell_if_idle()

    def accepted(self, connection: ClientConnection, transport: asyncio.Transport) -> Connection:
        """Add a new connection, which then has to check ``excess``."""
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
        """Let another protocol serve an accepted connection."""
        self._connections.discard(old)
        self._deadlines.forget(old)
        self._connections.add(new)
        self._deadlines.watch(new)

    def closed(self, connection: ClientConnection) -> None:
        """Remove a closed connection."""
        self._connections.discard(connection)
        self._deadlines.forget(connection)
        self._budget.used -= 1
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if self.draining and not self.is_busy:
            self.on_idle()

    def drain(self, *, at_once: bool = True) -> None:
        """Let every connection close as soon as its request is answered.

        :param at_once: see ``ClientConnection.drain``.
        """
        self.draining = True
        for connection in list(self._connections):
            connection.drain(at_once=at_once)

    def renew(self) -> None:
        """Let every current connection close as soon as its request is answered; new ones are accepted."""
        for connection in list(self._connections):
            connection.drain(at_once=True)

    def cut(self) -> None:
        """Close every connection immediately; there will be no new ones."""
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
