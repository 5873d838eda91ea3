"""A connection of HTTP/2 to an upstream, shared by the streams of many exchanges.

The share of each stream and the end of a connection are handled here. The codec handles bytes, and a stream
handles one request and its response.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from typing import TYPE_CHECKING, Any, cast

from pingap.http.errors import UpstreamError
from pingap.protocol.http2_client import MOST_RESETS
from pingap.protocol.http2_errors import NO_ERROR, Http2Error, error_name
from pingap.protocol.http2_events import (
    DataReceived,
    Event,
    GoawayReceived,
    ResponseReceived,
    SettingsReceived,
    StreamReset,
    TrailersReceived,
    WindowOpened,
)
from pingap.upstream.connections.fast_open import has_connected
from pingap.upstream.connections.http1_connection import CLOSE_SECONDS
from pingap.upstream.connections.http2_stream import Http2UpstreamStream
from pingap.upstream.connections.http2_time_limits import PING_SECONDS, Http2UpstreamTimeLimits
from pingap.upstream.connections.pinned import pins_of
from pingap.wire.backlog import FULL_READ, last_time
from pingap.wire.deadlines import NEVER
from pingap.wire.http2_halves import Http2Halves
from pingap.wire.http2_turns import Turns
from pingap.wire.tcp import MOST_REST, read_rest

if TYPE_CHECKING:
    from pingap.http.connection import Connection
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime

log = logging.getLogger("pingap")


class Http2UpstreamConnection(Http2UpstreamTimeLimits, asyncio.Protocol):
    """One connection. It is part of the pool from its first SETTINGS until it has to end.

    :param upstream: provides the time limits.
    :param peer: the address it is made to.
    """

    __slots__ = (
        "_has_time",
        "_leaving",
        "_pool",
        "_promised",
        "_touched",
        "_turns",
        "_upstream",
        "_waits_for_turn",
        "_writes",
        "began_at",
        "listed",
        "most_streams",
        "name",
        "peer",
        "scheme",
        "shared",
        "tcp_seconds",
        "tls_seconds",
        "writable",
    )

    def __init__(self, upstream: UpstreamRuntime, peer: Peer) -> None:
        super().__init__(upstream)
        self.peer = peer
        self.shared = peer.shared
        """The connections that it is one of."""
        self.name = f"{upstream.name}({peer.text})"
        self.scheme = "https" if upstream.has_tls else "http"
        self.tcp_seconds: float | None = None
        self.tls_seconds: float | None = None
        """As for ``UpstreamConnection``."""
        self.most_streams = upstream.max_h2_streams
        self.began_at = self.read_at
        self.writable = True
        """Whether the transport accepts more data."""
        self.listed = False
        """Whether the pool may use its streams."""
        self._upstream = upstream
        self._pool = upstream.pool
        self._writes = upstream.pool.writes
        self._has_time = upstream.pool.backlog.has_time
        self._waits_for_turn = False  # frames are left over to the next turn of the loop
        # Streams that were taken and have not begun; their requests may have ended.
        self._promised: weakref.WeakSet[Http2UpstreamStream] = weakref.WeakSet()
        self._touched: dict[Http2UpstreamStream, None] = {}  # in this read
        self._turns = Turns(self)
        self._leaving = False  # no new stream begins

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "leaving" if self._leaving else "open"
        return f"<Http2UpstreamConnection {self.peer.text} {state} {len(self._streams)} streams>"

    # Called by the pool.

    @property
    def free(self) -> int:
        """Number of streams that may begin."""
        transport = self._transport
        if self._leaving or transport is None or transport.is_closing():
            return 0
        most = min(self.most_streams, self.codec.most_streams)
        return most - len(self._streams) - len(self._promised)

    @property
    def is_idle(self) -> bool:
        """Whether it has no streams."""
        return not self._streams and not self._promised

    def promise(self) -> Http2UpstreamStream:
        """Return a stream that may begin."""
        stream = Http2UpstreamStream(self)
        self._promised.add(stream)
        return stream

    # Callbacks of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has its own classes
        self._transport = transport
        self._upstream.connections += 1
        self._pool.deadlines.watch(self)
        self.write(self.codec.start())

    def data_received(self, data: bytes) -> None:
        self.read_at = now = time.monotonic()
        self._ping_sent = 0.0  # any frame shows that the peer is alive
        try:
            for event in self.codec.receive(data, now, self._has_time):
                self._on_event(event)
        except Http2Error as error:
            self._fail(error)
            return
        if not self.ready.done() and self.codec.is_settled:
            self.ready.set_result(None)
            self.deadline = NEVER
            self._await_use()
        touched, self._touched = self._touched, {}
        for stream in touched:
            try:
                stream.on_waiting()
            except Exception:
                log.exception("an answer of %s ended because of a bug in pingap", self.name)
                stream.on_defect()
        self.flush()
        if self.codec.unfinished or len(data) >= FULL_READ:
            self._leave_over()
        self._close_if_done()

    def _leave_over(self) -> None:
        """Continue in the next turn of the loop, and read nothing until then."""
        if self._transport is not None:
            self._waits_for_turn = True
            self._transport.pause_reading()
            self._pool.backlog.add(self)

    def on_turn(self) -> None:
        """Called when it is this connection's turn to continue with the rest."""
        self._waits_for_turn = False
        if self._transport is None or self._transport.is_closing():
            return
        if self.codec.unfinished:
            self.data_received(b"")
        if not (self._waits_for_turn or self._transport.is_closing()):
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        return False  # HTTP/2 has no half-closed connections

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.connections -= 1
        self._pool.deadlines.forget(self)
        self._leave()
        assert self._transport is not None
        transport, self._transport = self._transport, None
        self._writes.forget(transport)
        if exc is not None and self._streams:
            # Data received before the loss counts: the upstream may have responded early.
            self._has_time = last_time()
            self.data_received(b"")
            for data in read_rest(transport, MOST_REST):
                if self.codec.unfinished:
                    break
                self.data_received(data)
        sock = transport.get_extra_info("socket")
        if exc is not None and self._upstream.fast_open and not has_connected(sock):
            self.refuse(exc)  # it was never connected, which is only known now
        self._refuse_start("closed the connection before it began HTTP/2")
        detail = str(exc or "closed")
        if self._goaway:
            detail += f", after {self._goaway}"
        for stream in list(self._streams.values()):
            stream.on_connection_lost(detail)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._turns.send()

    # Events.

    def _on_event(self, event: Event) -> None:
        if type(event) is WindowOpened:
            self._turns.send()
        elif type(event) is SettingsReceived:
            self._turns.send()
            self._offer()  # it may allow more streams now
        elif type(event) is GoawayReceived:
            self._on_goaway(event)
        elif isinstance(event, ResponseReceived | DataReceived | TrailersReceived | StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self._on_stream_event(stream, event)
            elif type(event) is DataReceived:
                self.codec.taken(event.stream_id, event.size)

    def _on_stream_event(
        self,
        stream: Http2UpstreamStream,
        event: ResponseReceived | DataReceived | TrailersReceived | StreamReset,
    ) -> None:
        if stream not in self._touched:
            self._touched[stream] = None
            stream.delivering()
        try:
            if type(event) is DataReceived:
                stream.on_data(event.data, event.size, event.ended)
            elif type(event) is ResponseReceived:
                stream.on_response(event.response, event.ended)
            elif type(event) is TrailersReceived:
                stream.on_end(event.trailers)
            elif type(event) is StreamReset:
                stream.on_reset(event)
        except Exception:  # must not affect the other streams
            log.exception("an answer of %s ended because of a bug in pingap", self.name)
            stream.on_defect()

    def _on_goaway(self, event: GoawayReceived) -> None:
        """Begin no more streams; those that the upstream did not process begin elsewhere."""
        self._goaway = f"GOAWAY {error_name(event.code)}"
        if event.debug:
            self._goaway += f" ({event.debug[:200]!r})"
        self._leave()
        for stream in list(self._streams.values()):
            if stream.number > event.last_stream_id:
                stream.lose(UpstreamError(f"left: {self._goaway}", unprocessed=True))

    # Called by streams.

    def open(self, stream: Http2UpstreamStream, block: bytes, method: str, *, ended: bool) -> None:
        """Begin a stream with a request."""
        self._promised.discard(stream)
        transport = self._transport
        if self._leaving or transport is None or transport.is_closing():
            stream.lose(UpstreamError("disconnected before the request was sent", unprocessed=True))
            return
        if not self._streams:
            self.hasten(time.monotonic() + PING_SECONDS)
        stream.number, head = self.codec.request(block, method, ended=ended)
        self._streams[stream.number] = stream
        self.write(head)
        if self.codec.is_used_up:
            self._leave()

    def write(self, data: bytes) -> None:
        """Write frames at the end of this turn."""
        if self._transport is not None:
            self._writes.write(self._transport, data)

    def flush(self) -> None:
        """Write the frames that the codec has created on its own."""
        if data := self.codec.to_send():
            self.write(data)

    def pump(self, stream: Http2Halves[Any]) -> None:
        """Send waiting data of a stream, when it is its turn."""
        self._turns.add(stream)
        self._turns.send()

    def stream_ended(self, stream: Http2UpstreamStream) -> None:
        """Remove a stream that has ended."""
        self._turns.remove(stream)
        if self._streams.pop(stream.number, None) is None:
            self._promised.discard(stream)  # it was never opened
        if self.codec.resets >= MOST_RESETS and not self._leaving:
            log.debug("connection to %s is replaced after %d resets", self.name, self.codec.resets)
            self._leave()
        if not self._streams:
            self._await_use()
            self._close_if_done()
        self._offer()

    def leave_to(self, client: Connection) -> None:
        """Serve no other clients from now on: this one may authenticate on the connection.

        Streams of others may be open on it. So no more streams begin, and the client's next request, which
        has to repeat the authentication in any case, gets a connection of its own.
        """
        if self.peer.shared is self.shared:
            self._leave()
            pins_of(client).pin(self.peer)

    # The end of the connection.

    def _offer(self) -> None:
        """Make its streams available to the pool, if it has any."""
        self.shared.offer(self)

    def _leave(self) -> None:
        """Begin no more streams."""
        self._leaving = True
        self.shared.remove(self)

    def _close_if_done(self) -> None:
        retired = not self.most_streams and not self._promised
        if (self._leaving or retired) and not self._streams:
            self.close()

    def _refuse_start(self, detail: str, *, status: int = 502) -> None:
        if not self.ready.done():
            detail = f"{self.name} {detail}"
            kind = "ConnectTimedout" if status == 504 else "ConnectError"
            self.refuse(UpstreamError(detail, error_type=kind, status=status, connecting=True))

    def refuse(self, error: Exception) -> None:
        """Notify the waiting requests that HTTP/2 will not begin, unless it has."""
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # marks the exception as retrieved, as no request may be waiting

    def _fail(self, error: Http2Error) -> None:
        """Report a protocol error to the upstream, and end the connection."""
        self._leave()
        if self._transport is not None and not self._transport.is_closing():
            self.flush()
            self.write(self.codec.goaway(error.code, str(error)))
            self._end_transport(self._transport)
        self._refuse_start(f"does not speak HTTP/2: {error}")
        for stream in list(self._streams.values()):
            stream.lose(UpstreamError(f"broke the protocol: {error}"))

    def close(self) -> None:
        """Close the connection once all data is sent; it must not be used any more."""
        self._leave()
        if self._transport is not None and not self._transport.is_closing():
            self.flush()
            self.write(self.codec.goaway(NO_ERROR))
            self._end_transport(self._transport)

    def _end_transport(self, transport: asyncio.Transport) -> None:
        self.deadline = time.monotonic() + CLOSE_SECONDS
        self._writes.settle(transport)
        transport.close()

    def retire(self) -> None:
        """Begin only streams that were promised, and close when the last one has ended."""
        self.most_streams = 0
        self._close_if_done()

    def abort(self) -> None:
        """Close the connection immediately."""
        self._leave()
        if self._transport is not None:
            self._writes.forget(self._transport)
            self._transport.abort()
