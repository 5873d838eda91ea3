"""The codec of HTTP/2: cut at every byte, fuzzed, and read back by another implementation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from support import h2 as client
from support.h2 import END_HEADERS, END_STREAM, fields, frame
from support.wire import at, every_cut

from pingap.http.headers import Headers
from pingap.http.response import Response
from pingap.protocol.events import HeadLimits
from pingap.protocol.http2_codec import PREFACE, Http2Codec
from pingap.protocol.http2_errors import Http2Error
from pingap.protocol.http2_events import (
    DataReceived,
    Event,
    RequestReceived,
    TrailersReceived,
)
from pingap.protocol.http2_frames import MOST_FRAME
from pingap.protocol.http2_hpack import fields_block, response_block


def plain(event: Event) -> tuple[Any, ...]:
    if isinstance(event, RequestReceived):
        request = event.request
        status = event.refusal.status if event.refusal else None
        head = (request.method, request.target, request.host, request.headers.items())
        return ("request", event.stream_id, *head, event.ended, status)
    if isinstance(event, DataReceived):
        return ("data", event.stream_id, event.data, event.size, event.ended)
    if isinstance(event, TrailersReceived):
        return ("trailers", event.stream_id, event.trailers.items())
    return (type(event).__name__, getattr(event, "stream_id", None))


def read(parts: Iterable[bytes], limits: HeadLimits | None = None) -> list[tuple[Any, ...]]:
    codec = Http2Codec(limits or HeadLimits())
    codec.start()
    events: list[tuple[Any, ...]] = []
    try:
        for part in parts:
            for event in codec.receive(part, 1.0):
                events.append(plain(event))  # noqa: PERF401 - those before an error count
    except Http2Error as error:
        events.append(("bad", error.code))
    return events


def conversation() -> bytes:
    encoder = Encoder()

    def block(headers: client.Fields) -> bytes:
        return bytes(encoder.encode(headers))

    post = block(fields("POST", "/a?b", ("cookie", "a=b"), ("x-a", "1"), ("cookie", "c=d")))
    return b"".join(
        (
            PREFACE,
            client.settings(initial_window_size=100),
            frame(client.HEADERS, 0, 1, post[:5]),
            frame(client.CONTINUATION, 0, 1, post[5:5]),
            frame(client.CONTINUATION, END_HEADERS, 1, post[5:]),
            frame(client.DATA, client.PADDED, 1, b"\x02abc\0\0"),
            frame(client.PING, 0, 0, bytes(8)),
            frame(client.HEADERS, END_HEADERS | END_STREAM, 3, block(fields(path="/c"))),
            frame(client.DATA, 0, 1, b"def"),
            client.window_update(3, 10),
            frame(client.HEADERS, END_HEADERS | END_STREAM, 1, block([("x-sum", "6")])),
            frame(client.HEADERS, END_HEADERS | END_STREAM, 5, block([(":path", "/")])),
            client.reset(3),
            frame(client.GOAWAY, 0, 0, bytes(8)),
        )
    )


EVENTS = [
    ("SettingsReceived", None),
    (
        "request", 1, "POST", "/a?b", "test",
        [("host", "test"), ("cookie", "a=b; c=d"), ("x-a", "1")], False, None,
    ),
    ("data", 1, b"abc", 6, False),
    ("request", 3, "GET", "/c", "test", [("host", "test")], True, None),
    ("data", 1, b"def", 3, False),
    ("WindowOpened", 3),
    ("trailers", 1, [("x-sum", "6")]),
    ("StreamReset", 5),
    ("StreamReset", 3),
    ("GoawayReceived", None),
]  # fmt: skip


def test_a_conversation_survives_any_cut() -> None:
    for parts in every_cut(conversation()):
        assert read(parts) == EVENTS


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_events_or_our_error(data: bytes, greet: bool) -> None:
    read([PREFACE + client.settings() + data if greet else data])


FRAMES = st.builds(
    frame,
    st.one_of(st.integers(0, 10), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 13, 32, 37]), st.integers(0, 255)),
    st.one_of(st.integers(0, 7), st.integers(0, 2**32 - 1)),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([bytes(4), bytes(8), b"\x82\x84\x86\x01\x04test", b"\0\0\0\x01"]),
    ),
)


@settings(max_examples=300)
@given(st.lists(FRAMES, max_size=12), st.lists(st.integers(0, 2**12), max_size=4))
def test_any_frames_mean_the_same_however_cut(sent: list[bytes], places: list[int]) -> None:
    data = PREFACE + client.settings() + b"".join(sent)
    assert read(at(data, places)) == read([data])


@settings(max_examples=300)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=6), st.integers(0, 6))
def test_a_conversation_with_a_fault(place: int, fault: bytes, dropped: int) -> None:
    whole = conversation()
    read([whole[:place] + fault + whole[place + dropped :]])


@pytest.mark.parametrize("size", [0, 1, 100, 20_000, 70_000])
def test_another_implementation_reads_what_is_written(size: int) -> None:
    """Heads with CONTINUATION, bodies in several frames and trailers, read by h2."""
    other = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="ascii"))
    other.initiate_connection()
    other.increment_flow_control_window(2**20)
    other.increment_flow_control_window  # noqa: B018
    other.send_headers(1, fields(), end_stream=True)
    other.increment_flow_control_window(2**20, 1)
    codec = Http2Codec(HeadLimits())
    sent = codec.start()
    list(codec.receive(other.data_to_send(), 1.0))
    more = {f"X-Field-{number}": "v" * 1000 for number in range(min(size, 40_000) // 1000)}
    response = Response(299, headers={"Set-Cookie": "a=b", "ETag": "c", "X": "", **more})
    sent += codec.to_send()
    early = Response.from_upstream(103, b"", Headers({"Link": "</a>"}), None)
    sent += codec.interim(1, response_block(early, None))
    sent += codec.head(1, response_block(response, size), ended=False)
    assert codec.room(1) > size
    sent += codec.data(1, bytes(size), ended=False)
    sent += codec.head(1, fields_block(Headers({"X-Sum": "6"})), ended=True)
    events = other.receive_data(sent)
    kinds = [type(event) for event in events]
    assert h2.events.InformationalResponseReceived in kinds
    head = next(one for one in events if isinstance(one, h2.events.ResponseReceived))
    assert head.headers == [
        (":status", "299"), ("set-cookie", "a=b"), ("etag", "c"), ("x", ""),
        *((name.lower(), value) for name, value in more.items()),
        ("cache-control", "private, no-cache"), ("content-length", str(size)),
    ]  # fmt: skip
    body = [one.data for one in events if isinstance(one, h2.events.DataReceived)]
    assert b"".join(body) == bytes(size)
    assert max(map(len, body)) <= MOST_FRAME
    trailers = next(one for one in events if isinstance(one, h2.events.TrailersReceived))
    assert trailers.headers == [("x-sum", "6")]
    assert kinds[-1] is h2.events.StreamEnded
    assert codec.is_ended(1)


def test_memory_of_streams_that_ended_is_bounded() -> None:
    codec = Http2Codec(HeadLimits())
    codec.start()
    encoder = Encoder()
    list(codec.receive(PREFACE + client.settings(), 1.0))
    for number in range(1, 4001, 2):
        request = frame(client.HEADERS, 5, number, bytes(encoder.encode(fields())))
        assert [plain(event)[0] for event in codec.receive(request, 1.0)] == ["request"]
        codec.head(number, response_block(Response(200), 0), ended=True)
    assert len(codec._state.streams) <= 256
    assert len(codec._state._closed_streams) <= 256
