"""A client's HTTP/2 connection (RFC 9113): reads frames as events, writes responses as frames; no IO."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from h2.stream import StreamClosedBy, StreamInputs

from pingap.protocol import http2_frames as frames
from pingap.protocol.events import HeadLimits
from pingap.protocol.http2_endpoint import Http2Endpoint, always
from pingap.protocol.http2_errors import PROTOCOL_ERROR, STREAM_CLOSED, Http2Error, StreamError
from pingap.protocol.http2_events import Event, RequestReceived
from pingap.protocol.http2_fields import read_trailers
from pingap.protocol.http2_hpack import HeadReader
from pingap.protocol.http2_request import RequestHead, read_head
from pingap.protocol.http2_state import ServerState, may_end

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Http2Codec(Http2Endpoint):
    """One connection, on the server's side.

    :param limits: limits of a request head.
    """

    __slots__ = ("_goaway_id", "_greeting")

    _heads: HeadReader[RequestHead]
    _state: ServerState

    def __init__(self, limits: HeadLimits) -> None:
        heads = HeadReader(read_head, limits)
        super().__init__(heads, ServerState(heads.most // 2))
        self._greeting = PREFACE  # the part that has not arrived
        self._goaway_id = frames.LAST_STREAM_ID  # the last one announced

    @property
    def last_stream_id(self) -> int:
        """The last stream that the client opened."""
        return self._state.highest_inbound_stream_id

    def start(self) -> bytes:
        """Return the first frames of the connection."""
        sent = self._state.start()
        self._state.receive_data(PREFACE)  # it is checked here
        return sent

    # Receiving.

    def _check(self, kind: int, flags: int, stream_id: int, size: int, now: float) -> None:
        if kind == frames.RST_STREAM and self._has_begun(stream_id):
            self._guard.earned(
                frames.HEADERS
            )  # the client cancels a response that it has begun to receive
        super()._check(kind, flags, stream_id, size, now)

    def _has_begun(self, stream_id: int) -> bool:
        """Return whether the response on a stream has begun, and not ended."""
        stream = self._state.streams.get(stream_id)
        if stream is None or stream.closed:
            return False
        return bool(stream.state_machine.headers_sent)

    def receive(
        self, data: bytes, now: float, has_time: Callable[[], bool] = always
    ) -> Iterator[Event]:
        if self._greeting:
            data = self._greet(data)
        return super().receive(data, now, has_time)

    def _greet(self, data: bytes) -> bytes:
        """Check the preface; return the data after it."""
        part = data[: len(self._greeting)]
        if not self._greeting.startswith(part):
            raise Http2Error(PROTOCOL_ERROR, "no preface of HTTP/2")
        self._greeting = self._greeting[len(part) :]
        return data[len(part) :]

    def _on_block(self, stream_id: int, block: bytes, ended: bool, now: float) -> Iterator[Event]:
        """Handle a complete header block: it opens a stream, or ends one with trailers."""
        state = self._state
        stream = state.streams.get(stream_id)
        try:
            if stream is not None:
                if stream.closed_by is StreamClosedBy.RECV_RST_STREAM:
                    raise Http2Error(STREAM_CLOSED, "HEADERS after RST_STREAM")  # RFC 9113, 5.1
                trailers = self._heads.fields(block)
                if may_end(stream, ended=ended):
                    yield self._end_with(stream, read_trailers(trailers))
                return
            state.open(stream_id, ended=ended)
            head = self._heads.head(block)
            request = head.request(ended=ended)
            if not ended and head.length is not None:
                self._left[stream_id] = head.length
            yield RequestReceived(stream_id, request, ended, head.refusal)
        except StreamError as error:
            yield self._stream_error(stream_id, error, now)

    # What the connection does.

    def refuse(self, stream_id: int, code: int, now: float) -> None:
        """Reset a stream that the client should not have opened.

        :raises Http2Error: it does so repeatedly.
        """
        self._guard.spend(frames.RST_STREAM, now)
        self.reset(stream_id, code)

    def goaway(self, code: int, last_stream_id: int | None = None, debug: str = "") -> bytes:
        """Return the frame that asks the client to open no more streams.

        Its stream ID must not be higher than in an earlier one (RFC 9113, 6.8).
        """
        last = self.last_stream_id if last_stream_id is None else last_stream_id
        self._goaway_id = min(last, self._goaway_id)
        return frames.goaway(code, self._goaway_id, debug)

    # Sending.

    def interim(self, stream_id: int, block: bytes) -> bytes:
        """Return an interim response."""
        machine = self._state.streams[stream_id].state_machine
        machine.process_input(StreamInputs.SEND_INFORMATIONAL_HEADERS)
        return self._header_frames(stream_id, block, 0)

    def head(self, stream_id: int, block: bytes, *, ended: bool) -> bytes:
        """Return the head of a response, or its trailers.

        :param ended: whether this is the end of the stream.
        """
        machine = self._state.streams[stream_id].state_machine
        machine.process_input(StreamInputs.SEND_HEADERS)
        if ended:
            self._guard.earned(frames.HEADERS)
            machine.process_input(StreamInputs.SEND_END_STREAM)
        return self._header_frames(stream_id, block, frames.END_STREAM if ended else 0)
