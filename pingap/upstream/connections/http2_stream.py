"""One request on an HTTP/2 connection to an upstream, and its response: one side of an exchange."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pingap.http.errors import HTTPError, UpstreamError
from pingap.http.headers import Headers, set_unchecked
from pingap.http.ports import Asker
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol.http2_client import Http2ClientCodec
from pingap.protocol.http2_errors import CANCEL, REFUSED_STREAM, error_name
from pingap.protocol.http2_events import StreamReset
from pingap.protocol.http2_hpack import fields_block, request_block
from pingap.upstream.connections.challenges import CHALLENGES, asks_to_sign_in
from pingap.upstream.connections.http1_time_limits import SLOW_REQUEST_SECONDS
from pingap.wire.deadlines import NEVER
from pingap.wire.http2_halves import Http2Halves

if TYPE_CHECKING:
    from pingap.upstream.connections.http2_connection import Http2UpstreamConnection
    from pingap.upstream.timeouts import Timeouts


class Http2UpstreamStream(Http2Halves[Asker]):
    """A stream, which is only a reservation until the request is sent.

    :param connection: the connection it belongs to.
    """

    __slots__ = (
        "__weakref__",
        "_answering",
        "_first",
        "_over",
        "_request_done",
        "_timeouts",
        "asked_at",
    )

    may_refuse: Final = True
    """Whether the upstream can report a request as unprocessed: the body is then kept, to be sent again."""

    _connection: Http2UpstreamConnection
    _codec: Http2ClientCodec

    def __init__(self, connection: Http2UpstreamConnection) -> None:
        super().__init__(connection, connection.codec, 0)
        self._timeouts = connection.timeouts
        self._request_done = False
        self._answering = False  # the final head has arrived
        self._first: Response | None = None  # a head, passed on together with data right behind it
        self._over = False
        self.asked_at = 0.0
        """When the request was sent, or began to be."""

    def __repr__(self) -> str:
        state = "over" if self._over else "answering" if self._answering else "waiting"
        return f"<Http2UpstreamStream {self.number} {state}>"

    @property
    def began_at(self) -> float:
        """When the connection began."""
        return self._connection.began_at

    @property
    def tcp_seconds(self) -> float | None:
        """Duration of the TCP connect."""
        return self._connection.tcp_seconds

    @property
    def tls_seconds(self) -> float | None:
        """Duration of the TLS handshake; None without TLS."""
        return self._connection.tls_seconds

    @property
    def read_at(self) -> float:
        """When the connection was last read from."""
        return self._connection.read_at

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
        :param length: bytes of the body; None if unknown.
        :param timeouts: the limits of this request.
        """
        connection = self._connection
        self._exchange = exchange
        self._timeouts = timeouts
        self._reading = True
        self._ending = self._request_done = length == 0
        scheme, host = connection.scheme, connection.peer.host
        block = request_block(request, headers, length, scheme, host)
        connection.open(self, block, request.method, ended=self._ending)
        self.asked_at = now = time.monotonic()
        if not self._over:
            self._await_body(now)

    def send_chunk(self, chunk: bytes) -> None:
        if self._over:
            return
        if not self._ending and self._has_room(len(chunk)):
            self._connection.write(self._codec.data(self.number, chunk, ended=False))
        else:
            self._send_later(chunk)

    def send_end(self, trailers: Headers | None) -> None:
        if self._over:
            return
        self._ending = True
        self._trailers = trailers if trailers is not None and trailers.lines else None
        if not self._unsent:
            self._send_end()

    def abort(self) -> None:
        if not self._over:
            self._codec.reset(self.number, CANCEL)
            self._let_go()
            self._connection.flush()

    def leave(self) -> None:
        self.abort()  # sends no reset if the response is complete

    def close(self) -> None:
        self.abort()

    def begin_tunnel(self) -> None:
        pass  # HTTP/2 has no Upgrade

    def read_pieces(self) -> None:
        pass  # frames are small

    # The request.

    def _tell_full(self, full: bool) -> None:
        if self._exchange is not None:
            self._exchange.on_upstream_full(full)

    def _await_room(self) -> None:
        timeout = self._timeouts.write
        self._set_deadline(NEVER if timeout is None else time.monotonic() + timeout)

    def _send_end(self) -> None:
        if self._trailers is not None:
            end = self._codec.trailers(self.number, fields_block(self._trailers))
        else:
            end = self._codec.data(self.number, b"", ended=True)
        self._connection.write(end)
        self._finish()

    def _finish(self) -> None:
        self._request_done = True
        self._await_body(time.monotonic())

    # The response.

    def on_response(self, response: Response, ended: bool) -> None:
        """Handle a head, interim or final."""
        exchange = self._exchange
        if exchange is None:
            return
        if response.status < 200:
            self._await_body(time.monotonic())
            exchange.on_upstream_head(response)
            return
        self._answering = True
        if response.status in CHALLENGES and asks_to_sign_in(response):
            self._connection.leave_to(exchange.ctx.connection)
        if ended:
            exchange.on_upstream_head(response)
            self.on_end(None)
        else:
            self._first = response

    def on_data(self, data: bytes, size: int, ended: bool) -> None:
        if self._first is not None and self._exchange is not None:
            first, self._first = self._first, None
            exchange = self._exchange
            if ended and data:
                # A response that arrived in one read, as most small ones do, is delivered at once.
                self._codec.taken(self.number, size)
                self._let_go()
                set_unchecked(first, "content_length", len(data))
                set_unchecked(first, "body", data)
                exchange.on_upstream_whole(first)
                return
            exchange.on_upstream_head(first)
        super().on_data(data, size, ended)

    def on_end(self, trailers: Headers | None) -> None:
        self._pass_first()
        super().on_end(trailers)

    def on_waiting(self) -> None:
        """Called when no more data is available for now."""
        self._pass_first()
        if self._exchange is not None:
            if self._reading:
                self._await_body(time.monotonic())
            self._exchange.on_upstream_waiting()

    def _pass_first(self) -> None:
        if self._first is not None and self._exchange is not None:
            first, self._first = self._first, None
            self._exchange.on_upstream_head(first)

    def _pass_chunk(self, data: bytes) -> None:
        if self._exchange is not None:
            self._exchange.on_upstream_chunk(data)

    def _pass_end(self, trailers: Headers | None) -> None:
        exchange = self._exchange
        self._let_go()
        if exchange is not None:
            exchange.on_upstream_end(trailers)

    def _on_unwanted(self, size: int, ended: bool) -> None:
        pass  # the stream was reset

    def _await_body(self, now: float) -> None:
        if self.is_unsent or self._paused or not self._request_done:
            return  # it is the client's turn, or the limit for unsent data applies
        timeout = self._timeouts.read
        if timeout is not None:
            self._set_deadline(now + timeout)

    # Ends.

    def delivering(self) -> None:
        """Called when events are available; ``on_waiting`` follows."""
        if self._exchange is not None:
            self._exchange.delivering = True

    def on_deadline(self) -> None:
        """Called when ``deadline`` has passed."""
        self.deadline = NEVER
        what, kind = ("answer", "ReadTimedout")
        if self.is_unsent:
            what, kind = ("take the request", "WriteTimedout")
        error = UpstreamError(f"did not {what} in time", error_type=kind, status=504)
        self._codec.reset(self.number, CANCEL)
        self.lose(error)
        self._connection.flush()

    def on_reset(self, event: StreamReset) -> None:
        """Handle the premature end of the stream."""
        if event.broken:
            self.lose(UpstreamError(f"broke the protocol: {event.broken}"))
            return
        refused = event.code == REFUSED_STREAM and not self._answering
        name = error_name(event.code)
        self.lose(UpstreamError(f"reset the stream: {name}", unprocessed=refused))

    def on_defect(self) -> None:
        """End the exchange after a bug in pingap, which is not the upstream's fault."""
        exchange = self._exchange
        self.abort()
        if exchange is not None:
            exchange.on_upstream_lost(HTTPError(500, "Internal error"))

    def on_connection_lost(self, detail: str) -> None:
        """Handle the loss of the connection."""
        untouched = not self._answering
        self.lose(UpstreamError(f"connection lost: {detail}", untouched=untouched))

    def lose(self, error: UpstreamError) -> None:
        """End before or within the response."""
        if self._held_end is not None:
            return  # the whole response is here, for a slow client (RFC 9113, 8.1)
        exchange = self._exchange
        slow = time.monotonic() - self.asked_at > SLOW_REQUEST_SECONDS
        if slow and not (self._request_done or self.is_unsent):
            error.blameless = True  # it may have given up on a client that sends slowly
        self._let_go()
        if exchange is not None:
            error.detail = f"{self._connection.name} {error.detail}"
            exchange.on_upstream_lost(error)

    def _let_go(self) -> None:
        """Leave the exchange and the connection."""
        self._exchange = None
        self._over = True
        self.deadline = NEVER
        self._first = None
        self._unsent.clear()
        if not self._request_done:
            self._codec.reset(
                self.number, CANCEL
            )  # the response came before the whole request body
        self._stop_reading()
        self._connection.stream_ended(self)
