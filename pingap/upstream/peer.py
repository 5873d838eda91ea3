"""A peer: one address of an upstream, with its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pingap.plugins import peer
from pingap.upstream.connections.http2_pool import SharedConnections

if TYPE_CHECKING:
    from pingap.upstream.circuit_breaking.breakers import PeerBreaker
    from pingap.upstream.connections.http1_connection import UpstreamConnection
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream
    from pingap.upstream.stats import PeerStats


class Peer(peer.Peer):
    """A peer that requests are sent to. See :class:`pingap.Peer` for the parameters."""

    __slots__ = ("breaker", "idle", "shared", "stats")

    def __init__(
        self,
        host: str,
        address: tuple[str, int] | str,
        text: str,
        weight: int = 1,
        *,
        backup: bool = False,
    ) -> None:
        super().__init__(host, address, text, weight, backup=backup)
        self.idle: list[UpstreamConnection] = []
        """HTTP/1.1 connections that can serve another request, the most recently used last."""
        self.shared = SharedConnections()
        """Connections of HTTP/2."""
        self.stats: PeerStats | None = None
        """Counts, once there are any (``enable_backend_stats``)."""
        self.breaker: PeerBreaker | None = None
        """Its circuit breaker, if it has one and a request has come."""

    def take(self) -> UpstreamConnection | Http2UpstreamStream | None:
        """Return a free connection, or a stream of one; None if there is none."""
        if self.idle:
            return self.idle.pop()
        return self.shared.take()

    def close_idle(self) -> None:
        """Close the connections that no request uses."""
        for connection in list(self.idle):
            connection.close()
        for shared in list(self.shared.connections):
            shared.close()

    def retire(self) -> None:
        """Close all connections: idle ones now, others when they become idle."""
        self.bookkeeper = self.on_change = None
        if self.breaker is not None:
            self.breaker.forget()
        idle, self.idle = self.idle, _KeepNone()
        for connection in idle:
            connection.close()
        self.shared.retire()


class _KeepNone(list["UpstreamConnection"]):
    """Replaces ``Peer.idle`` and closes connections instead of keeping them, so that they need no check."""

    def append(self, connection: UpstreamConnection) -> None:
        connection.close()
