"""A peer: one address of an upstream, its connections, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pingap.upstream.http2_pool import SharedConnections

if TYPE_CHECKING:
    from pingap.upstream.breakers import PeerBreaker
    from pingap.upstream.connection import UpstreamConnection
    from pingap.upstream.http2_stream import Http2UpstreamStream
    from pingap.upstream.stats import PeerStats


class Peer:
    """One address of an upstream. Compared by identity: each upstream has peers of its own.

    :param host: what ``Host`` says for a request that came without one: the configured name.
    :param address: IP address and port, or the path of a Unix socket.
    :param text: the address as it is shown in logs and to plugins.
    :param weight: its share of the requests, compared to that of the others.
    """

    __slots__ = (
        "__weakref__",
        "_obstacles",
        "address",
        "breaker",
        "host",
        "idle",
        "in_flight",
        "is_available",
        "shared",
        "stats",
        "text",
        "weight",
    )

    def __init__(
        self, host: str, address: tuple[str, int] | str, text: str, weight: int = 1
    ) -> None:
        self.host = host
        self.address = address
        self.text = text
        self.weight = weight
        self.idle: list[UpstreamConnection] = []
        """Connections of HTTP/1.1 that can serve another request, the latest used last."""
        self.shared = SharedConnections()
        """Connections of HTTP/2."""
        self.is_available = True
        """Whether requests may be sent there: nothing stands in the way."""
        self._obstacles: set[str] = set()
        self.in_flight = 0
        """Requests it is asked to answer now."""
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
        self.is_available = False

    def unblock(self, obstacle: str) -> None:
        """Take an obstacle away; does nothing if it is not there."""
        self._obstacles.discard(obstacle)
        self.is_available = not self._obstacles

    @property
    def obstacles(self) -> frozenset[str]:
        """What stands in the way of requests."""
        return frozenset(self._obstacles)

    def __repr__(self) -> str:
        return f"<Peer {self.text} weight {self.weight}>"
