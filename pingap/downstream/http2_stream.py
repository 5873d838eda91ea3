"""One request on an HTTP/2 connection, and its response: the client side of one exchange.

Data to be sent waits here while the client's windows have no room, and received data waits while the upstream
does not accept it. Each is limited by a window, and each makes the other side wait.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pingap.downstream.http1_connection import LINGER_SECONDS
from pingap.downstream.http2_request_body import Http2RequestBody
from pingap.http.context import RequestContext
from pingap.http.errors import BadRequest, HTTPError
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol.http2_errors import CANCEL, INTERNAL_ERROR, NO_ERROR
from pingap.protocol.http2_frames import MOST_FRAME
from pingap.protocol.http2_hpack import fields_block, response_block
from pingap.proxy.exchange import Exchange
from pingap.proxy.lifecycle import handle
from pingap.wire.deadlines import NEVER

if TYPE_CHECKING:
    from pingap.downstream.http2_connection import Http2Connection
    from pingap.proxy.async_hooks import HookTasks
    from pingap.proxy.sides import Leavers
    from pingap.wire.backlog import Backlog

_NO_BODY: Final = frozenset((204, 304))


class Http2Stream(Http2RequestBody):
    """A stream. The codec keeps its state.

    :param connection: the connection it belongs to.
    :param number: of the stream.
    """

    __slots__ = (
        "_announced",
        "_bodyless",
        "_head",
        "_method",
        "_over",
        "body_bytes_sent",
    )

    def __init__(self, connection: Http2Connection, number: int) -> None:
        super().__init__(connection, number)
        self.body_bytes_sent = 0
        self._method = ""
        self._head = b""  # waits for the first piece of the body: one write for both
        self._bodyless = False
        self._announced: int | None = None  # remaining bytes of the body
        self._over = False  # nothing more can be sent

    def __repr__(self) -> str:
        state = "over" if self._over else f"{len(self._unsent)} unsent"
        return f"<Http2Stream {self.number} {state}>"

    def begin(self, request: Request, refusal: BadRequest | None, now: float) -> None:
        """Begin the exchange of a received request."""
        connection = self._connection
        self._method = request.method
        ctx = RequestContext(connection.connection, now)
        self._exchange = exchange = Exchange(connection.server, self, request, ctx)
        if exchange.request_body is not None:
            self._reading = True
            self._await_body(now)
        if connection.crowded:
            exchange.holding = True
        exchange.lifecycle = handle(exchange, refusal).__await__()
        exchange.step()

    def on_deadline(self) -> None:
        """Called when ``deadline`` has passed."""
        self.deadline = NEVER
        if self._lingering:
            self._end_linger()
        elif self._unsent:
            if self._connection.writable and self._codec.room(self.number) <= 0:
                self._end(CANCEL)
            else:
                self._await_room()  # it waits for the window of the connection, not of this stream
        elif self._reading and self._exchange is not None:
            error = BadRequest("The request body did not arrive in time", 408)
            self._exchange.on_request_broken(error)

    def on_reset(self) -> None:
        """Handle the premature end of the stream."""
        self._lingering = False
        self._let_go()
        if self._exchange is not None:
            self._exchange.on_client_gone()

    def on_defect(self) -> None:
        """End the exchange after a bug in pingap: with 500, unless its head has been sent."""
        if self._exchange is not None:
            self._exchange.on_request_broken(HTTPError(500, "Internal error"))
        else:
            self._lingering = False
            self._end(INTERNAL_ERROR)

    # The response.

    @property
    def tasks(self) -> HookTasks:
        return self._connection.tasks

    @property
    def backlog(self) -> Backlog:
        return self._connection.backlog

    @property
    def leavers(self) -> Leavers:
        return self._connection.leavers

    def send_interim(self, response: Response) -> None:
        if not self._over and response.status != 101:
            block = response_block(response, None)
            self._connection.write(self._codec.interim(self.number, block))

    def send_whole(self, response: Response, body: bytes) -> None:
        if self._over:
            return
        self.send_head(response, len(body))
        if self._bodyless or not body:
            self.send_end(None)
        elif len(body) <= MOST_FRAME and self._has_room(len(body)):
            self.body_bytes_sent = len(body)
            codec, number, head = self._codec, self.number, self._head
            self._head = b""
            self._connection.write(
                codec.head(number, head, ended=False) + codec.data(number, body, ended=True)
            )
            self._finish()
        else:
            self._ending = True
            self.send_chunk(body)

    def send_head(self, response: Response, length: int | None) -> None:
        """Begin a response. Its head is sent with the first piece of the body, or by ``flush``."""
        status = response.status
        self._bodyless = self._method == "HEAD" or status in _NO_BODY
        self._announced = length
        self.body_bytes_sent = 0
        if status == 204 or (status == 304 and not length):
            length = None  # RFC 9110, 8.6
        self._head = response_block(response, length)

    def withdraw_head(self) -> bool:
        """Drop the head, if it has not been sent."""
        waited, self._head = bool(self._head), b""
        return waited and not self._over

    def begin_tunnel(self, response: Response) -> None:
        self.cut()  # cannot have been requested: HTTP/2 has no Upgrade

    def watch_tunnel(self) -> None:
        pass

    def flush(self) -> None:
        if self._head and not self._over:
            self._connection.write(self._take_head())

    def _take_head(self, *, ended: bool = False) -> bytes:
        head, self._head = self._head, b""
        return self._codec.head(self.number, head, ended=ended) if head else b""

    def send_chunk(self, chunk: bytes) -> None:
        if self._bodyless or self._over:
            return
        if self._announced is not None:
            self._announced -= len(chunk)
            if self._announced < 0:
                self.cut()
                return
        self.body_bytes_sent += len(chunk)
        if not self._ending and self._has_room(len(chunk)):
            head = self._take_head()
            self._connection.write(head + self._codec.data(self.number, chunk, ended=False))
            return
        self.flush()
        self._send_later(chunk)

    def _tell_full(self, full: bool) -> None:
        if self._exchange is not None:
            self._exchange.on_client_full(full)
        if full or self._connection.crowded:
            self._connection.weigh()

    def send_end(self, trailers: Headers | None) -> None:
        if self._over:
            return
        if self._announced and not self._bodyless:
            self.cut()
            return
        self._ending = True
        self._trailers = trailers if trailers is not None and trailers.lines else None
        if not self._unsent:
            self._send_end()

    def _send_end(self) -> None:
        codec, number = self._codec, self.number
        if self._trailers is not None:
            block = fields_block(self._trailers)
            end = self._take_head() + codec.head(number, block, ended=True)
        elif self._head:
            end = self._take_head(ended=True)
        else:
            end = codec.data(number, b"", ended=True)
        self._connection.write(end)
        self._finish()

    def _await_room(self) -> None:
        self._set_deadline(time.monotonic() + self._connection.limits.write_timeout)

    # The end.

    def _finish(self) -> None:
        if not self._codec.is_ended(self.number):
            self._lingering = True
        self._let_go()
        self._connection.flush()
        if self._lingering:
            self._set_deadline(time.monotonic() + LINGER_SECONDS)

    def _end_linger(self) -> None:
        self._lingering = False
        self._codec.reset(self.number, NO_ERROR)  # if it has not ended
        self._connection.flush()
        self._let_go()

    def cut(self) -> None:
        self._end(INTERNAL_ERROR)

    def _end(self, code: int) -> None:
        """Reset the stream."""
        if self._over:
            return
        self._codec.reset(self.number, code)
        self._let_go()
        self._connection.flush()
        if code == CANCEL and self._exchange is not None:
            self._exchange.on_client_gone()

    def _let_go(self) -> None:
        self._over = True
        self.deadline = NEVER
        self._connection.forget_unsent(self)
        self._head = b""
        if self._unsent:
            self._unsent.clear()
            if self._connection.crowded:
                self._connection.weigh()
        self._stop_reading()
        if self._exchange is None and not self._lingering:
            self._connection.stream_ended(self)

    def exchange_ended(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._connection.exchange_ended(exchange)
        if self._lingering:
            return
        if self._over:
            self._connection.stream_ended(self)
        elif self._ending:
            self._stop_reading()
            self._connection.flush()
        else:
            self.cut()  # otherwise it would never end
