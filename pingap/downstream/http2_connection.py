"""A client's HTTP/2 connection: many streams, each with an exchange, share its bytes.

The share of each stream and the orderly end of a connection are handled here. The codec handles bytes, and a
stream handles one request and its response.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, cast

from pingap.downstream.http1_connection import LINGER_BYTES, LINGER_SECONDS
from pingap.downstream.http2_stream import Http2Stream
from pingap.downstream.http2_time_limits import GOAWAY_SECONDS, Http2TimeLimits
from pingap.downstream.http2_websocket import Http2WebSocket
from pingap.http.connection import Connection
from pingap.protocol.http2_errors import (
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    REFUSED_STREAM,
    Http2Error,
)
from pingap.protocol.http2_events import (
    DataReceived,
    Event,
    GoawayReceived,
    PingAnswered,
    RequestReceived,
    SettingsReceived,
    StreamReset,
    TrailersReceived,
    WindowOpened,
)
from pingap.protocol.http2_frames import LAST_STREAM_ID
from pingap.protocol.http2_state import MOST_STREAMS
from pingap.wire.backlog import FULL_READ, Backlog
from pingap.wire.deadlines import NEVER
from pingap.wire.http2_turns import Turns

if TYPE_CHECKING:
    from pingap.downstream.listener import Listener
    from pingap.proxy.async_hooks import HookTasks
    from pingap.proxy.exchange import Exchange
    from pingap.proxy.runtime import ServerRuntime
    from pingap.proxy.sides import Leavers

log = logging.getLogger("pingap")

MOST_UNSENT: Final = 256 * 1024
"""Bytes waiting in the transport; beyond that, a client that does not read is not read from either."""
MOST_HELD: Final = 4 * 1024 * 1024
"""Bytes of all responses of a connection that wait for room in the client's windows; beyond that, no further
response is read from its upstream before half of them have been sent."""


class Http2Connection(Http2TimeLimits, asyncio.Protocol):
    """One connection of a client that is known to use HTTP/2.

    :param listener: the server it belongs to, its limits and the state shared in the worker.
    """

    __slots__ = (
        "_linger_left",
        "_listener",
        "_reading_paused",
        "_turns",
        "_waits_for_turn",
        "_writes",
        "connection",
        "crowded",
    )

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self.connection: Connection
        self.crowded = False
        """Whether so much waits for room that further responses are not read."""
        self._listener = listener
        self._writes = listener.writes
        self._turns = Turns(self)
        self._reading_paused = False
        self._waits_for_turn = False  # frames are left over to the next turn of the loop
        self._linger_left = LINGER_BYTES

    # Callbacks of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has its own classes
        self.take_over(transport, self._listener.accepted(self, transport))
        if self._listener.excess > 0:
            self.turn_away()

    def take_over(self, transport: asyncio.Transport, connection: Connection) -> None:
        """Start on a connection that has already been accepted."""
        self._transport = transport
        self.connection = connection
        self._heard = self._quiet_since = now = time.monotonic()
        limits = self.limits
        self.deadline = now + min(limits.head_read_timeout, limits.keepalive_timeout / 2)
        self.write(self.codec.start())
        if self._listener.draining:
            self.drain(at_once=False)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                self.cut()
            return
        if self._ending:
            return
        self._heard = now = time.monotonic()
        self._ping_sent = 0.0  # any frame shows that the peer is alive
        codec = self.codec
        try:
            for event in codec.receive(data, now, self._may_go_on):
                try:
                    self._on_event(event, now)
                except Http2Error:
                    raise
                except Exception:
                    number = getattr(event, "stream_id", 0)
                    log.exception("stream %d ended because of a bug in pingap", number)
                    self._on_defect(number)
        except Http2Error as error:
            self._fail(error)
            return
        self.flush()
        if codec.waiting_since:
            self.hasten(codec.waiting_since + self.limits.head_read_timeout)
        if codec.unfinished or len(data) >= FULL_READ:
            self._leave_over()
        elif not self.writable and self._is_too_much_unsent:
            self._pause_reading()  # (a client that does not read responses may not pile them up)

    def _may_go_on(self) -> bool:
        """Return whether another frame may be handled in this turn of the loop."""
        return self._listener.backlog.has_time() and (self.writable or not self._is_too_much_unsent)

    def _leave_over(self) -> None:
        """Continue in the next turn, and read nothing until then."""
        self._pause_reading()
        if not self._waits_for_turn:
            self._waits_for_turn = True
            self._listener.backlog.add(self)

    def on_turn(self) -> None:
        """Called when it is this connection's turn to continue with the rest."""
        self._waits_for_turn = False
        if self._transport is None or self._transport.is_closing():
            return
        if self.codec.unfinished and not self.writable and self._is_too_much_unsent:
            return  # ``resume_writing`` continues
        if self.codec.unfinished:
            self.data_received(b"")
        if not (self._waits_for_turn or self._transport.is_closing()):
            self._resume_reading()

    def eof_received(self) -> bool:
        assert self._transport is not None
        self._writes.settle(self._transport)  # responses of this turn
        return False  # HTTP/2 has no half-closed connections

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        self._writes.forget(self._transport)
        self._transport = None
        self._abandon()
        for exchange in self.exchanges:
            self._listener.keep(exchange)
        self.deadline = NEVER
        self._listener.closed(self)
        if self.connection.pins is not None:
            self.connection.pins.release()

    def pause_writing(self) -> None:
        self.writable = False
        self._await_taking()

    def resume_writing(self) -> None:
        self.writable = True
        if self.codec.unfinished:
            self._leave_over()
        elif not self._waits_for_turn:
            self._resume_reading()
        self._turns.send()

    # Events.

    def _on_event(self, event: Event, now: float) -> None:
        if type(event) is RequestReceived:
            self._on_request(event, now)
        elif type(event) is DataReceived:
            if (stream := self._streams.get(event.stream_id)) is not None:
                stream.on_data(event.data, event.size, event.ended)
            else:
                self.codec.taken(event.stream_id, event.size)
        elif type(event) is TrailersReceived:
            if (stream := self._streams.get(event.stream_id)) is not None:
                stream.on_end(event.trailers)
        elif type(event) is WindowOpened or type(event) is SettingsReceived:
            self._turns.send()
        elif type(event) is StreamReset:
            if (stream := self._streams.get(event.stream_id)) is not None:
                stream.on_reset()
        elif type(event) is PingAnswered:
            if self._closing:
                self._send_last_goaway()
        elif type(event) is GoawayReceived:
            self._closing = self._closing or now
            self._send_last_goaway()

    def _on_request(self, event: RequestReceived, now: float) -> None:
        number, connection = event.stream_id, self.connection
        if self._last_goaway or len(self._streams) >= MOST_STREAMS:
            self.codec.refuse(number, REFUSED_STREAM, now)
            return
        connection.requests += 1
        if connection.requests >= self.limits.keepalive_requests:
            self.drain(at_once=False)
        make = Http2WebSocket if event.request.upgrade else Http2Stream
        self._streams[number] = stream = make(self, number)
        stream.begin(event.request, event.refusal, now)

    def _on_defect(self, number: int) -> None:
        """End what a bug in pingap affects: one stream, or else the connection."""
        if not number:
            raise Http2Error(INTERNAL_ERROR, "internal error")
        if (stream := self._streams.get(number)) is not None:
            stream.on_defect()

    # Called by streams.

    @property
    def server(self) -> ServerRuntime:
        """The server runtime for new requests."""
        return self._listener.server

    @property
    def tasks(self) -> HookTasks:
        """Runs awaitables of plugins."""
        return self._listener.tasks

    @property
    def backlog(self) -> Backlog:
        """Of the worker."""
        return self._listener.backlog

    @property
    def leavers(self) -> Leavers:
        """Keeps track of requests that have no client."""
        return self._listener

    def write(self, data: bytes) -> None:
        """Write frames at the end of this turn."""
        if self._transport is not None and not self._lingering and not self._ending:
            self._writes.write(self._transport, data)

    def flush(self) -> None:
        """Write the frames that the codec has created on its own."""
        if data := self.codec.to_send():
            self.write(data)

    def pump(self, stream: Http2Stream) -> None:
        """Send waiting data of a stream, when it is its turn."""
        self._turns.add(stream)
        self._turns.send()

    def weigh(self) -> None:
        """Decide whether further responses may be read."""
        held = sum(stream.unsent_size for stream in self._streams.values())
        crowded = held > (MOST_HELD // 2 if self.crowded else MOST_HELD)
        if crowded is not self.crowded:
            self.crowded = crowded
            for exchange in self.exchanges:
                exchange.hold_answer(self.crowded)

    def forget_unsent(self, stream: Http2Stream) -> None:
        """Send nothing more of a stream."""
        self._turns.remove(stream)

    def exchange_ended(self, exchange: Exchange) -> None:
        """Report that a request is over, if the connection is closed."""
        if self._transport is None:
            self._listener.ended(exchange)

    def stream_ended(self, stream: Http2Stream) -> None:
        """Remove a stream whose exchange and response are over."""
        self._streams.pop(stream.number, None)
        if not self._streams:
            self._quiet_since = time.monotonic()
            self.hasten(self._quiet_since + self.limits.keepalive_timeout)
            self._close_if_done()

    # Reading no more than can be answered.

    @property
    def _is_too_much_unsent(self) -> bool:
        transport = self._transport
        return transport is not None and transport.get_write_buffer_size() > MOST_UNSENT

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    # The end of the connection.

    @property
    def exchanges(self) -> list[Exchange]:
        streams = self._streams.values()
        return [exchange for stream in streams if (exchange := stream.exchange) is not None]

    def drain(self, *, at_once: bool) -> None:
        """Close the connection as soon as no request is in progress (see ``listener``).

        In two steps (RFC 9113, 6.8): requests that the client sends before it reads the first GOAWAY are
        still served; its answer to a PING shows that it has read it.
        """
        if self._closing or self._transport is None or self._lingering or self._ending:
            return
        self._closing = time.monotonic()
        self.write(self.codec.goaway(NO_ERROR, LAST_STREAM_ID))
        self.codec.ping()
        self.flush()
        self.hasten(self._closing + GOAWAY_SECONDS)

    def _send_last_goaway(self) -> None:
        if not self._last_goaway:
            self._last_goaway = True
            self.write(self.codec.goaway(NO_ERROR))
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._last_goaway and not self._streams and not self._lingering and not self._ending:
            self._linger()

    def _fail(self, error: Http2Error) -> None:
        """Report a protocol error to the client, and end the connection."""
        if error.code == ENHANCE_YOUR_CALM:
            client = self.connection.remote_addr
            log.info("HTTP/2 connection from %s ended (ENHANCE_YOUR_CALM): %s", client, error)
        self.flush()
        self.write(self.codec.goaway(error.code, debug=str(error)))
        self._linger()
        self._abandon()

    def turn_away(self) -> None:
        """Report that no request will be handled: there are too many connections."""
        self.write(self.codec.goaway(NO_ERROR, 0, "too many connections"))
        self._linger()

    def close(self) -> None:
        """Close the connection once written data is sent."""
        if self._transport is not None:
            if not self._last_goaway:
                self._last_goaway = True
                self.write(self.codec.goaway(NO_ERROR))
            self._ending = True
            self._await_taking()
            self._writes.settle(self._transport)
            self._transport.close()

    def cut(self) -> None:
        """Close the connection immediately."""
        if self._transport is not None:
            self._writes.forget(self._transport)
            self._transport.abort()

    def _abandon(self) -> None:
        """Notify every exchange that the client has gone."""
        for stream in list(self._streams.values()):
            stream.on_reset()

    def _linger(self) -> None:
        """End our side, and read for a while what the client still sends.

        If the connection were closed immediately, the kernel would reset it when more data arrives, and the
        client could lose the last data sent to it.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._lingering = True
        self._writes.settle(transport)
        if not transport.can_write_eof():  # TLS
            self.close()
            return
        pending = transport.get_write_buffer_size()
        self._await_taking(seconds=None if pending else LINGER_SECONDS)
        transport.write_eof()
        self._resume_reading()
