"""RFC 9113 on the upstream's side: what ends a stream, what ends the connection, what is passed on."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hpack import Encoder
from support import h2
from support.h2 import END_HEADERS, END_STREAM, Fields, frame, settings

from pingap.http.headers import Headers, field
from pingap.http.request import Request
from pingap.protocol.http2_client import Http2ClientCodec
from pingap.protocol.http2_errors import Http2Error
from pingap.protocol.http2_events import (
    DataReceived,
    Event,
    GoawayReceived,
    ResponseReceived,
    StreamReset,
)
from pingap.protocol.http2_hpack import request_block

OK = [(":status", "200")]


class Asked:
    """Our side, after a GET on stream 1 and the beginning of a POST on stream 3."""

    def __init__(self, start: bytes = settings()) -> None:
        self.codec = Http2ClientCodec(100)
        self.sent = self.codec.start()
        self.encoder = Encoder()
        for method, ended in (("GET", True), ("POST", False)):
            headers = Headers([field("Host", "test")])
            block = request_block(Request(method, "/", headers), headers, None, "http", "x")
            self.sent += self.codec.request(block, method, ended=ended)[1]
        self.events: list[Event] = []
        self.receive(start)

    def receive(self, data: bytes) -> list[Event]:
        """Take frames; return what they mean."""
        events = list(self.codec.receive(data, 1.0))
        self.events += events
        return events

    def headers(self, stream: int, fields: Fields, flags: int = END_HEADERS | END_STREAM) -> bytes:
        """Return HEADERS."""
        return frame(h2.HEADERS, flags, stream, bytes(self.encoder.encode(fields)))


def ping(flags: int = 0) -> bytes:
    return frame(h2.PING, flags, 0, b"pingpong")


CONNECTION_ERRORS: dict[str, tuple[bytes, int]] = {
    # Frames (4).
    "large frame": (struct.pack(">I", 16385)[1:] + bytes(6), h2.FRAME_SIZE_ERROR),
    "malformed block": (frame(h2.HEADERS, END_HEADERS, 1, b"\xff" * 8), h2.COMPRESSION_ERROR),
    "frame within a block": (frame(h2.HEADERS, 0, 1, b"\x88") + ping(), h2.PROTOCOL_ERROR),
    "unknown frame within a block": (
        frame(h2.HEADERS, 0, 1, b"\x88") + frame(0x77, 0, 0), h2.PROTOCOL_ERROR,
    ),
    "CONTINUATION of another stream": (
        frame(h2.HEADERS, 0, 1, b"\x88") + frame(h2.CONTINUATION, 4, 3), h2.PROTOCOL_ERROR,
    ),
    "CONTINUATION without HEADERS": (frame(h2.CONTINUATION, 4, 1), h2.PROTOCOL_ERROR),
    # Streams (5.1).
    "HEADERS on an idle stream": (frame(h2.HEADERS, 5, 5, b"\x88"), h2.PROTOCOL_ERROR),
    "HEADERS on an even stream": (frame(h2.HEADERS, 5, 2, b"\x88"), h2.PROTOCOL_ERROR),
    "HEADERS on stream 0": (frame(h2.HEADERS, 5, 0, b"\x88"), h2.PROTOCOL_ERROR),
    "DATA on an idle stream": (frame(h2.DATA, 0, 5, b"a"), h2.PROTOCOL_ERROR),
    "DATA on stream 0": (frame(h2.DATA, 0, 0, b"a"), h2.PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (h2.reset(5), h2.PROTOCOL_ERROR),
    "RST_STREAM on stream 0": (h2.reset(0), h2.PROTOCOL_ERROR),
    "WINDOW_UPDATE on an idle stream": (h2.window_update(5, 1), h2.PROTOCOL_ERROR),
    # Each kind (6).
    "padding longer than HEADERS": (frame(h2.HEADERS, 0xD, 1, b"\x05\x88"), h2.PROTOCOL_ERROR),
    "padding longer than DATA": (
        frame(h2.HEADERS, 4, 1, b"\x88") + frame(h2.DATA, h2.PADDED, 1, b"\x05ab"), h2.PROTOCOL_ERROR,
    ),
    "RST_STREAM of three bytes": (frame(h2.RST_STREAM, 0, 1, bytes(3)), h2.FRAME_SIZE_ERROR),
    "PRIORITY on stream 0": (frame(h2.PRIORITY, 0, 0, bytes(5)), h2.PROTOCOL_ERROR),
    "SETTINGS on a stream": (frame(h2.SETTINGS, 0, 1), h2.PROTOCOL_ERROR),
    "SETTINGS of five bytes": (frame(h2.SETTINGS, 0, 0, bytes(5)), h2.FRAME_SIZE_ERROR),
    "ACK with settings": (frame(h2.SETTINGS, 1, 0, bytes(6)), h2.FRAME_SIZE_ERROR),
    "push enabled by a server": (
        frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 2, 1)), h2.PROTOCOL_ERROR,
    ),
    "push that is neither on nor off": (
        frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 2, 2)), h2.PROTOCOL_ERROR,
    ),
    "window too large": (settings(initial_window_size=2**31), h2.FLOW_CONTROL_ERROR),
    "frame size too small": (
        frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 5, 16383)), h2.PROTOCOL_ERROR,
    ),
    "frame size too large": (
        frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 5, 2**24)), h2.PROTOCOL_ERROR,
    ),
    "settings that make a window overflow": (
        h2.window_update(3, 2**31 - 1 - 65535) + settings(initial_window_size=65536),
        h2.FLOW_CONTROL_ERROR,
    ),
    "PUSH_PROMISE": (frame(h2.PUSH_PROMISE, 4, 1, bytes(4)), h2.PROTOCOL_ERROR),
    "PING on a stream": (frame(h2.PING, 0, 1, bytes(8)), h2.PROTOCOL_ERROR),
    "PING of seven bytes": (frame(h2.PING, 0, 0, bytes(7)), h2.FRAME_SIZE_ERROR),
    "GOAWAY on a stream": (frame(h2.GOAWAY, 0, 1, bytes(8)), h2.PROTOCOL_ERROR),
    "WINDOW_UPDATE of three bytes": (
        frame(h2.WINDOW_UPDATE, 0, 0, bytes(3)), h2.FRAME_SIZE_ERROR,
    ),
    "WINDOW_UPDATE with an increment of 0": (h2.window_update(0, 0), h2.PROTOCOL_ERROR),
    "connection window overflow": (h2.window_update(0, 2**31 - 1), h2.FLOW_CONTROL_ERROR),
    "more DATA than the window of a stream": (
        frame(h2.HEADERS, 4, 1, b"\x88") + 9 * frame(h2.DATA, 0, 1, bytes(16384)),
        h2.FLOW_CONTROL_ERROR,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "code"), CONNECTION_ERRORS.values(), ids=CONNECTION_ERRORS)
def test_a_violation_ends_the_connection_with_its_code(sent: bytes, code: int) -> None:
    with pytest.raises(Http2Error) as caught:
        Asked().receive(sent)
    assert caught.value.code == code


MALFORMED: dict[str, Fields] = {
    "no status": [("a", "b")],
    "two statuses": [*OK, (":status", "200")],
    "status of two digits": [(":status", "20")],
    "status that is no number": [(":status", "2x0")],
    "pseudo-header field of requests": [*OK, (":path", "/")],
    "unknown pseudo": [*OK, (":a", "b")],
    "pseudo after a field": [("a", "b"), *OK],
    "uppercase name": [*OK, ("Accept", "a")],
    "empty name": [*OK, ("", "a")],
    "space in name": [*OK, ("a b", "c")],
    "colon in name": [*OK, ("a:b", "c")],
    "NUL in value": [*OK, ("a", "b\0c")],
    "LF in value": [*OK, ("a", "b\nc")],
    "CR in value": [*OK, ("a", "b\rc")],
    "space before value": [*OK, ("a", " b")],
    "tab after value": [*OK, ("a", "b\t")],
    "connection": [*OK, ("connection", "a")],
    "keep-alive": [*OK, ("keep-alive", "a")],
    "proxy-connection": [*OK, ("proxy-connection", "a")],
    "transfer-encoding": [*OK, ("transfer-encoding", "chunked")],
    "upgrade": [*OK, ("upgrade", "a")],
    "switching protocols": [(":status", "101")],
    "two lengths": [*OK, ("content-length", "0"), ("content-length", "0")],
    "length that is none": [*OK, ("content-length", "-1")],
    "length of no body": [*OK, ("content-length", "3")],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_answer_ends_its_stream_and_only_that(fields: Fields) -> None:
    asked = Asked()
    (event,) = asked.receive(asked.headers(1, fields))
    assert isinstance(event, StreamReset)
    assert (event.stream_id, event.code, bool(event.broken)) == (1, h2.PROTOCOL_ERROR, True)
    assert h2.reset(1, h2.PROTOCOL_ERROR) in asked.codec.to_send()
    assert [type(one) for one in asked.receive(asked.headers(3, OK))] == [ResponseReceived]


def outcome(asked: Asked, sent: bytes) -> list[tuple[Any, ...]]:
    """Return what the stream events of frames are: (stream, code) of resets, else the stream."""
    return [
        (event.stream_id, event.code) if isinstance(event, StreamReset) else (event.stream_id,)
        for event in asked.receive(sent)
        if isinstance(event, StreamReset | ResponseReceived | DataReceived)
    ]


def test_a_second_final_head_is_malformed() -> None:
    asked = Asked()
    sent = asked.headers(1, OK, END_HEADERS) + asked.headers(1, OK, END_HEADERS)
    assert outcome(asked, sent) == [(1,), (1, h2.PROTOCOL_ERROR)]


def test_an_interim_head_that_ends_the_stream_is_malformed() -> None:
    asked = Asked()
    assert outcome(asked, asked.headers(1, [(":status", "103")])) == [(1, h2.PROTOCOL_ERROR)]


def test_trailers_with_a_pseudo_header_field_are_malformed() -> None:
    asked = Asked()
    sent = asked.headers(1, OK, END_HEADERS) + asked.headers(1, [(":status", "200")])
    assert outcome(asked, sent)[-1] == (1, h2.PROTOCOL_ERROR)


def test_data_after_the_end_of_an_answer() -> None:
    asked = Asked()
    assert outcome(asked, asked.headers(1, OK) + frame(h2.DATA, 0, 1, b"late")) == [(1,)]
    assert h2.reset(1, h2.STREAM_CLOSED) in asked.codec.to_send()


def test_data_after_the_end_of_an_answer_whose_request_goes_on() -> None:
    asked = Asked()
    sent = asked.headers(3, OK) + frame(h2.DATA, 0, 3, b"late")
    assert outcome(asked, sent)[-1] == (3, h2.STREAM_CLOSED)


def test_a_window_update_by_nothing_ends_its_stream() -> None:
    asked = Asked()
    assert outcome(asked, h2.window_update(3, 0)) == [(3, h2.PROTOCOL_ERROR)]
    assert outcome(asked, asked.headers(1, OK)) == [(1,)]


def test_a_window_that_overflows_ends_its_stream() -> None:
    asked = Asked()
    assert outcome(asked, h2.window_update(3, 2**31 - 1)) == [(3, h2.FLOW_CONTROL_ERROR)]


def test_a_reset_is_not_answered_by_a_reset() -> None:
    asked = Asked()
    asked.codec.to_send()
    assert outcome(asked, h2.reset(3)) == [(3, h2.CANCEL)]
    asked.codec.reset(3, h2.CANCEL)
    assert asked.codec.to_send() == b""


def test_what_must_be_ignored_is_ignored() -> None:
    asked = Asked()
    asked.receive(frame(0x77, 0xFF, 0, b"unknown") + frame(0x77, 0, 9))
    asked.receive(frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 0x7777, 1)))
    asked.receive(frame(h2.PRIORITY, 0, 3, bytes(5)) + ping(h2.ACK))
    sent = bytearray(frame(h2.HEADERS, 0xFF & ~(h2.PADDED | h2.HAS_PRIORITY), 1, b"\x88"))
    sent[5] |= 0x80  # the reserved bit
    assert outcome(asked, bytes(sent)) == [(1,)]
    assert outcome(asked, h2.reset(3, 0x7777)) == [(3, 0x7777)]
    assert outcome(asked, h2.window_update(1, 5) + h2.window_update(3, 5) + h2.reset(1)) == []


def test_settings_and_pings_are_acknowledged_at_once() -> None:
    asked = Asked(start=b"")
    asked.codec.to_send()
    asked.receive(settings() + ping())
    assert asked.codec.to_send() == frame(h2.SETTINGS, h2.ACK, 0) + frame(
        h2.PING, h2.ACK, 0, b"pingpong"
    )
    asked.receive(ping(h2.ACK))
    assert asked.codec.to_send() == b""


def test_a_window_may_become_negative() -> None:
    asked = Asked()
    asked.codec.data(3, bytes(60_000), ended=False)
    asked.receive(settings(initial_window_size=100))
    assert asked.codec.room(3) == 100 - 60_000
    asked.receive(h2.window_update(3, 60_000) + h2.window_update(0, 60_000))
    assert asked.codec.room(3) == 100


def test_what_we_begin_with() -> None:
    sent = Asked().sent
    assert sent.startswith(h2.PREFACE)
    first = sent[len(h2.PREFACE) :]
    assert first[3] == h2.SETTINGS
    values = dict(struct.iter_unpack(">HI", first[9 : 9 + int.from_bytes(first[:3])]))
    assert values[2] == 0, "nothing may be pushed"
    assert [stream for stream in (1, 3) if frame(h2.HEADERS, 0, stream)[5:] in sent] == [1, 3]


def test_a_goaway_is_told_with_what_it_says() -> None:
    (event,) = Asked().receive(frame(h2.GOAWAY, 0, 0, struct.pack(">II", 1, 0x7777) + b"why"))
    assert isinstance(event, GoawayReceived)
    assert (event.last_stream_id, event.code, event.debug) == (1, 0x7777, "why")
