"""A peer: one address of an upstream, its connections, and what is known of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pingap.upstream.connections.http2_pool import SharedConnections

if TYPE_CHECKING:
    from pingap.plugins.balancer import Balancer
    from pingap.upstream.circuit_breaking.breakers import PeerBreaker
    from pingap.upstream.connections.http1_connection import UpstreamConnection
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream
    from pingap.upstream.stats import PeerStats


class Peer:
    """One address of an upstream. Compared by identity: each upstream has peers of its own.

    :param host: what ``Host`` says for a request that came without one: the configured name.
    :param address: IP address and port, or the path of a Unix socket.
    :param text: the address as it is shown in logs and to plugins.
    :param weight: its share of the requests, compared to that of the others; 0: it gets none, but
        from clients that a cookie binds to it.
    :param backup: it gets requests only while no other peer is available.
    """

    __slots__ = (
        "__weakref__",
        "_obstacles",
        "address",
        "available_since",
        "backup",
        "bookkeeper",
        "breaker",
        "host",
        "idle",
        "in_flight",
        "is_available",
        "latency",
        "latency_at",
        "on_change",
        "shared",
        "stats",
        "text",
        "weight",
    )

    def __init__(
        self,
        host: str,
        address: tuple[str, int] | str,
        text: str,
        weight: int = 1,
        *,
        backup: bool = False,
    ) -> None:
        self.host = host
        self.address = address
        self.text = text
        self.weight = weight
        self.backup = backup
        self.idle: list[UpstreamConnection] = []
        """Connections of HTTP/1.1 that can serve another request, the latest used last."""
        self.shared = SharedConnections()
        """Connections of HTTP/2."""
        self.is_available = True
        """Whether requests may be sent there: nothing stands in the way."""
        self.available_since = -math.inf
        """When it was last found to be available again, or was added (``time.monotonic``)."""
        self.in_flight = 0
        """Attempts that were begun there and have not ended, the making of a connection included."""
        self.latency = 0.0
        """Moving average of the seconds until heads of answers come; 0 unless a balancer keeps it."""
        self.latency_at = 0.0
        """When the average was made."""
        self.bookkeeper: Balancer | None = None
        """The balancer, if it wants to know when an attempt has ended."""
        self.on_change: Callable[[], None] | None = None
        """Called when ``is_available`` has changed."""
        self._obstacles: set[str] = set()
        self.stats: PeerStats | None = None
        """Counts, once there are any (``enable_backend_stats``)."""
        self.breaker: PeerBreaker | None = None
        """Its circuit breaker, if it has one and a request came."""

    def take(self) -> UpstreamConnection | Http2UpstreamStream | None:
        """Return a connection, or a stream of one, that is there and free; None if none is."""
        if self.idle:
            return self.idle.pop()
        return self.shared.take()

    def close_idle(self) -> None:
        """Close the connections that no request uses."""
        for connection in list(self.idle):
            connection.close()
        for shared in list(self.shared.connections):
            shared.close()

    def block(self, obstacle: str) -> None:
        """Send no requests there until ``unblock`` is called with the same word.

        :param obstacle: who says so: ``health``, ``ejected``, ``breaker``.
        """
        self._obstacles.add(obstacle)
        if self.is_available:
            self.is_available = False
            if self.on_change is not None:
                self.on_change()

    def unblock(self, obstacle: str) -> None:
        """Take an obstacle away; does nothing if it is not there."""
        self._obstacles.discard(obstacle)
        if not self._obstacles and not self.is_available:
            self.is_available = True
            self.available_since = time.monotonic()
            if self.on_change is not None:
                self.on_change()

    def retire(self) -> None:
        """Let go of all connections: of those that are idle now, of others when they are."""
        self.bookkeeper = self.on_change = None
        if self.breaker is not None:
            self.breaker.forget()
        idle, self.idle = self.idle, _KeepNone()
        for connection in idle:
            connection.close()
        self.shared.retire()

    @property
    def obstacles(self) -> frozenset[str]:
        """What stands in the way of requests."""
        return frozenset(self._obstacles)

    def __repr__(self) -> str:
        return f"<Peer {self.text} weight {self.weight}>"


class _KeepNone(list["UpstreamConnection"]):
    """In the place of ``Peer.idle``: closes what would be kept, so that a connection need not ask."""

    def append(self, connection: UpstreamConnection) -> None:
        connection.close()
