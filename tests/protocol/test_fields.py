"""Hosts, connection options and trailers."""

from __future__ import annotations

import pytest

from pingap.http.errors import BadRequest
from pingap.http.headers import Headers
from pingap.http.hosts import parse_host
from pingap.protocol import fields
from pingap.protocol.fields import connection_options, drop_listed, keep_trailers


def headers(*pairs: tuple[str, str]) -> Headers:
    made = Headers()
    for name, value in pairs:
        made.add(name, value)
    return made


@pytest.mark.parametrize(
    ("value", "host"),
    [
        (b"a", "a"),
        (b"A.Example.:8080", "a.example"),
        (b"a:", "a"),
        (b"192.0.2.1:80", "192.0.2.1"),
        (b"[2001:db8::1]", "[2001:db8::1]"),
        (b"[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]"),
        (b"a_b-c.d~%41", "a_b-c.d~a"),
        (b"", ""),
        (b"a" * 255 + b":65535", "a" * 255),
    ],
)
def test_the_host_is_what_comes_before_the_port(value: bytes, host: str) -> None:
    assert parse_host(value) == host


@pytest.mark.parametrize(
    "value",
    [b"a b", b"a/", b"u@a", b"a:b", b"a:80:80", b"a:-1", b"a:123456", b"[::1", b"::1", b"[::1]x",
     b"[]", b"a\t", b"\xe4", b"a\n", b"a?", b"a#", b"a\\", b'"', b":80", b":"],
)  # fmt: skip
def test_what_is_no_host_is_refused(value: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_host(value)


def test_connection_options_have_no_case_and_come_from_every_field() -> None:
    assert connection_options(headers(("connection", "Close"))) == {b"close"}
    every = headers(("Connection", " X-A ,\tKEEP-ALIVE"), ("A", "b"), ("CONNECTION", "x-b"))
    assert connection_options(every) == {b"x-a", b"keep-alive", b"x-b"}
    assert connection_options(headers(("Connection", "a,,b"))) >= {b"a", b"b"}


def test_listed_fields_are_dropped() -> None:
    fields = headers(("X-A", "1"), ("X-B", "2"), ("x-a", "3"))
    drop_listed(fields, frozenset((b"x-a", b"close")))
    assert fields.items() == [("X-B", "2")]


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "Authorization", "Cookie", "Content-Length", "Transfer-Encoding"),
        *("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP"),
    ],
)
def test_what_makes_a_request_understood_is_kept(name: str) -> None:
    fields = headers((name, "1"))
    drop_listed(fields, frozenset((name.lower().encode(),)))
    assert fields.items() == [(name, "1")]


def test_ordinary_trailers_pass() -> None:
    trailers = headers(("X-Checksum", "1"), ("grpc-status", "0"), ("ETag", "x"))
    assert keep_trailers(trailers) == trailers


@pytest.mark.parametrize(
    "name",
    [b"Content-Length", b"transfer-encoding", b"HOST", b"Trailer", b"Set-Cookie", b"Authorization",
     b"Content-Type", b"Content-Encoding", b"Content-Range", b"X-Forwarded-For", b"Connection",
     b"Cache-Control", b"If-Match", b"Date", b"Via", b"Early-Data"],
)  # fmt: skip
def test_trailers_that_would_change_the_message_are_dropped(name: bytes) -> None:
    unwanted = (name.decode(), "1")
    assert keep_trailers(headers(("X", "1"), unwanted)) == headers(("X", "1"))
    assert keep_trailers(headers(unwanted)) is None


def test_a_host_that_no_name_can_have_is_refused() -> None:
    with pytest.raises(BadRequest):
        parse_host(b"a" * 262)


def test_long_options_are_read_and_not_remembered() -> None:
    before = fields._remembered_options.cache_info().currsize
    long = ", ".join(f"x-{number}" for number in range(200))
    assert len(connection_options(headers(("Connection", long)))) == 200
    assert fields._remembered_options.cache_info().currsize == before
