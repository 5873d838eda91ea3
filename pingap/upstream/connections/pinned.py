"""Upstream connections that carry the identity of one client, and are never used for another one.

With NTLM and Negotiate (RFC 4559), a server attributes every request on a connection to the client that
authenticated on it. So such a connection belongs to the client's connection: it serves only its requests,
and ends with it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, cast

from pingap.http.request import Request
from pingap.upstream.connections.challenges import SCHEMES
from pingap.upstream.connections.http2_pool import SharedConnections

if TYPE_CHECKING:
    from pingap.http.connection import Connection
    from pingap.http.context import RequestContext
    from pingap.upstream.connections.http1_connection import UpstreamConnection
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime

MOST_IDLE: Final = 8
"""HTTP/1.1 connections to one peer that are kept for one client connection."""


class _KeepFew(list["UpstreamConnection"]):
    """Idle connections; those beyond the limit are closed."""

    def append(self, connection: UpstreamConnection) -> None:
        if len(self) < MOST_IDLE:
            super().append(connection)
        else:
            connection.close()


class PinnedConnections:
    """The connections to one peer that belong to one client connection."""

    __slots__ = ("idle", "shared")

    def __init__(self) -> None:
        self.idle: list[UpstreamConnection] = _KeepFew()
        """HTTP/1.1 connections that can serve another request, the most recently used last."""
        self.shared = SharedConnections()
        """Connections of HTTP/2."""

    def take(self) -> UpstreamConnection | Http2UpstreamStream | None:
        """Return a free connection, or a stream of one; None if there is none."""
        if self.idle:
            return self.idle.pop()
        return self.shared.take()

    def release(self) -> None:
        """Close all connections, now or when their last request has ended."""
        idle, self.idle = self.idle, _KeepNone()
        for connection in idle:
            connection.close()
        self.shared.retire()


class _KeepNone(list["UpstreamConnection"]):
    def append(self, connection: UpstreamConnection) -> None:
        connection.close()


class Pins:
    """All upstream connections that belong to one client connection."""

    __slots__ = ("_ended", "_peers")

    def __init__(self) -> None:
        self._peers: dict[Peer, PinnedConnections] = {}
        self._ended = False

    def __contains__(self, peer: Peer) -> bool:
        return peer in self._peers

    def pin(self, peer: Peer) -> PinnedConnections:
        """Return the connections to a peer, which are not shared from now on."""
        if (found := self._peers.get(peer)) is None:
            found = self._peers[peer] = PinnedConnections()
            if self._ended:
                found.release()
        return found

    def choose(self, upstream: UpstreamRuntime, tried: Collection[Peer]) -> Peer | None:
        """Return the peer on which the client has authenticated; None if there is none or it is unavailable."""
        for peer in reversed(self._peers):
            if peer.is_available and peer not in tried and peer in upstream.peers:
                return peer
        return None

    def release(self) -> None:
        """Close all connections: the client's connection has ended."""
        self._ended = True
        for pinned in self._peers.values():
            pinned.release()


def pins_of(client: Connection) -> Pins:
    """Return the pins of a client connection."""
    pins = client.pins
    if pins is None:
        pins = client.pins = Pins()
    return cast(Pins, pins)


def home_for(request: Request, ctx: RequestContext, peer: Peer) -> Peer | PinnedConnections:
    """Return the connections that a request uses: those that all clients share, or the client's own."""
    client = ctx.connection
    known = client.pins is not None and peer in client.pins
    if known or ctx.pins_upstream or _signs_in(request):
        return pins_of(client).pin(peer)
    return peer


def _signs_in(request: Request) -> bool:
    """Return whether a request authenticates its connection."""
    values = request.headers.find_all(b"authorization")
    return any(value[:9].lower().startswith(SCHEMES) for value in values)
