"""An HTTP/2 client with prior knowledge, based on the h2 library, which the proxy does not use for frames."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any, Final

import h2.config
import h2.connection
import h2.events

from pingap.testing.client import Answer, open_socket
from pingap.testing.fields import Fields, FieldsLike, pairs
from pingap.testing.stream import LIMIT, ByteStream

_ROOM: Final = 2**30
"""Flow-control window of the client; large, because tests read everything anyway."""


class Http2Client(ByteStream):
    """One HTTP/2 connection, for as many concurrent requests as its server allows.

    A GOAWAY ends it: responses that are unfinished by then are not ``complete``.

    :param address: host and port, the path of a Unix socket, or a connected socket.
    :param headers: fields of every request.
    :param timeout: seconds that a read waits at most.
    """

    def __init__(
        self,
        address: tuple[str, int] | str | socket.socket,
        *,
        headers: FieldsLike = (),
        timeout: float = LIMIT,
    ) -> None:
        super().__init__(open_socket(address, timeout))
        self._headers = pairs(headers)
        self._answers: dict[int, Answer] = {}
        self._interim: dict[int, list[Answer]] = {}
        self._open: set[int] = set()
        self._alive = True
        configuration = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self._h2 = h2.connection.H2Connection(configuration)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_ROOM)
        self._flush()

    def get(self, target: str, *, headers: FieldsLike = ()) -> Answer:
        """Send a GET request and read the response."""
        return self.request("GET", target, headers=headers)

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: FieldsLike = (),
        body: bytes | Iterable[bytes] = b"",
        trailers: FieldsLike | None = None,
    ) -> Answer:
        """Send a request and read the response; see :meth:`send_request`."""
        stream = self.send_request(method, target, headers=headers, body=body, trailers=trailers)
        return self.answer(stream)

    def send_request(
        self,
        method: str,
        target: str,
        *,
        headers: FieldsLike = (),
        body: bytes | Iterable[bytes] = b"",
        trailers: FieldsLike | None = None,
    ) -> int:
        """Send a request; return the number of its stream, for :meth:`answer`.

        :param headers: additional fields; ``Host`` becomes the authority, ``test`` by default.
        :param body: sent as the server has room for it.
        :param trailers: sent after the body.
        """
        fields = [(name.lower(), value) for name, value in [*pairs(headers), *self._headers]]
        authority = next((value for name, value in fields if name == "host"), "test")
        start = [
            (":method", method),
            (":scheme", "http"),
            (":authority", authority),
            (":path", target),
        ]
        pieces = [body] if isinstance(body, bytes) else body
        bodyless = body == b"" and trailers is None
        stream = self._h2.get_next_available_stream_id()
        self._open.add(stream)
        self._h2.send_headers(
            stream,
            [*start, *(one for one in fields if one[0] != "host")],
            end_stream=bodyless,
        )
        self._h2.increment_flow_control_window(_ROOM, stream)
        self._flush()
        if not bodyless:
            for piece in pieces:
                self._send_data(stream, piece)
            self._end(stream, trailers)
        return stream

    def answer(self, stream: int) -> Answer:
        """Read the response on a stream with its whole body.

        :raises AssertionError: the stream ended before the head.
        """
        while stream in self._open and self._alive:
            self._read()
        answer = self._answers.pop(stream, None)
        assert answer is not None, f"stream {stream} ended without an answer"
        answer.complete = stream not in self._open and answer.complete
        return answer

    def cancel(self, stream: int) -> None:
        """Cancel a request."""
        self._open.discard(stream)
        self._h2.reset_stream(stream, error_code=8)  # CANCEL
        self._flush()

    def _send_data(self, stream: int, data: bytes) -> None:
        while data and stream in self._open and self._alive:
            room = self._h2.local_flow_control_window(stream)
            if not (size := min(room, self._h2.max_outbound_frame_size, len(data))):
                self._read()
                continue
            self._h2.send_data(stream, data[:size])
            self._flush()
            data = data[size:]

    def _end(self, stream: int, trailers: FieldsLike | None) -> None:
        if stream not in self._open:
            return  # the server has already answered, and reads no more
        if trailers is None:
            self._h2.end_stream(stream)
        else:
            fields = [(name.lower(), value) for name, value in pairs(trailers)]
            self._h2.send_headers(stream, fields, end_stream=True)
        self._flush()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self.send(data)

    def _read(self) -> None:
        """Receive the next data; the end of the connection ends every stream."""
        data = self.receive()
        if not data:
            self._alive = False
            return
        for event in self._h2.receive_data(data):
            self._on_event(event)
        if self._alive:
            self._flush()

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self._alive = False  # the h2 library accepts nothing after a GOAWAY
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self._interim.setdefault(event.stream_id, []).append(_answer(event.headers))
        elif isinstance(event, h2.events.ResponseReceived):
            self._answers[event.stream_id] = answer = _answer(event.headers)
            answer.interim = self._interim.pop(event.stream_id, [])
        elif isinstance(event, h2.events.DataReceived):
            self._answers[event.stream_id].body += event.data
        elif isinstance(event, h2.events.TrailersReceived):
            self._answers[event.stream_id].trailers = _fields(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self._open.discard(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._open.discard(event.stream_id)
            if (answered := self._answers.get(event.stream_id)) is not None:
                answered.complete = event.error_code == 0


def _fields(headers: Iterable[tuple[Any, Any]]) -> Fields:
    return Fields((str(name), str(value)) for name, value in headers if not name.startswith(":"))


def _answer(headers: Iterable[tuple[Any, Any]]) -> Answer:
    status = next(int(value) for name, value in headers if name == ":status")
    return Answer(status, "", _fields(headers))
