"""The upstream's end of a connection of HTTP/2: reads frames one by one, sends what it is told.

A plugin sees requests and answers, whatever the upstream speaks: its tests do with the HTTP/1.1 of ``pingap.testing``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from pingap.testing import Served
from support.h2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Fields,
    Frame,
    frame,
    settings,
    window_update,
)
from support.origin import Script


@dataclass
class H2Request:
    """A request on a stream, as far as it came."""

    stream: int
    heads: list[Fields] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    def header(self, name: str) -> str | None:
        """Return a header, or pseudo-header field."""
        return dict(self.heads[0]).get(name)

    @property
    def path(self) -> str:
        """The path."""
        return self.header(":path") or ""

    @property
    def trailers(self) -> Fields:
        """The trailers."""
        return self.heads[1] if len(self.heads) > 1 else []


class H2Served:
    """One connection.

    :param start: what is sent first; SETTINGS, usually.
    :param give_room: make room for every body at once.
    """

    def __init__(self, served: Served, start: bytes | None = None, *, give_room: bool = True):
        self.served = served
        self.requests: dict[int, H2Request] = {}
        self.seen: list[Frame] = []
        self.answer_pings = True
        self._give_room = give_room
        self._encoder, self._decoder = Encoder(), Decoder()
        self._room: dict[int, int] = {0: 65535}
        self._initial_room = 65535
        assert served.read_exactly(24) == PREFACE
        self.send(settings() if start is None else start)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.served.send(data)

    def read_frame(self) -> Frame | None:
        """Return the next frame; None at the end of the connection."""
        head = self.served.read_exactly(9)
        if len(head) < 9:
            return None
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        found = Frame(kind, flags, stream, self.served.read_exactly(int.from_bytes(head[:3])))
        self.seen.append(found)
        self._note(found)
        return found

    def _note(self, found: Frame) -> None:
        payload = found.payload
        request = self.requests.get(found.stream)
        if found.kind == SETTINGS and not found.flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at : at + 6])
                self._initial_room = value if name == 4 else self._initial_room
            self.send(frame(SETTINGS, ACK, 0))
        elif found.kind == PING and not found.flags & ACK and self.answer_pings:
            self.send(frame(PING, ACK, 0, payload))
        elif found.kind == WINDOW_UPDATE:
            room = self._room.get(found.stream, self._initial_room)
            self._room[found.stream] = room + int.from_bytes(payload)
        elif found.kind == HEADERS:
            if request is None:
                request = self.requests[found.stream] = H2Request(found.stream)
            decoded = self._decoder.decode(payload)
            request.heads.append([(str(name), str(value)) for name, value in decoded])
        elif found.kind == DATA and request is not None:
            request.body += payload
            if self._give_room and payload:
                size = len(payload)
                self.send(window_update(0, size) + window_update(found.stream, size))
        elif found.kind == RST_STREAM and request is not None:
            request.reset = found.code
        if found.kind in (HEADERS, DATA) and found.flags & END_STREAM and request is not None:
            request.ended = True

    def read_until(self, condition: Callable[[Frame], bool]) -> Frame | None:
        """Return the first frame for which a condition holds; None if the connection ends."""
        while (found := self.read_frame()) is not None:
            if condition(found):
                return found
        return None

    def head(self) -> H2Request | None:
        """Return the next request whose head comes."""
        known = set(self.requests)
        found = self.read_until(lambda one: one.stream not in known and one.kind == HEADERS)
        return None if found is None else self.requests[found.stream]

    def request(self) -> H2Request | None:
        """Return the next request that is complete; None at the end of the connection."""
        found = self.read_until(
            lambda one: one.kind in (HEADERS, DATA) and bool(one.flags & END_STREAM)
        )
        return None if found is None else self.requests[found.stream]

    def goaway(self) -> Frame | None:
        """Read to the end of the connection; return the proxy's GOAWAY."""
        while self.read_frame() is not None:
            pass
        return next((one for one in self.seen if one.kind == GOAWAY), None)

    def headers(self, stream: int, fields: Fields, *, end: bool = False) -> None:
        """Send HEADERS."""
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.send(frame(HEADERS, flags, stream, bytes(self._encoder.encode(fields))))

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send DATA as the proxy makes room for it."""
        while True:
            room = min(self._room[0], self._room.get(stream, self._initial_room), 16384)
            part, rest = data[: max(room, 0)], data[max(room, 0) :]
            if part or not data:
                self._room[0] -= len(part)
                self._room[stream] = self._room.get(stream, self._initial_room) - len(part)
                last = end and not rest
                self.send(frame(DATA, END_STREAM if last else 0, stream, part))
            if not rest:
                return
            data = rest
            if not part and self.read_frame() is None:
                raise ConnectionError("the proxy left")

    def respond(
        self,
        stream: int,
        body: bytes = b"ok",
        *fields: tuple[str, str],
        trailers: Fields | None = None,
    ) -> None:
        """Answer a request."""
        self.headers(stream, [(":status", "200"), *fields], end=not body and not trailers)
        if body:
            self.data(stream, body, end=not trailers)
        if trailers:
            self.headers(stream, trailers, end=True)


H2Script = Callable[[H2Served], None]


def h2_script(script: H2Script, start: bytes | None = None, *, give_room: bool = True) -> Script:
    """Return a script of an origin whose connections are of HTTP/2."""

    def run(served: Served) -> None:
        with suppress(ConnectionError):  # the proxy went away
            script(H2Served(served, start, give_room=give_room))

    return run
