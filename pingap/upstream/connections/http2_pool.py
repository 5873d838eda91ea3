"""The HTTP/2 connections to one peer: assigns streams to requests, and decides when to connect again."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pingap.http.errors import UpstreamError
from pingap.upstream.connections.http1_connection import UpstreamConnection

if TYPE_CHECKING:
    from pingap.upstream.connections.http2_connection import Http2UpstreamConnection
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream
    from pingap.upstream.timeouts import Timeouts


class _Attempt:
    """A connection that is being made.

    :param seats: how many more requests may wait for it.
    :param timeouts: the limits of these requests: whether it takes too long depends on them.
    """

    __slots__ = ("ended", "error", "seats", "timeouts")

    def __init__(self, seats: int, timeouts: Timeouts) -> None:
        self.seats = seats
        self.timeouts = timeouts
        self.ended = asyncio.Event()
        self.error: UpstreamError | None = None


class SharedConnections:
    """The HTTP/2 connections to one peer."""

    __slots__ = ("_attempts", "_free", "_is_http1", "_retired", "connections")

    def __init__(self) -> None:
        self.connections: set[Http2UpstreamConnection] = set()
        """All connections that may begin streams, now or later."""
        self._free: list[Http2UpstreamConnection] = []  # probably free, the latest last
        self._attempts: list[_Attempt] = []
        self._is_http1 = False  # the last result of ALPN
        self._retired = False  # new connections serve only waiting requests, and then end

    def __repr__(self) -> str:
        return f"<SharedConnections {len(self.connections)}, {len(self._attempts)} being made>"

    def take(self) -> Http2UpstreamStream | None:
        """Return a stream that may begin; None if there is none."""
        free = self._free
        while free:
            connection = free[-1]
            if connection.free > 0:
                return connection.promise()
            connection.listed = False
            free.pop()
        return None

    def offer(self, connection: Http2UpstreamConnection) -> None:
        """Record that a connection may be able to begin streams again."""
        if not connection.listed and connection in self.connections and connection.free > 0:
            connection.listed = True
            self._free.append(connection)

    def remove(self, connection: Http2UpstreamConnection) -> None:
        """Record that a connection begins no more streams."""
        self.connections.discard(connection)
        if connection.listed:
            connection.listed = False
            self._free.remove(connection)

    def retire(self) -> None:
        """Close every connection as soon as it is idle; there will be no more requests."""
        self._retired = True
        for connection in list(self.connections):
            connection.retire()

    async def connect(
        self,
        make: Callable[[], Awaitable[UpstreamConnection | Http2UpstreamConnection]],
        seats: int,
        timeouts: Timeouts,
    ) -> UpstreamConnection | Http2UpstreamStream:
        """Return a stream of a connection that exists, is being made or is made now.

        Concurrent requests with the same limits wait for the same connection, up to its number of streams.

        :param make: makes a connection, with the protocol that ALPN selects.
        :param seats: streams per connection.
        :param timeouts: the limits of the request.
        :raises UpstreamError: it cannot be made.
        """
        while True:
            if (stream := self.take()) is not None:
                return stream
            attempt = self._joinable(timeouts)
            if attempt is None or self._is_http1:
                made = await self._make(make, seats, timeouts)
                if isinstance(made, UpstreamConnection):
                    return made
                return made.promise()
            attempt.seats -= 1
            await attempt.ended.wait()
            if attempt.error is not None:
                raise copy.copy(attempt.error)

    def _joinable(self, timeouts: Timeouts) -> _Attempt | None:
        for one in self._attempts:
            if one.seats and one.timeouts == timeouts:
                return one
        return None

    async def _make(
        self,
        make: Callable[[], Awaitable[UpstreamConnection | Http2UpstreamConnection]],
        seats: int,
        timeouts: Timeouts,
    ) -> UpstreamConnection | Http2UpstreamConnection:
        attempt = _Attempt(seats - 1, timeouts)
        self._attempts.append(attempt)
        try:
            made = await make()
        except UpstreamError as error:
            attempt.error = error
            raise
        finally:
            # Cancelled: one of the waiting requests makes another attempt.
            self._attempts.remove(attempt)
            attempt.ended.set()
        self._is_http1 = isinstance(made, UpstreamConnection)
        if not isinstance(made, UpstreamConnection):
            made.shared = self
            self.connections.add(made)
            self.offer(made)
            if self._retired:
                asyncio.get_running_loop().call_soon(made.retire)
        return made
