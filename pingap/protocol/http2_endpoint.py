"""The common part of both ends of an HTTP/2 connection (RFC 9113); no IO.

h2 keeps the settings, the windows and the states of streams, and answers what needs no decision (PING,
SETTINGS). This module does what h2 leaves to its user or does not show. Frames are split and counted here, so
that a flood ends before it costs much. Header blocks are assembled, decoded and checked here, so that a
malformed message ends its stream and not the connection, at half the cost of h2. The frames of messages,
which are few and simple kinds, are written here.

``http2_codec`` (connections of clients) and ``http2_client`` (connections to upstreams) define the meaning of
header blocks and the rules of each end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Final

import h2.events
from h2.exceptions import ProtocolError
from h2.stream import H2Stream, StreamInputs

from pingap.http.headers import Headers
from pingap.protocol import http2_frames as frames
from pingap.protocol.http2_errors import (
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    Http2Error,
    StreamError,
)
from pingap.protocol.http2_events import (
    DataReceived,
    Event,
    PingAnswered,
    SettingsReceived,
    StreamReset,
    TrailersReceived,
    WindowOpened,
)
from pingap.protocol.http2_floods import FloodGuard
from pingap.protocol.http2_frames import read_head as read_frame_head
from pingap.protocol.http2_hpack import NO_TABLE, HeadReader
from pingap.protocol.http2_state import ConnectionState

MOST_CONTINUATIONS: Final = 32
"""Maximum number of frames that continue one header block."""
MOST_SETTINGS: Final = 64
"""Maximum number of settings in one frame."""
_NOTHING: Final = bytes(4)


def always() -> bool:
    """Return that there is time."""
    return True


class _Block:
    """An incomplete header block."""

    __slots__ = ("ended", "parts", "size", "stream_id")

    def __init__(self, stream_id: int, part: bytes, ended: bool) -> None:
        self.stream_id = stream_id
        self.ended = ended
        self.parts = [part]
        self.size = len(part)


class Http2Endpoint(ABC):
    """One end of a connection.

    :param heads: reads the header blocks of the peer.
    :param state: the state kept by h2.
    """

    __slots__ = (
        "_block",
        "_first_block",
        "_guard",
        "_heads",
        "_left",
        "_settled",
        "_state",
        "_unread",
        "_unread_at",
        "unfinished",
        "waiting_since",
    )

    _state: ConnectionState

    def __init__(self, heads: HeadReader[Any], state: ConnectionState) -> None:
        self._heads = heads
        self._state = state
        self._guard = FloodGuard()
        self._block: _Block | None = None
        self._settled = False  # the peer's SETTINGS have arrived
        self._left: dict[
            int, int
        ] = {}  # stream -> remaining bytes of its body, from content-length
        self._first_block = True
        self._unread = b""  # an incomplete frame, or data that was left over
        self._unread_at = 0  # its first byte
        self.unfinished = False
        """Whether frames were left over for lack of time."""
        self.waiting_since = 0.0
        """Since when a frame or header block has been incomplete; 0 if none is."""

    @property
    @abstractmethod
    def last_stream_id(self) -> int:
        """The last stream that was opened."""

    @abstractmethod
    def _on_block(self, stream_id: int, block: bytes, ended: bool, now: float) -> Iterator[Event]:
        """Handle a complete header block."""

    def to_send(self) -> bytes:
        """Return frames in reply to data and actions since the last call."""
        return self._state.data_to_send()

    # Receiving.

    def receive(
        self, data: bytes, now: float, has_time: Callable[[], bool] = always
    ) -> Iterator[Event]:
        """Handle received bytes; yield the events they complete.

        Actions in response to one event affect the events after it.

        :param now: monotonic seconds.
        :param has_time: called before each frame but the first. Once it returns False, ``unfinished`` is set
            and the rest is left over to the next call, which may be made without new bytes.
        :raises Http2Error: the peer broke the protocol; nothing more can be read.
        """
        data, at = self._with_unread(data)
        end = len(data)
        self.unfinished = False
        while end - at >= 9:
            high, low, kind, flags, stream_id = read_frame_head(data, at)
            stop = at + 9 + (high << 8 | low)
            if stop - at > 9 + frames.MOST_FRAME:
                raise Http2Error(FRAME_SIZE_ERROR, "frame larger than allowed")
            if stop > end:
                break
            stream_id &= frames.LAST_STREAM_ID
            if kind == frames.HEADERS and self._settled and self._block is None:
                yield from self._on_headers(stream_id, flags, data[at + 9 : stop], now)
            elif kind == frames.CONTINUATION:
                yield from self._on_continuation(stream_id, flags, data[at + 9 : stop], now)
            else:
                self._check(kind, flags, stream_id, stop - at - 9, now)
                yield from self._on_other(kind, data[at:stop], now)
            at = stop
            if end - at >= 9 and not has_time():
                self._leave_over(data, at)
                return
        self._unread, self._unread_at = data[at:], 0
        if at == end and self._block is None and self._settled:
            self.waiting_since = 0.0
        elif not self.waiting_since or (at and self._block is None):
            self.waiting_since = now

    def _with_unread(self, data: bytes) -> tuple[bytes, int]:
        """Return the data to be read, and where it begins."""
        unread, at = self._unread, self._unread_at
        if not data:
            return unread, at
        return (unread[at:] + data if unread else data), 0

    def _leave_over(self, data: bytes, at: int) -> None:
        self._unread, self._unread_at = data, at
        self.unfinished = True
        if self._block is None:
            self.waiting_since = 0.0  # the peer is not the slow side

    def _check(self, kind: int, flags: int, stream_id: int, size: int, now: float) -> None:
        """Reject misplaced frames, and floods of frames without effect.

        :raises Http2Error: the frame is rejected.
        """
        if not self._settled:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise Http2Error(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._settled = True
        if self._block is not None:
            raise Http2Error(PROTOCOL_ERROR, "another frame within a header block")
        if kind == frames.PUSH_PROMISE:
            raise Http2Error(PROTOCOL_ERROR, "nothing may be pushed")
        if kind == frames.DATA:
            if size == 0 and not flags & frames.END_STREAM:
                self._guard.spend(kind, now)
        elif kind != frames.GOAWAY:
            self._guard.spend(kind, now)
        if kind == frames.SETTINGS and size:
            if flags & frames.ACK:
                raise Http2Error(FRAME_SIZE_ERROR, "an acknowledgement with settings")
            if size > 6 * MOST_SETTINGS:
                raise Http2Error(ENHANCE_YOUR_CALM, "too many settings")
        if kind == frames.RST_STREAM and stream_id > self.last_stream_id:
            raise Http2Error(PROTOCOL_ERROR, "reset of a stream that was never opened")

    def _on_headers(
        self, stream_id: int, flags: int, payload: bytes, now: float
    ) -> Iterator[Event]:
        ended = bool(flags & frames.END_STREAM)
        if flags & (frames.PADDED | frames.HAS_PRIORITY):
            payload = frames.header_fragment(payload, flags, stream_id)
        if flags & frames.END_HEADERS:
            yield from self._on_block(stream_id, payload, ended, now)
        else:
            self._block = _Block(stream_id, payload, ended)

    def _on_continuation(
        self, stream_id: int, flags: int, payload: bytes, now: float
    ) -> Iterator[Event]:
        block = self._block
        if block is None or block.stream_id != stream_id:
            raise Http2Error(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block.parts.append(payload)
        block.size += len(payload)
        if len(block.parts) > MOST_CONTINUATIONS or block.size > self._heads.most:
            raise Http2Error(ENHANCE_YOUR_CALM, "header block too large")
        if flags & frames.END_HEADERS:
            self._block = None
            yield from self._on_block(stream_id, b"".join(block.parts), block.ended, now)

    def _end_with(self, stream: H2Stream, trailers: Headers | None) -> TrailersReceived:
        if self._left.pop(stream.stream_id, 0):
            raise StreamError(PROTOCOL_ERROR, "the body is shorter than its content-length")
        stream.state_machine.process_input(StreamInputs.RECV_HEADERS)
        stream.state_machine.process_input(StreamInputs.RECV_END_STREAM)
        return TrailersReceived(stream.stream_id, trailers)

    def _on_other(self, kind: int, frame: bytes, now: float) -> Iterator[Event]:
        """Let h2 handle a frame; yield the resulting events."""
        if kind == frames.GOAWAY:  # h2 would send nothing more after it
            yield frames.read_goaway(frame)
            return
        if kind >= frames.UNKNOWN:
            return
        if kind == frames.WINDOW_UPDATE and frame[9:] == _NOTHING:  # h2 would end the connection
            stream_id = int.from_bytes(frame[5:9]) & frames.LAST_STREAM_ID
            if stream_id in self._state.streams:
                error = StreamError(PROTOCOL_ERROR, "WINDOW_UPDATE with an increment of 0")
                yield self._stream_error(stream_id, error, now)
                return
        try:
            events = self._state.receive_data(frame)
        except ProtocolError as error:
            self._state.clear_outbound_data_buffer()  # drops h2's GOAWAY: we send our own
            raise Http2Error(int(error.error_code), str(error) or "protocol error") from None
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                yield self._on_data(event, now)
            elif isinstance(event, h2.events.StreamReset):
                self._forget(event.stream_id)
                if not event.remote_reset:
                    self._guard.spend(frames.RST_STREAM, now)
                yield StreamReset(event.stream_id, int(event.error_code or 0))
            elif isinstance(event, h2.events.WindowUpdated):
                yield WindowOpened(event.stream_id or 0)
            elif isinstance(event, h2.events.RemoteSettingsChanged):
                yield SettingsReceived()
            elif isinstance(event, h2.events.PingAckReceived):
                yield PingAnswered()

    def _on_data(self, event: h2.events.DataReceived, now: float) -> Event:
        stream_id, data, ended = event.stream_id, event.data or b"", bool(event.stream_ended)
        if not data and event.flow_controlled_length and not ended:
            self._guard.spend(frames.DATA, now)  # only padding
        left = self._left.get(stream_id)
        if left is not None:
            self._left[stream_id] = left = left - len(data)
            if left < 0 or (ended and left):
                self.taken(stream_id, event.flow_controlled_length or 0)
                error = StreamError(PROTOCOL_ERROR, "the body differs from its content-length")
                return self._stream_error(stream_id, error, now)
            if ended:
                del self._left[stream_id]
        return DataReceived(stream_id, data, event.flow_controlled_length or 0, ended)

    def _stream_error(self, stream_id: int, error: StreamError, now: float) -> StreamReset:
        self._guard.spend(frames.RST_STREAM, now)
        self.reset(stream_id, error.code)
        return StreamReset(stream_id, error.code, str(error))

    # What the connection does.

    def reset(self, stream_id: int, code: int) -> None:
        """Reset a stream."""
        self._forget(stream_id)
        stream = self._state.streams.get(stream_id)
        if stream is not None and not stream.closed:
            self._state.reset_stream(stream_id, code)

    def _forget(self, stream_id: int) -> None:
        """Expect nothing more on a stream."""
        self._left.pop(stream_id, None)

    def taken(self, stream_id: int, size: int) -> None:
        """Reopen the window by this many bytes, which have been passed on."""
        if size:
            self._state.acknowledge_received_data(size, stream_id)

    def ping(self) -> None:
        """Send a PING."""
        self._state.ping(b"pingap h")

    # Sending.

    def is_ended(self, stream_id: int) -> bool:
        """Return whether the peer sends nothing more on a stream."""
        return self._state.is_ended(stream_id)

    def room(self, stream_id: int) -> int:
        """Return how many bytes of a body may be sent now."""
        state = self._state
        own = state.streams[stream_id].outbound_flow_control_window
        return min(own, state.outbound_flow_control_window)

    def data(self, stream_id: int, data: bytes, *, ended: bool) -> bytes:
        """Return a piece of a body in frames; there must be room for it.

        :param ended: whether this is the end of the stream.
        """
        state = self._state
        stream = state.streams[stream_id]
        size = len(data)
        stream.outbound_flow_control_window -= size
        state.outbound_flow_control_window -= size
        self._guard.earned(frames.DATA, 1 + size // frames.MOST_FRAME)
        flags = 0
        if ended:
            self._guard.earned(frames.HEADERS)
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
            flags = frames.END_STREAM
        return frames.data_frames(stream_id, data, flags)

    def _header_frames(self, stream_id: int, block: bytes, flags: int) -> bytes:
        if self._first_block:
            self._first_block = False
            block = NO_TABLE + block
        return frames.header_frames(stream_id, block, flags)
