"""The connections of HTTP/2 to one peer: who gets a stream of which, and when one more is made."""

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


class _Attempt:
    """A connection that is being made.

    :param seats: how many more requests may wait for it.
    """

    __slots__ = ("ended", "error", "seats")

    def __init__(self, seats: int) -> None:
        self.seats = seats
        self.ended = asyncio.Event()
        self.error: UpstreamError | None = None


class SharedConnections:
    """The connections of HTTP/2 to one peer."""

    __slots__ = ("_attempts", "_free", "_is_http1", "_retired", "connections")

    def __init__(self) -> None:
        self.connections: set[Http2UpstreamConnection] = set()
        """All that may begin streams, now or later."""
        self._free: list[Http2UpstreamConnection] = []  # probably; the latest that was last
        self._attempts: list[_Attempt] = []
        self._is_http1 = False  # what ALPN last led to
        self._retired = False  # what is made from now on serves those who wait, and ends

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
        """Take note that a connection can perhaps begin streams again."""
        if not connection.listed and connection in self.connections and connection.free > 0:
            connection.listed = True
            self._free.append(connection)

    def remove(self, connection: Http2UpstreamConnection) -> None:
        """Take note that a connection begins no stream any more."""
        self.connections.discard(connection)
        if connection.listed:
            connection.listed = False
            self._free.remove(connection)

    def retire(self) -> None:
        """End every connection as soon as it serves nobody; no more requests are to come."""
        self._retired = True
        for connection in list(self.connections):
            connection.retire()

    async def connect(
        self,
        make: Callable[[], Awaitable[UpstreamConnection | Http2UpstreamConnection]],
        seats: int,
    ) -> UpstreamConnection | Http2UpstreamStream:
        """Return a stream of a connection that is there, is being made or is made now.

        Requests that come at the same time wait for the same connection, as many as it has streams.

        :param make: makes a connection, of whatever protocol ALPN leads to.
        :param seats: streams of a connection.
        :raises UpstreamError: it cannot be made.
        """
        while True:
            if (stream := self.take()) is not None:
                return stream
            attempt = next((one for one in self._attempts if one.seats), None)
            if attempt is None or self._is_http1:
                made = await self._make(make, seats)
                if isinstance(made, UpstreamConnection):
                    return made
                return made.promise()
            attempt.seats -= 1
            await attempt.ended.wait()
            if attempt.error is not None:
                raise copy.copy(attempt.error)

    async def _make(
        self,
        make: Callable[[], Awaitable[UpstreamConnection | Http2UpstreamConnection]],
        seats: int,
    ) -> UpstreamConnection | Http2UpstreamConnection:
        attempt = _Attempt(seats - 1)
        self._attempts.append(attempt)
        try:
            made = await make()
        except UpstreamError as error:
            attempt.error = error
            raise
        finally:
            # (Cancelled: one of those who wait makes another attempt.)
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
