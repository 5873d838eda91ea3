"""Heads, chunks and trailers as they are written, and read back by the other side's decoder."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.wire import at, read_requests, read_response

from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol import http1_write
from pingap.protocol.fields import NEVER_FORWARDED

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SPECIAL = {name.decode() for name in NEVER_FORWARDED} | {"host", "expect"}

names = st.text(TOKEN, min_size=1, max_size=12).filter(lambda name: name.lower() not in SPECIAL)
values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20
).map(lambda text: "".join(one for one in text if not "\x80" <= one < "\xa0").strip(" \t"))
fields = st.lists(st.tuples(names, values), max_size=8)
bodies = st.lists(st.binary(min_size=1, max_size=50), max_size=5)
trailers = st.lists(st.tuples(st.text("abcXYZ", min_size=1, max_size=5), values), max_size=3)
targets = st.text("/abc20?&=~._-:@!$'()*+,;", max_size=20).map(lambda text: "/%20" + text)
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"])


def headers(pairs: list[tuple[str, str]]) -> Headers:
    made = Headers()
    for name, value in pairs:
        made.add(name, value)
    return made


def wire_of(chunks: list[bytes], ends: list[tuple[str, str]]) -> bytes:
    wire = b"".join(http1_write.chunk(chunk) for chunk in chunks)
    return wire + http1_write.last_chunk(headers(ends) if ends else None)


def events_of(chunks: list[bytes], ends: list[tuple[str, str]]) -> list[tuple[object, ...]]:
    body = b"".join(chunks)
    return [*([("body", body)] if body else []), ("end", ends)]


round_trip = settings(derandomize=True, deadline=None, max_examples=200)


@round_trip
@given(
    method=methods,
    target=targets,
    pairs=fields,
    chunks=bodies,
    ends=trailers,
    places=st.lists(st.integers(0, 500), max_size=4),
)
def test_a_chunked_request_is_read_back_as_it_was_written(
    method: str,
    target: str,
    pairs: list[tuple[str, str]],
    chunks: list[bytes],
    ends: list[tuple[str, str]],
    places: list[int],
) -> None:
    pairs = [("Host", "a.example:8080"), *pairs]
    request = Request(method, target, headers(pairs))
    wire = http1_write.request_head(request, request.headers, None, "d") + wire_of(chunks, ends)
    head, *body = read_requests(at(wire, places))
    assert head[:5] == ("request", method, target, "1.1", "a.example")
    assert head[5] == [*pairs, ("Transfer-Encoding", "chunked")]
    assert head[6:] == (True, 0, True)
    assert body == events_of(chunks, ends)


@round_trip
@given(method=methods, pairs=fields, body=st.binary(max_size=100))
def test_a_counted_request_is_read_back_as_it_was_written(
    method: str, pairs: list[tuple[str, str]], body: bytes
) -> None:
    pairs = [("Host", "a"), *pairs]
    request = Request(method, "/", headers(pairs))
    wire = http1_write.request_head(request, request.headers, len(body), "d") + body
    head, *rest = read_requests([wire + http1_write.request_head(request, request.headers, 0, "d")])
    assert [one for one in head[5] if one[0] != "Content-Length"] == pairs
    assert head[7] == len(body)
    assert rest[:-1] == ([("body", body), ("end", [])] if body else [])
    assert rest[-1][0] == "request"


@round_trip
@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    pairs=fields,
    chunks=bodies,
    ends=trailers,
    chunked=st.booleans(),
    places=st.lists(st.integers(0, 500), max_size=4),
)
def test_a_response_is_read_back_as_it_was_written(
    status: int,
    pairs: list[tuple[str, str]],
    chunks: list[bytes],
    ends: list[tuple[str, str]],
    chunked: bool,
    places: list[int],
) -> None:
    response = Response.from_upstream(status, b"A Reason", headers(pairs), None)
    body = b"".join(chunks)
    if chunked:
        wire = http1_write.response_head(response, None, chunked=True) + wire_of(chunks, ends)
        framing, events = ("Transfer-Encoding", "chunked"), events_of(chunks, ends)
    else:
        wire = http1_write.response_head(response, len(body), chunked=False) + body
        framing, events = ("Content-Length", str(len(body))), events_of(chunks, [])
    (head, *rest), reusable = read_response(at(wire, places))
    assert head == (
        "response",
        status,
        b"A Reason",
        [*pairs, framing],
        None if chunked else len(body),
    )
    assert (rest, reusable) == (events, True)


@pytest.mark.parametrize("name", sorted(NEVER_FORWARDED - {b"content-length"}))
def test_fields_of_a_hop_and_of_framing_are_not_written(name: bytes) -> None:
    text = name.decode()
    pairs = [("Host", "a"), (text.title(), "x"), (text, "y"), ("X", "z")]
    request = Request("GET", "/", headers(pairs))
    assert (
        http1_write.request_head(request, request.headers, 0, "d")
        == b"GET / HTTP/1.1\r\nHost: a\r\nX: z\r\n\r\n"
    )
    response = Response.from_upstream(200, b"OK", headers(pairs[1:]), None)
    assert (
        http1_write.response_head(response, None, chunked=False)
        == b"HTTP/1.1 200 OK\r\nX: z\r\n\r\n"
    )
    assert http1_write.interim_head(response) == b"HTTP/1.1 200 OK\r\nX: z\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "length", "line"),
    [
        ("GET", 0, b""),
        ("GET", 5, b"Content-Length: 5\r\n"),
        ("POST", 0, b"Content-Length: 0\r\n"),
        ("PUT", 0, b"Content-Length: 0\r\n"),
        ("PATCH", 0, b"Content-Length: 0\r\n"),
        ("DELETE", 0, b""),
        ("GET", None, b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_where_the_body_of_a_request_ends(method: str, length: int | None, line: bytes) -> None:
    request = Request(method, "/", headers([("Host", "a")]))
    wire = http1_write.request_head(request, request.headers, length, "d")
    assert wire == method.encode() + b" / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n"


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "OPTIONS"])
def test_a_length_of_zero_is_passed_on(method: str) -> None:
    request = Request(method, "/", headers([("Content-Length", "00"), ("Host", "a")]))
    wire = http1_write.request_head(request, request.headers, 0, "d")
    assert wire == method.encode() + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("te", "written"),
    [
        ("trailers", b"Connection: TE\r\nTE: trailers\r\n"),
        ("deflate;q=0.5, Trailers", b"Connection: TE\r\nTE: trailers\r\n"),
        ("gzip", b""),
        ("", b""),
    ],
)
def test_only_trailers_of_te_are_passed_on(te: str, written: bytes) -> None:
    request = Request("GET", "/", headers([("Host", "a"), ("TE", te)]))
    wire = http1_write.request_head(request, request.headers, 0, "d")
    assert wire == b"GET / HTTP/1.1\r\nHost: a\r\n" + written + b"\r\n"


def test_trailers_are_announced_if_there_can_be_any() -> None:
    fields = headers([("Host", "a"), ("Trailer", "X-Sum, Content-Length, grpc-status, b ad,")])
    request = Request("POST", "/", fields)
    line = b"Trailer: X-Sum, grpc-status\r\n"
    assert line in http1_write.request_head(request, fields, None, "d")
    assert line not in http1_write.request_head(request, fields, 3, "d")
    response = Response.from_upstream(200, b"OK", fields, None)
    assert line in http1_write.response_head(response, None, chunked=True)
    assert line not in http1_write.response_head(response, None, chunked=False)
    fields = headers([("Trailer", "Content-Length")])
    assert b"Trailer" not in http1_write.request_head(request, fields, None, "d")


def test_a_request_of_http_1_0_without_host_gets_one() -> None:
    request = Request("GET", "/", Headers(), http_version="1.0")
    wire = http1_write.request_head(request, request.headers, 0, "default:81")
    assert wire == b"GET / HTTP/1.1\r\nHost: default:81\r\n\r\n"


def test_connection_is_written_last() -> None:
    response = Response.from_upstream(200, b"", Headers(), None)
    wire = http1_write.response_head(response, 0, chunked=False, connection=b"close")
    assert wire == b"HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_a_response_of_our_own_has_the_registered_reason() -> None:
    for status, line in [(404, b"404 Not Found"), (599, b"599 "), (200, b"200 OK")]:
        wire = http1_write.response_head(Response(status), 0, chunked=False)
        assert wire.startswith(b"HTTP/1.1 " + line + b"\r\n")
