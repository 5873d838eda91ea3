"""An HTTP/2 connection to an upstream (RFC 9113): writes requests as frames, reads frames as events; no IO."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from h2.stream import H2Stream, StreamInputs

from pingap.protocol import http2_frames as frames
from pingap.protocol.events import RESPONSE_LIMITS
from pingap.protocol.http2_endpoint import Http2Endpoint
from pingap.protocol.http2_errors import PROTOCOL_ERROR, Http2Error, StreamError
from pingap.protocol.http2_events import Event, ResponseReceived, StreamReset
from pingap.protocol.http2_fields import read_trailers
from pingap.protocol.http2_hpack import HeadReader
from pingap.protocol.http2_response import ResponseHead, read_head
from pingap.protocol.http2_state import ClientState, may_end

MOST_RESETS: Final = 50
"""Number of streams that we reset on one connection before it is replaced.

Servers close a connection, with all its streams, if too many streams are reset (CVE-2023-44487). Netty allows
200 in 30 s, nginx 100 or more, Envoy 500, nghttp2 1000."""
MOST_INTERIM: Final = 32
"""Maximum number of interim responses to one request."""


class Http2ClientCodec(Http2Endpoint):
    """One connection, on the client's side.

    :param streams: maximum number of open streams.
    """

    __slots__ = ("_bodiless", "_interim", "resets")

    _heads: HeadReader[ResponseHead]
    _state: ClientState

    def __init__(self, streams: int) -> None:
        heads = HeadReader(read_head, RESPONSE_LIMITS)
        super().__init__(heads, ClientState(streams, heads.most // 2))
        self._bodiless: set[int] = set()  # streams of HEAD requests
        self._interim: dict[int, int] = {}  # stream -> number of interim responses
        self.resets = 0
        """Streams that we reset."""

    @property
    def last_stream_id(self) -> int:
        """The last stream that we opened."""
        return self._state.highest_outbound_stream_id

    @property
    def is_settled(self) -> bool:
        """Whether the server's SETTINGS have arrived, which shows that it uses HTTP/2."""
        return self._settled

    @property
    def most_streams(self) -> int:
        """Maximum number of streams that the server allows at a time."""
        return self._state.remote_settings.max_concurrent_streams

    @property
    def is_used_up(self) -> bool:
        """Whether all stream IDs have been used (RFC 9113, 5.1.1)."""
        return self.last_stream_id >= frames.LAST_STREAM_ID - 1

    def start(self) -> bytes:
        """Return the preface and the first frames."""
        return self._state.start()

    # Receiving.

    def _check(self, kind: int, flags: int, stream_id: int, size: int, now: float) -> None:
        if kind == frames.RST_STREAM and self._is_ours(stream_id):
            self._guard.earned(
                frames.HEADERS
            )  # each one costs a request of ours, so it is no flood
        super()._check(kind, flags, stream_id, size, now)

    def _is_ours(self, stream_id: int) -> bool:
        stream = self._state.streams.get(stream_id)
        return stream is not None and not stream.closed

    def _on_block(self, stream_id: int, block: bytes, ended: bool, now: float) -> Iterator[Event]:
        """Handle a complete header block: the head of a response, or trailers."""
        if not stream_id & 1 or stream_id > self.last_stream_id:
            raise Http2Error(PROTOCOL_ERROR, "HEADERS on a stream that was never opened")
        stream = self._state.streams.get(stream_id)
        try:
            if stream is None or stream.state_machine.headers_received or stream.closed:
                trailers = self._heads.fields(block)
                if stream is not None and may_end(stream, ended=ended):
                    yield self._end_with(stream, read_trailers(trailers))
                return
            yield self._on_head(stream, self._heads.head(block), ended)
        except StreamError as error:
            yield self._stream_error(stream_id, error, now)

    def _on_head(self, stream: H2Stream, head: ResponseHead, ended: bool) -> ResponseReceived:
        number, machine = stream.stream_id, stream.state_machine
        if head.status < 200:
            self._count_interim(number, head, ended)
            machine.process_input(StreamInputs.RECV_INFORMATIONAL_HEADERS)
            return ResponseReceived(number, head.response(), ended)
        left = head.body_length(head=number in self._bodiless)
        if ended and left:
            raise StreamError(PROTOCOL_ERROR, "the body is shorter than its content-length")
        self._forget(number)
        machine.process_input(StreamInputs.RECV_HEADERS)
        if ended:
            machine.process_input(StreamInputs.RECV_END_STREAM)
        elif left is not None:
            self._left[number] = left
        return ResponseReceived(number, head.response(), ended)

    def _count_interim(self, number: int, head: ResponseHead, ended: bool) -> None:
        if ended or head.status == 101:
            raise StreamError(PROTOCOL_ERROR, f"{head.status} is not allowed in HTTP/2")
        self._interim[number] = count = self._interim.get(number, 0) + 1
        if count > MOST_INTERIM:
            raise StreamError(PROTOCOL_ERROR, "too many interim responses")

    def _stream_error(self, stream_id: int, error: StreamError, now: float) -> StreamReset:
        self._guard.earned(frames.HEADERS)  # as for a reset by the server
        return super()._stream_error(stream_id, error, now)

    def _forget(self, stream_id: int) -> None:
        super()._forget(stream_id)
        self._bodiless.discard(stream_id)
        self._interim.pop(stream_id, None)

    # What the connection does.

    def reset(self, stream_id: int, code: int) -> None:
        if self._is_ours(stream_id):
            self.resets += 1
        super().reset(stream_id, code)

    def goaway(self, code: int, debug: str = "") -> bytes:
        """Return the frame that announces that we close the connection."""
        return frames.goaway(code, 0, debug)  # the server has opened no streams

    # Sending.

    def request(self, block: bytes, method: str, *, ended: bool) -> tuple[int, bytes]:
        """Open a stream with a request; return its number and its frames.

        :param ended: whether the head is the end of the stream.
        """
        stream_id = self._state.open(ended=ended)
        if method == "HEAD":
            self._bodiless.add(stream_id)
        flags = frames.END_STREAM if ended else 0
        return stream_id, self._header_frames(stream_id, block, flags)

    def trailers(self, stream_id: int, block: bytes) -> bytes:
        """Return the end of a request body with trailers."""
        machine = self._state.streams[stream_id].state_machine
        machine.process_input(StreamInputs.SEND_HEADERS)
        machine.process_input(StreamInputs.SEND_END_STREAM)
        return self._header_frames(stream_id, block, frames.END_STREAM)
