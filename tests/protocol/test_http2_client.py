"""The client's side of HTTP/2: cut at every byte, fuzzed, and its requests read by another implementation."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from support import h2 as wire
from support.h2 import END_HEADERS, END_STREAM, frame
from support.wire import at, every_cut

from pingap.http.headers import Headers, field
from pingap.http.request import Request
from pingap.protocol.http2_client import MOST_INTERIM, Http2ClientCodec
from pingap.protocol.http2_errors import Http2Error
from pingap.protocol.http2_events import (
    DataReceived,
    Event,
    GoawayReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)
from pingap.protocol.http2_hpack import fields_block, request_block


def block(method: str = "GET", *fields: tuple[str, str], length: int | None = 0) -> bytes:
    headers = Headers([field("Host", "test"), *(field(*one) for one in fields)])
    return request_block(Request(method, "/a?b", headers), headers, length, "http", "other")


def asked(*methods: str, streams: int = 100, ended: bool = True) -> Http2ClientCodec:
    codec = Http2ClientCodec(streams)
    codec.start()
    for place, method in enumerate(methods):
        number, _ = codec.request(block(method), method, ended=ended)
        assert number == 2 * place + 1
    return codec


def plain(event: Event) -> tuple[Any, ...]:
    if isinstance(event, ResponseReceived):
        response = event.response
        head = (response.status, response.headers.items(), response.content_length)
        return ("response", event.stream_id, *head, event.ended)
    if isinstance(event, DataReceived):
        return ("data", event.stream_id, event.data, event.size, event.ended)
    if isinstance(event, TrailersReceived):
        return ("trailers", event.stream_id, event.trailers and event.trailers.items())
    if isinstance(event, StreamReset):
        return ("reset", event.stream_id, event.code)
    if isinstance(event, GoawayReceived):
        return ("goaway", event.last_stream_id, event.code, event.debug)
    return (type(event).__name__,)


def read(parts: Iterable[bytes], *methods: str, ended: bool = True) -> list[tuple[Any, ...]]:
    codec = asked(*(methods or ("GET", "HEAD", "POST", "GET", "GET")), ended=ended)
    events: list[tuple[Any, ...]] = []
    try:
        for part in parts:
            for event in codec.receive(part, 1.0):
                events.append(plain(event))  # noqa: PERF401 - those before an error count
    except Http2Error as error:
        events.append(("bad", error.code))
    return events


def head(encoder: Encoder, stream: int, *fields: tuple[str, str], end: bool = False) -> bytes:
    flags = END_HEADERS | (END_STREAM if end else 0)
    return frame(wire.HEADERS, flags, stream, bytes(encoder.encode(list(fields))))


def conversation() -> bytes:
    encoder = Encoder()
    first = bytes(encoder.encode([(":status", "200"), ("x-a", "1")]))
    return b"".join(
        (
            wire.settings(max_concurrent_streams=7),
            head(encoder, 1, (":status", "103"), ("link", "</a>")),
            frame(wire.HEADERS, 0, 1, first[:1]),
            frame(wire.CONTINUATION, END_HEADERS, 1, first[1:]),
            frame(wire.DATA, wire.PADDED, 1, b"\x02abc\0\0"),
            head(encoder, 3, (":status", "200"), ("content-length", "42"), end=True),
            frame(wire.PING, 0, 0, bytes(8)),
            head(encoder, 1, ("grpc-status", "0"), end=True),
            wire.reset(5, wire.REFUSED_STREAM),
            head(encoder, 7, (":status", "200"), ("content-length", "1")),
            frame(wire.DATA, END_STREAM, 7, b"ab"),
            frame(wire.GOAWAY, 0, 0, struct.pack(">II", 7, 0) + b"bye"),
            head(encoder, 9, (":status", "200"), (":path", "/"), end=True),
        )
    )


EVENTS = [
    ("SettingsReceived",),
    ("response", 1, 103, [("link", "</a>")], None, False),
    ("response", 1, 200, [("x-a", "1")], None, False),
    ("data", 1, b"abc", 6, False),
    ("response", 3, 200, [("content-length", "42")], 42, True),
    ("trailers", 1, [("grpc-status", "0")]),
    ("reset", 5, wire.REFUSED_STREAM),
    ("response", 7, 200, [("content-length", "1")], 1, False),
    ("reset", 7, wire.PROTOCOL_ERROR),
    ("goaway", 7, 0, "bye"),
    ("reset", 9, wire.PROTOCOL_ERROR),
]


def test_an_empty_host_is_no_authority() -> None:
    """RFC 9113, 8.3.1."""
    headers = Headers({"Host": ""})
    block = request_block(Request("GET", "/", headers), headers, 0, "http", "other")
    assert (":authority", "other") in Decoder().decode(block)


def test_a_target_beyond_ascii_is_sent_as_it_came() -> None:
    request = Request("GET", "/caf\xc3\xa9?\xff", Headers())
    block = request_block(request, request.headers, 0, "http", "other")
    assert b"/caf\xc3\xa9?\xff" in block


def test_a_conversation_survives_any_cut() -> None:
    for parts in every_cut(conversation()):
        assert read(parts) == EVENTS


@given(st.lists(st.integers(0, 2**16), max_size=6), st.data())
@settings(max_examples=200, deadline=None)
def test_any_change_gives_events_or_our_error(places: list[int], data: st.DataObject) -> None:
    sent = bytearray(conversation())
    for place in places:
        sent[place % len(sent)] = data.draw(st.integers(0, 255))
    assert read([bytes(sent)]) == read(at(bytes(sent), places))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 11), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40)
        )
    )
)
@settings(max_examples=300, deadline=None)
def test_any_frames_give_events_or_our_error(frames: list[tuple[int, int, int, bytes]]) -> None:
    sent = wire.settings() + b"".join(frame(*one) for one in frames)
    for ended in (True, False):
        assert read([sent], ended=ended) == read(every_byte(sent), ended=ended)


def every_byte(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


@given(st.binary(max_size=200))
def test_any_bytes_give_events_or_our_error(data: bytes) -> None:
    read([data])


def test_the_first_frame_is_settings() -> None:
    assert read([frame(wire.PING, 0, 0, bytes(8))]) == [("bad", wire.PROTOCOL_ERROR)]
    assert read([b"HTTP/1.1 400 Bad Request\r\n\r\n"]) == [("bad", wire.FRAME_SIZE_ERROR)]


@pytest.mark.parametrize(
    ("payload", "stream", "code"),
    [(bytes(7), 0, wire.FRAME_SIZE_ERROR), (bytes(8), 1, wire.PROTOCOL_ERROR)],
)
def test_a_malformed_goaway(payload: bytes, stream: int, code: int) -> None:
    sent = wire.settings() + frame(wire.GOAWAY, 0, stream, payload)
    assert read([sent])[-1] == ("bad", code)


@pytest.mark.parametrize("malformed", [False, True])
def test_resets_of_our_requests_are_no_flood(malformed: bool) -> None:
    codec = asked()
    list(codec.receive(wire.settings(), 1.0))
    for _ in range(1000):
        number, _ = codec.request(block(), "GET", ended=True)
        answer = wire.reset(number, wire.REFUSED_STREAM)
        if malformed:  # so that we reset the stream
            answer = frame(wire.HEADERS, wire.END_HEADERS, number, b"")
        (event,) = codec.receive(answer, 1.0)
        assert isinstance(event, StreamReset)
    with pytest.raises(Http2Error, match="streams reset"):  # of those that are over
        list(codec.receive(wire.reset(1) * 2000, 1.0))


def test_interim_responses_are_counted() -> None:
    encoder = Encoder()
    sent = wire.settings() + b"".join(
        head(encoder, 1, (":status", "102")) for _ in range(MOST_INTERIM + 1)
    )
    assert read([sent])[-1] == ("reset", 1, wire.PROTOCOL_ERROR)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_requests_as_another_implementation_reads_them(method: str) -> None:
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    codec = Http2ClientCodec(10)
    sent = codec.start()
    fields = [("X-Long", "v" * 20_000), ("TE", "trailers"), ("Connection", "x"), ("X-A", "1")]
    number, first = codec.request(block(method, *fields, length=None), method, ended=False)
    sent += first + codec.data(number, b"abc", ended=False)
    sent += codec.trailers(number, fields_block(Headers([field("X-Sum", "6")])))
    events = server.receive_data(sent)
    request = next(one for one in events if isinstance(one, h2.events.RequestReceived))
    assert request.headers == [
        (b":method", method.encode()), (b":scheme", b"http"), (b":authority", b"test"),
        (b":path", b"/a?b"), (b"x-long", b"v" * 20_000), (b"x-a", b"1"), (b"te", b"trailers"),
    ]  # fmt: skip
    trailers = next(one for one in events if isinstance(one, h2.events.TrailersReceived))
    assert trailers.headers == [(b"x-sum", b"6")]


def test_the_window_holds_all_streams() -> None:
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    server.receive_data(Http2ClientCodec(40).start())
    assert server.outbound_flow_control_window == 40 * 128 * 1024


def test_many_requests_leave_nothing_behind() -> None:
    encoder = Encoder()
    codec = asked(streams=10)
    list(codec.receive(wire.settings(), 1.0))
    for _ in range(1000):
        number, _ = codec.request(block(), "HEAD", ended=True)
        list(codec.receive(head(encoder, number, (":status", "200"), end=True), 1.0))
    assert len(codec._state.streams) <= 20
    assert not codec._bodiless
    assert not codec._left


def test_what_is_under_way_on_streams_that_were_cancelled_is_no_error() -> None:
    codec = asked(streams=1000)
    list(codec.receive(wire.settings(), 1.0))
    for _ in range(2500):
        number, _ = codec.request(block(), "GET", ended=True)
        codec.reset(number, wire.CANCEL)
    codec.to_send()
    late = [frame(wire.DATA, 0, stream, b"a") for stream in range(5001 - 2000, 5001, 2)]
    assert list(codec.receive(b"".join(late), 1.0)) == []
    assert codec.to_send() == b"", "they are reset once only (RFC 9113, 5.4.2)"
