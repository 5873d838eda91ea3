"""An HTTP/1.1 connection to an upstream, serving one exchange at a time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, cast

from pingap.http.errors import UpstreamError
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol import http1_write
from pingap.protocol.events import EndOfMessage
from pingap.protocol.http1_response import WHOLE, Event, ResponseDecoder
from pingap.upstream.connections import connect_errors
from pingap.upstream.connections.challenges import CHALLENGES, asks_to_sign_in
from pingap.upstream.connections.http1_time_limits import UpstreamTimeLimits
from pingap.wire.backlog import FULL_READ, last_time
from pingap.wire.deadlines import NEVER
from pingap.wire.tcp import MOST_REST, read_rest

if TYPE_CHECKING:
    from pingap.http.ports import Asker
    from pingap.upstream.connections.pinned import PinnedConnections
    from pingap.upstream.peer import Peer
    from pingap.upstream.timeouts import Timeouts
    from pingap.upstream.upstream import UpstreamRuntime

CLOSE_SECONDS: Final = 10.0
"""How long an upstream may take to read data sent before the connection was closed."""


class UpstreamConnection(UpstreamTimeLimits, asyncio.Protocol):
    """One connection: idle in the pool, or sending a request and reading its response.

    :param upstream: provides the time limits and the pool.
    :param peer: the address it is made to.
    """

    __slots__ = (
        "_chunked",
        "_decoder",
        "_pool",
        "_waits_for_turn",
        "_writes",
        "began_at",
        "home",
        "peer",
        "read_at",
        "tcp_seconds",
        "tls_seconds",
    )

    may_refuse: Final = False
    """See ``Http2UpstreamStream``."""

    tcp_seconds: float | None
    """Duration of the TCP connect; None until known."""
    tls_seconds: float | None
    """Duration of the TLS handshake; None without TLS."""

    def __init__(self, upstream: UpstreamRuntime, peer: Peer) -> None:
        super().__init__(upstream)
        self.peer = peer
        self.home: Peer | PinnedConnections = peer
        """Where it waits for the next request."""
        self.began_at = self.read_at = time.monotonic()
        self.tcp_seconds = self.tls_seconds = None
        self._pool = upstream.pool
        self._writes = upstream.pool.writes
        self._decoder = ResponseDecoder()
        self._chunked = False
        self._waits_for_turn = False  # work is left over to the next turn of the loop

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "busy" if self._exchange else "idle"
        return f"<UpstreamConnection {self.peer.text} {state}>"

    # Callbacks of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has its own classes
        self._transport = transport
        self._upstream.connections += 1
        self.deadline = self._upstream.idle_deadline()  # if its exchange has already ended
        self._pool.deadlines.watch(self)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()  # an idle upstream must not send anything
            return
        self.read_at = time.monotonic()
        try:
            events = self._decoder.feed(data)
        except UpstreamError as error:
            self._lose(error)
            return
        if events and events[-1] is WHOLE:
            response: Response = events[0]  # type: ignore[assignment]
            if response.status in CHALLENGES:
                self._pin(exchange, response)
            self._let_go()
            exchange.on_upstream_whole(response)
            return
        timeout = self._timeouts.read
        if timeout is not None and self._request_done and not exchange.tunnelling:
            self.deadline = self.read_at + timeout
        exchange.delivering = True
        for event in events:
            if type(event) is bytes:
                exchange.on_upstream_chunk(event)
            elif isinstance(event, EndOfMessage):
                self._finish(exchange, event)
                return
            elif isinstance(event, Response):
                if event.status in CHALLENGES:
                    self._pin(exchange, event)
                exchange.on_upstream_head(event)
            if self._exchange is None:
                self._drop_rest(events)  # the exchange needs no more of it
                break
        if self._decoder.left or len(data) >= FULL_READ:
            self._leave_over()
        exchange.on_upstream_waiting()

    def _pin(self, exchange: Asker, response: Response) -> None:
        """Serve only this client's connection from now on, if the client may authenticate on ours."""
        if asks_to_sign_in(response):
            from pingap.upstream.connections.pinned import pins_of  # which imports this module

            self.home = pins_of(exchange.ctx.connection).pin(self.peer)

    def _drop_rest(self, events: list[Event]) -> None:
        """Continue to serve if the unneeded response is complete; otherwise close."""
        if isinstance(events[-1], EndOfMessage):
            self._let_go()
        else:
            self.abort()

    def _leave_over(self) -> None:
        """Continue in the next turn of the loop, and read nothing until then."""
        transport = self._transport
        if transport is not None and not (self._waits_for_turn or transport.is_closing()):
            self._waits_for_turn = True
            transport.pause_reading()
            self._pool.backlog.add(self)

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def on_turn(self) -> None:
        """Called when it is this connection's turn to continue with the rest."""
        has_time = self._pool.backlog.has_time
        while self._takes_left and has_time():
            self.data_received(b"")
        self._waits_for_turn = False
        if self._takes_left:
            self._leave_over()
        elif not self._reading_paused:
            self._read_on()

    @property
    def _takes_left(self) -> bool:
        return bool(self._decoder.left) and self._exchange is not None and not self._reading_paused

    def eof_received(self) -> bool:
        self._leave_idle()  # now: the transport reports the end only after other requests of this turn
        if (exchange := self._exchange) is not None:
            if exchange.tunnelling:
                exchange.on_upstream_half_closed()
                return True
            try:
                events = self._decoder.eof()
            except UpstreamError as error:
                error.blameless = self._waited_for_client()
                self._lose(error)
            else:
                if events:
                    self._finish(exchange, EndOfMessage())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.connections -= 1
        self._pool.deadlines.forget(self)
        self._leave_idle()
        assert self._transport is not None
        transport, self._transport = self._transport, None
        unsent = self._writes.forget(transport)
        waited = self._waited_for_client()
        if exc is not None and self._exchange is not None:
            self._receive_rest(transport)
        if self._exchange is not None:
            error = self._loss(transport, exc)
            error.blameless = error.blameless or waited
            if unsent and error.untouched and self._exchange.request_body is None:
                error.unprocessed = True  # its head, which is the whole request, was never sent
                self._leave_broken()
            self._lose(error)

    def _loss(self, transport: asyncio.BaseTransport, exc: Exception | None) -> UpstreamError:
        if isinstance(exc, OSError) and self._lacks_connection(transport):
            return connect_errors.unreachable(exc)
        untouched = self._decoder.untouched
        return UpstreamError(f"connection lost: {exc or 'closed'}", untouched=untouched)

    def _receive_rest(self, transport: asyncio.BaseTransport) -> None:
        """Receive data from before the loss of the connection: the upstream may have responded early.

        A server that does not read all of a request resets the connection (RFC 9112, 9.6).
        """
        self._request_done = False  # it is not kept
        has_time = last_time()
        pieces = read_rest(transport, MOST_REST)
        while self._exchange is not None and has_time():
            data = b"" if self._decoder.left else next(pieces, b"")
            if not data and not self._decoder.left:
                break
            self.data_received(data)

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._await_upstream()
        if self._exchange is not None:
            self._exchange.on_upstream_full(True)

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._await_upstream()
        if self._exchange is not None:
            self._exchange.on_upstream_full(False)

    # Called by the lifecycle and the exchange.

    def send_request(
        self,
        exchange: Asker,
        request: Request,
        headers: Headers,
        length: int | None,
        timeouts: Timeouts,
    ) -> None:
        """Send a request head and begin to wait for the response.

        :param headers: the fields to send.
        :param length: bytes of the body; None for a chunked body.
        :param timeouts: the limits of this request.
        :raises UpstreamError: the connection has just been lost, and nothing was sent.
        """
        if self._transport is None:  # it was accepted, and closed before the request could be sent
            where = f"{self._upstream.name}({self.peer.text})"
            raise UpstreamError(f"{where} closed the connection unanswered", untouched=True)
        self._exchange = exchange
        self._timeouts = timeouts
        self._chunked = length is None
        self._request_done = length == 0
        self._decoder.expect(request.method, request.upgrade)
        head = http1_write.request_head(request, headers, length, self.peer.host)
        self._writes.write(self._transport, head)
        if self._request_done:
            timeout = timeouts.read
            now = exchange.ctx.upstream_connected_at
            self.deadline = NEVER if timeout is None else now + timeout
            return
        self.deadline = NEVER  # the client sends the body, and its side has a limit for that
        if self._transport.is_closing():
            # The transport reports it only in the next turn, and drops the data passed to it. For a request
            # without a body that is soon enough: see ``connection_lost``.
            self._exchange = None
            self._leave_broken()
            where = f"{self._upstream.name}({self.peer.text})"
            raise UpstreamError(f"{where} ended the connection", unprocessed=True)

    def send_chunk(self, chunk: bytes) -> None:
        if self._transport is not None:
            self._writes.write(
                self._transport, http1_write.chunk(chunk) if self._chunked else chunk
            )

    def send_end(self, trailers: Headers | None) -> None:
        self._request_done = True
        self._await_upstream()
        if self._transport is None:
            return
        if self._chunked:
            self._writes.write(self._transport, http1_write.last_chunk(trailers))
            self._chunked = False  # data after it belongs to another protocol
        elif self._exchange is not None and self._exchange.tunnelling:
            self._writes.settle(self._transport)
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def pause_body(self) -> None:
        if self._transport is not None and not self._reading_paused:
            self._reading_paused = True
            self._await_upstream()
            self._transport.pause_reading()

    def resume_body(self) -> None:
        if self._transport is not None and self._reading_paused:
            self._reading_paused = False
            self._await_upstream()
            if self._decoder.left:
                self._leave_over()
            elif not self._waits_for_turn:
                self._read_on()

    def abort(self) -> None:
        self._exchange = None
        if self._transport is not None:
            self._writes.forget(self._transport)
            self._transport.abort()

    def begin_tunnel(self) -> None:
        self._await_upstream()  # the limit for the answer is running

    def read_pieces(self) -> None:
        self._decoder.in_pieces = True

    def leave(self) -> None:
        self._exchange = None  # see ``_drop_rest``

    def close(self) -> None:
        """Close the connection once all data is sent; it must not be used any more."""
        self._leave_idle()
        if self._transport is not None:
            self.deadline = time.monotonic() + CLOSE_SECONDS
            self._writes.settle(self._transport)
            self._transport.close()

    # Ends.

    def _leave_idle(self) -> None:
        if self in self.home.idle:
            self.home.idle.remove(self)

    def _leave_broken(self) -> None:
        """Drop idle connections after this one was closed by the peer: the next attempt must not use them."""
        self.home.idle[:] = [one for one in self.home.idle if not one.is_closing]

    def _finish(self, exchange: Asker, end: EndOfMessage) -> None:
        """Handle the complete response."""
        self._let_go()
        exchange.on_upstream_end(end.trailers)

    def _let_go(self) -> None:
        """Leave the exchange, and serve another one or close."""
        self._exchange = None
        if self._decoder.reusable and self._request_done and not self._writing_paused:
            if self._reading_paused:
                self.resume_body()
            idle = self._timeouts.idle
            self.deadline = NEVER if idle is None else self.read_at + idle
            self.home.idle.append(self)
        else:
            self.close()

    def _lose(self, error: UpstreamError) -> None:
        exchange, self._exchange = self._exchange, None
        if self._transport is not None:
            self._writes.forget(self._transport)
            self._transport.abort()
        if exchange is not None:
            error.detail = f"{self._upstream.name}({self.peer.text}) {error.detail}"
            exchange.on_upstream_lost(error)
