"""A client's HTTP/1.1 connection: reads requests, one exchange at a time, and writes responses.

Pipelining, keep-alive and the orderly end of a connection are handled here. The codec handles bytes, and the
lifecycle handles requests.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from pingap.downstream.http1_reader import Http1Reader
from pingap.downstream.http1_time_limits import PROBE_SECONDS
from pingap.http.connection import Connection
from pingap.http.context import RequestContext
from pingap.http.errors import BadRequest
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol.events import EndOfMessage
from pingap.proxy.exchange import Exchange
from pingap.proxy.lifecycle import handle
from pingap.wire.backlog import PIECE, Backlog
from pingap.wire.deadlines import NEVER

if TYPE_CHECKING:
    from pingap.downstream.listener import Listener
    from pingap.proxy.async_hooks import HookTasks
    from pingap.proxy.sides import Leavers

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)

LINGER_SECONDS: Final = 2.0
"""How long a client may continue to send after reading has ended, before the connection is reset."""
LINGER_BYTES: Final = 1024 * 1024
"""Bytes of that which are read and discarded."""
LAST_REQUEST_SECONDS: Final = 5.0
"""How long a connection waits for its last request when another process takes over."""


class Http1Connection(Http1Reader, asyncio.Protocol):
    """One connection of a client.

    :param listener: the server it belongs to, its limits and the state shared in the worker.
    """

    __slots__ = ("_advancing", "_connection", "_last_request", "_linger_left")

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._advancing = False  # inside _advance: a request that ends immediately must not recurse
        self._linger_left = LINGER_BYTES
        self._last_request = float(listener.limits.keepalive_requests)

    # Callbacks of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has its own classes
        self.take_over(transport, self._listener.accepted(self, transport))
        if self._listener.excess > 0:
            self.turn_away()

    def take_over(self, transport: asyncio.Transport, connection: Connection) -> None:
        """Start on a connection that has already been accepted."""
        self._transport = transport
        self._connection: Connection = connection
        self.deadline = time.monotonic() + self._limits.head_read_timeout
        if self._listener.draining:
            self.drain(at_once=False)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._throw_away(data)
            return
        decoder = self._decoder
        if self._exchange is None and not (decoder.unread or self._closing or self._writing_paused):
            request = decoder.read_plain(data)
            if request is not None:
                self._begin(request)
                return
        if len(data) > PIECE or self._left is not None:
            self._receive_much(data)
            return
        decoder.unread = decoder.unread + data if decoder.unread else data
        if self._exchange is None or self._reading_body:
            self._advance()
        if decoder.unread and (self._exchange is not None or self._writing_paused):
            self._bound_unread()

    def eof_received(self) -> bool:
        """Keep our side open for a client that has ended its own after a complete request.

        A client that has disconnected looks the same; see ``_look_for_client``.
        """
        assert self._transport is not None
        self._writes.settle(self._transport)  # a response of this turn, before our side may end
        exchange = self._exchange
        if self._tunnelling and exchange is not None:
            self._half_closed, self._reading_body = True, False
            exchange.on_request_end(None)
            self.watch_tunnel()
            return True
        if self._lingering or (exchange is None and not self._writing_paused):
            return False  # at most half a request is here, and its rest will never arrive
        if exchange is not None and self._reading_body:
            exchange.on_client_gone()
            return False
        self._half_closed = True
        if exchange is not None and not self._decoder.unread:
            self._closing = True
        self._look_for_client()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        unsent = self._writes.forget(self._transport)
        if self._writing_paused:
            unsent += self._buffered
        self.body_bytes_sent = max(0, self.body_bytes_sent - unsent)
        self._transport = None
        if self._exchange is not None:
            self._exchange.on_client_gone()
        if self._exchange is not None:
            self._listener.keep(self._exchange)
        self.deadline = NEVER
        self._listener.closed(self)
        if self._connection.pins is not None:
            self._connection.pins.release()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._await_taking()
        if self._exchange is not None:
            self._exchange.on_client_full(True)

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.deadline = NEVER
        if self._lingering or self._ending:
            self._await_taking()
        elif self._exchange is not None:
            if self._reading_body and not self._body_paused:
                self._await_bytes()
            elif self._half_closed:
                self._await_client()
            self._exchange.on_client_full(False)
        else:
            self._between_requests()

    # Reading requests.

    def _advance(self) -> None:
        """Turn unread bytes into events, as far as the exchange can accept them."""
        if self._advancing or self._waits_for_turn:
            return
        self._advancing = True
        decoder = self._decoder
        try:
            while decoder.unread or self._reading_body:
                if self._exchange is not None:
                    if self._body_paused or not self._reading_body:
                        break
                elif self._closing or self._writing_paused or self._transport is None:
                    break
                event = decoder.next()
                refilled = self._left is not None and (event is None or not decoder.unread)
                if refilled:
                    self._refill()
                if isinstance(event, Request):
                    self._begin(event)
                elif event is not None:
                    self._on_body(event)
                elif not refilled:
                    self._await_bytes()
                    if self._half_closed and self._reading_body and not self._tunnelling:
                        assert self._exchange is not None
                        self._exchange.on_client_gone()  # the rest of the body will never arrive
                    break
                if (
                    decoder.unread
                    and not decoder.at_body_end  # otherwise the response would appear to come before it
                    and not self._listener.backlog.has_time()
                ):
                    self._leave_over()
                    break
        except BadRequest as error:
            self._refuse(error)
        finally:
            self._advancing = False
        if self._half_closed and self._exchange is None:
            self._close_unless_work_is_left()

    def _on_body(self, event: bytes | EndOfMessage) -> None:
        assert self._exchange is not None
        if isinstance(event, EndOfMessage):
            self._reading_body = False
            if not self._writing_paused:
                self.deadline = NEVER
            self._exchange.on_request_end(event.trailers)
        else:
            self._exchange.on_request_chunk(event)

    def _begin(self, request: Request, refusal: BadRequest | None = None) -> None:
        self.deadline = NEVER
        self._head_begun = False
        self._request = request
        self.body_bytes_sent = 0
        listener, connection = self._listener, self._connection
        connection.requests += 1
        if (
            not request.keep_alive
            or connection.requests >= self._last_request
            or (self._half_closed and not self._decoder.unread)
        ):
            self._closing = True
        ctx = RequestContext(connection, time.monotonic())
        self._exchange = exchange = Exchange(listener.server, self, request, ctx)
        if exchange.request_body is not None:
            self._reading_body, self._body_paused = True, False
        if self._half_closed:
            self._probed = 0.0
            self.deadline = ctx.began_at + PROBE_SECONDS  # many responses are sent before
        exchange.lifecycle = handle(exchange, refusal).__await__()
        exchange.step()

    def begin_tunnel(self, response: Response) -> None:
        """Send 101, and pass on data from now on."""
        super().begin_tunnel(response)
        exchange = self._exchange
        in_pieces = exchange is not None and exchange.messages is not None
        self._decoder.begin_tunnel(in_pieces=in_pieces)
        self._reading_body, self._body_paused = True, False
        self.watch_tunnel()
        self._advance()
        if self._half_closed and self._exchange is not None:
            self._reading_body = False  # the client ended before the upstream answered
            self._exchange.on_request_end(None)

    def send_chunk(self, chunk: bytes) -> None:
        super().send_chunk(chunk)
        if self._tunnelling:
            self.watch_tunnel()

    def _refuse(self, error: BadRequest) -> None:
        """Answer an unreadable request, and close the connection."""
        self._closing = True
        self._reading_body = False
        if self._exchange is not None:
            self._exchange.on_request_broken(error)
        else:
            self._begin(error.request or Request("-", "-", Headers()), error)

    # Responses, and the end of the connection.

    @property
    def tasks(self) -> HookTasks:
        return self._listener.tasks

    @property
    def backlog(self) -> Backlog:
        return self._listener.backlog

    @property
    def leavers(self) -> Leavers:
        return self._listener

    def exchange_ended(self) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        if self._transport is None:
            self._listener.ended(exchange)
        self.deadline = exchange.ctx.ended_at + self._limits.keepalive_timeout
        if self._closing or self._reading_body:
            self._linger()
        elif self._writing_paused:
            self.deadline = time.monotonic() + self._limits.write_timeout
        elif self._reading_paused or self._decoder.unread or self._half_closed:
            self._between_requests()

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        return () if self._exchange is None else (self._exchange,)

    def drain(self, *, at_once: bool) -> None:
        """Close the connection as soon as no request is in progress (see ``listener``)."""
        self._last_request = 0.0
        if not at_once:
            seconds = min(self._limits.keepalive_timeout, LAST_REQUEST_SECONDS)
            self._limits = replace(self._limits, keepalive_timeout=seconds)
        if self._exchange is not None:
            # A client without a notice may already be sending its next request.
            self._closing = self._closing or at_once or not self._exchange.head_sent
        elif self._decoder.in_head:
            pass  # it is answered, as the last one
        elif at_once:
            self.close()
        else:
            self.deadline = min(self.deadline, time.monotonic() + self._limits.keepalive_timeout)

    def turn_away(self) -> None:
        """Answer any request with 503: there are too many connections."""
        if self._transport is not None:
            self._transport.write(_FULL)
            self.close()

    def close(self) -> None:
        """Close the connection once written data is sent."""
        if self._transport is not None:
            self._ending = True
            self._writes.settle(self._transport)
            self._await_taking()
            self._transport.close()

    def _between_requests(self) -> None:
        self.deadline = time.monotonic() + self._limits.keepalive_timeout
        self._advance()
        if not self._ending:
            self._settle_reading()

    def _close_unless_work_is_left(self) -> None:
        """Close the connection of a client that has ended its side and received all responses."""
        if not (self._writing_paused or self._left or self._waits_for_turn or self._ending):
            self.close()  # at most half a request is here, and its rest will never arrive

    def _skip_body(self) -> None:
        """Discard the received part of an unneeded body; often that is all of it."""
        with suppress(BadRequest):  # then the body has no end either
            while (event := self._decoder.next()) is not None or self._refill():
                if isinstance(event, EndOfMessage):
                    self._reading_body = False
                    return
                if self._left is not None and not self._listener.backlog.has_time():
                    return

    def _linger(self) -> None:
        """End our side, and read for a while what the client still sends.

        If the connection were closed immediately, the kernel would reset it when more data arrives, and the
        client could lose the response (RFC 9112, 9.6).
        """
        if self._transport is None or self._transport.is_closing():
            return
        if self._half_closed:
            self.close()
            return
        self._lingering = True
        self._decoder.unread, self._left = b"", None
        self._writes.settle(self._transport)
        self._await_taking()
        if not self._transport.get_write_buffer_size():
            self.deadline = time.monotonic() + LINGER_SECONDS
        self._transport.write_eof()
        self._resume_reading()

    def _throw_away(self, data: bytes) -> None:
        self._linger_left -= len(data)
        if self._linger_left < 0:
            self.cut()
