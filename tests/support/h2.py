"""A client of HTTP/2 that sends exactly the frames it is told, and reads frames one by one.

A user has :class:`pingap.testing.Http2Client`, which says what the protocol allows; the core is tested with what it
does not allow, with windows, and with single frames.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from hpack import Decoder, Encoder

from pingap.testing import Client, Proxy
from pingap.testing.closing import Closing
from support.process import Process

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4

Fields = list[tuple[str, str]]


class Frame(NamedTuple):
    """A frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of a RST_STREAM or GOAWAY."""
        return int.from_bytes(self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])


@dataclass
class H2Answer:
    """What came on a stream.

    :param reset: the code of its RST_STREAM, if there was one.
    """

    heads: list[Fields] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        """The status of the final response."""
        finals = [head for head in self.heads if head[0][0] == ":status"]
        return int(finals[-1][0][1])

    @property
    def trailers(self) -> Fields | None:
        """The trailers."""
        return self.heads[-1] if self.heads[-1][0][0] != ":status" else None

    def header(self, name: str) -> str | None:
        """Return a header of the final response."""
        final = [head for head in self.heads if head[0][0] == ":status"][-1]
        return dict(final).get(name)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """Return SETTINGS; names are those of this module, in lower case."""
    pairs = [struct.pack(">HI", globals()[name.upper()], value) for name, value in values.items()]
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def window_update(stream: int, increment: int) -> bytes:
    """Return WINDOW_UPDATE."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream: int, code: int = CANCEL) -> bytes:
    """Return RST_STREAM."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def fields(
    method: str = "GET", path: str = "/", *more: tuple[str, str], **changes: str | None
) -> Fields:
    """Return a header list; ``changes`` of pseudo-header fields, None leaves one out."""
    pseudo: dict[str, str | None] = {
        "method": method, "scheme": "http", "path": path, "authority": "test", **changes,
    }  # fmt: skip
    return [*((f":{name}", value) for name, value in pseudo.items() if value is not None), *more]


class H2Client(Closing):
    """One connection; sends its preface and SETTINGS at once unless told otherwise."""

    def __init__(self, proxy: Proxy | Process | Client, start: bytes | None = None) -> None:
        self.raw = proxy if isinstance(proxy, Client) else proxy.connect()
        self.raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encoder = Encoder()
        self._decoder = Decoder()
        self.answers: dict[int, H2Answer] = {}
        self.goaways: list[Frame] = []
        self.seen: list[Frame] = []
        self.given: dict[int, int] = {}
        self.send(PREFACE + settings() if start is None else start)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.raw.send(data)

    def block(self, headers: Fields) -> bytes:
        """Return a header block."""
        return bytes(self._encoder.encode(headers))

    def headers(self, stream: int, headers: Fields, flags: int = END_HEADERS | END_STREAM) -> None:
        """Send HEADERS."""
        self.send(frame(HEADERS, flags, stream, self.block(headers)))

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send DATA in frames of the size that is always allowed."""
        parts = [data[at : at + 16384] for at in range(0, len(data), 16384)] or [b""]
        for part in parts[:-1]:
            self.send(frame(DATA, 0, stream, part))
        self.send(frame(DATA, END_STREAM if end else 0, stream, parts[-1]))

    def read_frame(self) -> Frame | None:
        """Return the next frame; None at the end of the connection."""
        head = self.raw.read_exactly(9)
        if len(head) < 9:
            return None
        length = int.from_bytes(head[:3])
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        found = Frame(kind, flags, stream, self.raw.read_exactly(length))
        self._note(found)
        return found

    def _note(self, found: Frame) -> None:
        self.seen.append(found)
        answer = self.answers.setdefault(found.stream, H2Answer())
        if found.kind == SETTINGS and not found.flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif found.kind == WINDOW_UPDATE:
            more = int.from_bytes(found.payload)
            self.given[found.stream] = self.given.get(found.stream, 0) + more
        elif found.kind == GOAWAY:
            self.goaways.append(found)
        elif found.kind == RST_STREAM:
            answer.reset = found.code
        elif found.kind == HEADERS:
            assert found.flags & END_HEADERS, "only small heads are read here"
            answer.heads.append([(str(n), str(v)) for n, v in self._decoder.decode(found.payload)])
        elif found.kind == DATA:
            answer.body += found.payload
        if found.kind in (HEADERS, DATA) and found.flags & END_STREAM:
            answer.ended = True

    def read_until(self, kind: int, stream: int | None = None, *, flags: int = 0) -> Frame:
        """Return the first frame of a kind, reading over others."""
        while (found := self.read_frame()) is not None:
            same = stream is None or found.stream == stream
            if found.kind == kind and same and found.flags & flags == flags:
                return found
        raise AssertionError(f"the connection ended before frame {kind}: {self.seen}")

    def finish_with_room(self, stream: int, room: int = 2**20) -> H2Answer:
        """Give a stream room at once, and read until it ends."""
        self.send(window_update(0, room) + window_update(stream, room))
        return self.finish(stream)

    def finish_without_room(self, stream: int) -> H2Answer:
        """Read until a stream ends, and give it no room."""
        return self.finish(stream, give_room=False)

    def finish(self, stream: int, *, give_room: bool = True) -> H2Answer:
        """Read until a stream ends, in whatever way; give it the room it needs."""
        answer = self.answers.setdefault(stream, H2Answer())
        while not answer.ended and answer.reset is None:
            found = self.read_frame()
            assert found is not None, f"the connection ended: {self.seen}"
            if found.kind == DATA and found.payload and give_room:
                size = len(found.payload)
                self.send(window_update(0, size) + window_update(stream, size))
        return answer

    def get(
        self, stream: int, path: str = "/", *more: tuple[str, str], method: str = "GET"
    ) -> H2Answer:
        """Send a request without a body and return its answer."""
        self.headers(stream, fields(method, path, *more))
        return self.finish(stream)

    def goaway(self, seconds: float = 10) -> int:
        """Read until the connection ends; return the code of its last GOAWAY."""
        end = time.monotonic() + seconds
        while self.read_frame() is not None:
            assert time.monotonic() < end, "the connection goes on"
        assert self.goaways, f"no GOAWAY: {self.seen}"
        return self.goaways[-1].code

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()
