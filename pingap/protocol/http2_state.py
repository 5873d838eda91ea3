"""The state of an HTTP/2 connection, kept by h2: settings, windows, and the states of streams.

A small subclass, because h2 can only open a stream by reading HEADERS itself (see ``http2_endpoint`` for why
this is done elsewhere). It uses h2's public attributes and state machines, and replaces one method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, H2Connection
from h2.events import Event
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamInputs, StreamState

from pingap.protocol.http2_errors import PROTOCOL_ERROR, STREAM_CLOSED, Http2Error, StreamError
from pingap.protocol.http2_frames import MOST_FRAME, RST_STREAM

if TYPE_CHECKING:
    from hyperframe.frame import DataFrame, Frame

MOST_STREAMS: Final = 128
"""Maximum number of streams that a client may have open."""
STREAM_WINDOW: Final = 128 * 1024
"""Maximum number of bytes of one request body held while its upstream does not accept them."""
CONNECTION_WINDOW: Final = 2 * 1024 * 1024
"""The same for all request bodies of a connection together."""
MOST_WINDOW: Final = 2**31 - 1
"""Maximum size of a window (RFC 9113, 6.9.1)."""
CLOSED_STREAMS: Final = 256
"""Number of ended streams that h2 remembers, to distinguish late frames from wrong ones."""


def _config(*, client_side: bool) -> H2Configuration:
    return H2Configuration(
        client_side=client_side,
        # We check and write the header lists ourselves.
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )


_SERVER: Final = _config(client_side=False)
_CLIENT: Final = _config(client_side=True)


class ConnectionState(H2Connection):
    """One connection.

    :param config: determines which end we are.
    :param settings: ours, in addition to the defaults of h2.
    :param window: bytes of all bodies together that may arrive before they are passed on.
    """

    MAX_CLOSED_STREAMS = CLOSED_STREAMS

    def __init__(
        self, config: H2Configuration, settings: dict[SettingCodes, int], window: int
    ) -> None:
        super().__init__(config)
        self._window = window
        values = {SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW, **settings}
        self.local_settings = Settings(client=bool(config.client_side), initial_values=values)

    def start(self) -> bytes:
        """Return the first frames of the connection."""
        self.initiate_connection()
        self.increment_flow_control_window(self._window - self.inbound_flow_control_window)
        return self.data_to_send()

    def is_ended(self, stream_id: int) -> bool:
        """Return whether the peer sends nothing more on a stream."""
        stream = self.streams.get(stream_id)
        return stream is None or stream.state_machine.state in (
            StreamState.HALF_CLOSED_REMOTE,
            StreamState.CLOSED,
        )

    def _handle_data_on_closed_stream(
        self, events: list[Event], exc: StreamClosedError, frame: DataFrame
    ) -> tuple[list[Frame], list[Event]]:
        is_first = bool(exc._events)  # it made h2 reset the stream
        frames, events = super()._handle_data_on_closed_stream(events, exc, frame)
        closed_by = self._stream_closed_by(frame.stream_id)
        if closed_by is StreamClosedBy.SEND_RST_STREAM and not is_first:
            # The frame was in transit when we reset the stream. h2 would reset it again for each frame, and
            # servers count resets (RFC 9113, 5.1, 5.4.2).
            frames = [one for one in frames if one.type != RST_STREAM]
        return frames, events

    def _add(self, stream_id: int) -> H2Stream:
        """Return a new stream."""
        self.streams[stream_id] = stream = H2Stream(
            stream_id,
            config=self.config,
            inbound_window_size=STREAM_WINDOW,
            outbound_window_size=self.remote_settings.initial_window_size,
        )
        stream.max_outbound_frame_size = MOST_FRAME
        return stream


class ServerState(ConnectionState):
    """One connection, on the server's side.

    :param header_list: maximum size of a header list that a client may send.
    """

    def __init__(self, header_list: int) -> None:
        settings = {
            SettingCodes.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: header_list,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,  # WebSocket (RFC 8441, 3)
        }
        super().__init__(_SERVER, settings, CONNECTION_WINDOW)

    def open(self, stream_id: int, *, ended: bool) -> None:
        """Open a stream, as h2 does when it reads HEADERS itself.

        :raises Http2Error: the client may not open it.
        """
        if not stream_id & 1 or stream_id <= self.highest_inbound_stream_id:
            raise Http2Error(PROTOCOL_ERROR, "a stream id that cannot be new")
        if not self.highest_inbound_stream_id:
            self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
        if len(self.streams) >= 2 * MOST_STREAMS:
            self.open_inbound_streams  # noqa: B018 - forgets streams that are closed
        self.highest_inbound_stream_id = stream_id
        stream = self._add(stream_id)
        stream.state_machine.process_input(StreamInputs.RECV_HEADERS)
        if ended:
            stream.state_machine.process_input(StreamInputs.RECV_END_STREAM)


class ClientState(ConnectionState):
    """One connection, on the client's side.

    :param streams: maximum number of streams that we open. The window of the connection is the sum of their
        windows, so that a stream whose body is not read does not block the others.
    :param header_list: maximum size of a header list that the server may send.
    """

    def __init__(self, streams: int, header_list: int) -> None:
        settings = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_HEADER_LIST_SIZE: header_list,
        }
        self._most = streams
        # All open streams may be cancelled at once, and data in transit on them arrives later.
        self.MAX_CLOSED_STREAMS = max(CLOSED_STREAMS, 4 * streams)
        super().__init__(_CLIENT, settings, min(streams * STREAM_WINDOW, MOST_WINDOW))

    def open(self, *, ended: bool) -> int:
        """Open a stream, as h2 does when it writes HEADERS itself; return its number."""
        if not self.highest_outbound_stream_id:
            self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
            stream_id = 1
        else:
            stream_id = self.highest_outbound_stream_id + 2
        if len(self.streams) >= 2 * self._most:
            self.open_outbound_streams  # noqa: B018 - forgets streams that are closed
        self.highest_outbound_stream_id = stream_id
        machine = self._add(stream_id).state_machine
        machine.process_input(StreamInputs.SEND_HEADERS)
        if ended:
            machine.process_input(StreamInputs.SEND_END_STREAM)
        return stream_id


def may_end(stream: H2Stream, *, ended: bool) -> bool:
    """Return whether trailers are allowed on a stream; False if they are late and can be ignored.

    :param ended: whether they end the stream.
    :raises StreamError: they are not allowed.
    :raises Http2Error: nothing is allowed on the stream.
    """
    if stream.state_machine.state in (StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL):
        if not ended:
            raise StreamError(PROTOCOL_ERROR, "trailers that do not end the stream")
        return True
    if stream.closed_by in (StreamClosedBy.SEND_RST_STREAM, StreamClosedBy.RECV_RST_STREAM):
        return False
    if stream.closed:
        raise Http2Error(STREAM_CLOSED, "HEADERS on a stream that is closed")
    raise StreamError(STREAM_CLOSED, "HEADERS after the end of the stream")
