"""A WebSocket on one HTTP/2 stream (RFC 8441): the client side of a tunnel.

For the lifecycle it is a request with ``Upgrade``, as over HTTP/1.1. The body of the stream contains the data
of the new protocol; it is held until the upstream has accepted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pingap.downstream.http2_stream import Http2Stream
from pingap.http.errors import BadRequest
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol.http2_errors import CANCEL
from pingap.protocol.websocket import add_key
from pingap.wire.deadlines import NEVER

if TYPE_CHECKING:
    from pingap.downstream.http2_connection import Http2Connection


class Http2WebSocket(Http2Stream):
    """A stream that began with an extended CONNECT."""

    __slots__ = ("_tunnelling",)

    def __init__(self, connection: Http2Connection, number: int) -> None:
        super().__init__(connection, number)
        self._tunnelling = False
        self._reading = self._paused = True

    def begin(self, request: Request, refusal: BadRequest | None, now: float) -> None:
        add_key(request)
        if self._codec.is_ended(self.number):
            self._held_end = (None,)
        super().begin(request, refusal, now)

    def begin_tunnel(self, response: Response) -> None:
        """Send 200, the equivalent of 101 in HTTP/1.1; pass on received data."""
        self._tunnelling = True
        headers = response.headers.copy()
        headers.discard(b"sec-websocket-accept")  # RFC 8441, 5
        self.send_head(Response.from_upstream(200, b"", headers, None), None)
        self.flush()
        self.resume_body()
        self.watch_tunnel()

    def send_chunk(self, chunk: bytes) -> None:
        super().send_chunk(chunk)
        if self._tunnelling:
            self.watch_tunnel()

    def pushed(self) -> None:
        super().pushed()
        if self._tunnelling:
            self.watch_tunnel()

    def on_end(self, trailers: Headers | None) -> None:
        super().on_end(trailers)
        if self._tunnelling:
            self.watch_tunnel()

    def pause_body(self) -> None:
        self._paused = True  # the time limit of a silent tunnel stays

    def _await_body(self, now: float) -> None:
        self.watch_tunnel()

    def watch_tunnel(self) -> None:
        """Limit how long a tunnel may be silent; less once one of its sides has ended."""
        exchange = self._exchange
        if self._over or self.is_unsent or exchange is None:
            return
        limits = self._connection.limits
        ended = self._ending or not self._reading
        seconds = limits.write_timeout if ended else limits.tunnel_idle_timeout
        self._set_deadline(min(time.monotonic() + seconds, exchange.tunnel_deadline))

    def on_deadline(self) -> None:
        exchange = self._exchange
        if not self._tunnelling or self.is_unsent or exchange is None:
            super().on_deadline()
            return
        self.deadline = NEVER
        if not exchange.on_tunnel_deadline():
            self._end(CANCEL)
        elif self._exchange is exchange:
            self.watch_tunnel()

    def _finish(self) -> None:
        """Handle the end of our side; a tunnel continues until the client's side has ended, too."""
        is_open = self._exchange is not None and not self._codec.is_ended(self.number)
        if self._tunnelling and is_open:
            self._connection.flush()
            self.watch_tunnel()
        else:
            super()._finish()

    def exchange_ended(self) -> None:
        super().exchange_ended()
        if self._tunnelling and not self._over and not self.is_unsent:
            self._finish()  # the client's side may still be open: its answer to a close frame is read
