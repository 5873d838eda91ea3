"""RFC 9110 and 9112: what passes a gateway as it came, and what does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.h2 import H2Client, fields
from support.rig import Rig, running

from pingap.testing import Served

LENGTH = b"Content-Length: 2\r\n\r\nok"

ANSWERS = {
    "/999": b"HTTP/1.1 999 Request Denied\r\n" + LENGTH,
    "/299": b"HTTP/1.1 299 \r\n" + LENGTH,
    "/428": b"HTTP/1.1 428 Precondition Required\r\n" + LENGTH,
    "/425": b"HTTP/1.1 425 Too Early\r\n" + LENGTH,
    "/reason": b"HTTP/1.1 200 G\xfct\tso\r\n" + LENGTH,
    "/no-reason": b"HTTP/1.1 200\r\n" + LENGTH,
    "/later": b"HTTP/1.9 200 OK\r\n" + LENGTH,
    "/space": b"HTTP/1.1 200 OK\r\nX-Odd \t: a\r\nContent-Length : 2\r\n\r\nok",
    "/205": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "/304": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n",
    "/304-zero": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
    "/fields": b"HTTP/1.1 206 Partial Content\r\nX-B: 2\r\nx-a: 1\r\nX-B:\r\nContent-Range: bytes 0-1/9\r\n"
    b"Vary: A\r\nVary: B\r\nWWW-Authenticate: Basic, Digest\r\nLocation: a/../b\r\nAllow: GET,HEAD\r\n"
    b"Accept-Ranges: bytes\r\nContent-Location: /c\r\nContent-Type: a/b\r\nContent-Type: odd\r\n"
    + LENGTH,
    "/old-chunked": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nok\r\n0\r\n\r\n",
    "/old": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH,
    "/close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + LENGTH,
}


def script(served: Served) -> None:
    while (request := served.read_request()) is not None:
        answer = ANSWERS.get(request.target)
        if answer is not None:
            served.send(answer)
        else:
            served.respond(request.body or b"ok")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    more = """
[plugins.old]
category = "redirect"
prefix = "/new"
[locations.moved]
path = "/moved"
plugins = ["old"]
[plugins.none]
category = "mock"
status = 304
[locations.none]
path = "/none"
plugins = ["none"]
"""
    with running(
        script,
        server="enabled_h2 = true",
        more=more,
        locations='"moved", "none", ',
    ) as rig:
        yield rig
        assert " ERROR " not in rig.proxy.log


@pytest.fixture
def seen(rig: Rig) -> Iterator[Rig]:
    with rig.script(script):
        yield rig


# Status lines (RFC 9112, 4; RFC 9110, 15).


@pytest.mark.parametrize(
    ("target", "status", "reason"),
    [
        ("/999", 999, "Request Denied"),
        ("/299", 299, ""),
        ("/425", 425, "Too Early"),
        ("/428", 428, "Precondition Required"),
        ("/reason", 200, "G\xfct\tso"),
        ("/no-reason", 200, ""),
        ("/later", 200, "OK"),
        ("/205", 205, "Reset Content"),
    ],
)
def test_any_status_and_reason_pass(seen: Rig, target: str, status: int, reason: str) -> None:
    with seen.connect() as client, H2Client(seen.proxy) as other:
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        line = client.read_until(b"\r\n")
        assert line == f"HTTP/1.1 {status} {reason}\r\n".encode("latin-1")
        assert other.get(1, target).status == status


# Fields (RFC 9110, 5; RFC 9112, 5).


def test_fields_keep_their_order_and_their_lines(seen: Rig) -> None:
    with seen.connect() as client:
        answer = client.get("/fields")
        assert [one for one in answer.headers if one[0] not in ("Date", "Content-Length")] == [
            ("X-B", "2"), ("x-a", "1"), ("X-B", ""), ("Content-Range", "bytes 0-1/9"), ("Vary", "A"),
            ("Vary", "B"), ("WWW-Authenticate", "Basic, Digest"), ("Location", "a/../b"),
            ("Allow", "GET,HEAD"), ("Accept-Ranges", "bytes"), ("Content-Location", "/c"),
            ("Content-Type", "a/b"), ("Content-Type", "odd"),
        ]  # fmt: skip
        client.send(
            b"GET / HTTP/1.1\r\nX-B: 2\r\nHost: a\r\nx-a: 1\r\nX-B:  \r\nEarly-Data: 1\r\nRange: bytes=0-1\r\n"
            b"If-Range: x\r\nUpgrade-Insecure-Requests: 1\r\nAccept: a\r\nAccept: b\r\nIf-Match: *\r\n"
            b'If-None-Match: "a", W/"b"\r\nIf-Modified-Since: then\r\nAuthorization: Basic  YTpi\r\n\r\n'
        )
        assert client.answer().status == 200
    assert seen.origin.requests[-1].headers == [
        ("X-B", "2"), ("Host", "a"), ("x-a", "1"), ("X-B", ""), ("Early-Data", "1"), ("Range", "bytes=0-1"),
        ("If-Range", "x"), ("Upgrade-Insecure-Requests", "1"), ("Accept", "a"), ("Accept", "b"),
        ("If-Match", "*"), ("If-None-Match", '"a", W/"b"'), ("If-Modified-Since", "then"),
        ("Authorization", "Basic  YTpi"),
    ]  # fmt: skip


def test_white_space_before_a_colon_of_an_answer_is_removed(seen: Rig) -> None:
    with seen.connect() as client:
        answer = client.get("/space")
        assert (answer.header("x-odd"), answer.body) == ("a", b"ok")


def test_an_answer_cannot_be_split(seen: Rig) -> None:
    with seen.connect() as client:
        answer = client.get("/moved%0d%0aSet-Cookie:%20a=b")
        assert (answer.status, answer.header("set-cookie")) == (307, None)
        assert "%0d%0a" in (answer.header("location") or "")


# Requests (RFC 9112, 3; RFC 9110, 7 and 9).


@pytest.mark.parametrize("method", ["PROPFIND", "get", "M-SEARCH", "QUERY"])
def test_any_method_passes(seen: Rig, method: str) -> None:
    with seen.connect() as client, H2Client(seen.proxy) as other:
        assert client.request(method, "/").status == 200
        other.headers(1, fields(method))
        assert other.finish(1).status == 200
    assert [request.method for request in seen.origin.requests] == [method, method]


@pytest.mark.parametrize("version", ["1.2", "1.9"])
def test_a_later_version_is_read_as_ours(seen: Rig, version: str) -> None:
    with seen.connect() as client:
        for _ in range(2):
            client.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
            assert client.answer().status == 200
    assert seen.origin.requests[-1].raw_head.startswith(b"GET / HTTP/1.1\r\n")


def test_an_old_request_is_sent_on_in_our_version_with_host_first(seen: Rig) -> None:
    with seen.connect() as client:
        client.send(b"GET / HTTP/1.0\r\nX-A: 1\r\n\r\n")
        assert client.answer().status == 200
    lines = seen.origin.requests[-1].raw_head.split(b"\r\n")
    assert (lines[0], lines[1][:6], lines[2]) == (b"GET / HTTP/1.1", b"Host: ", b"X-A: 1")


@pytest.mark.parametrize("host", ["a:80", "A.example:443", "a:", "[::1]:80", ""])
def test_host_passes_as_it_came(seen: Rig, host: str) -> None:
    with seen.connect() as client:
        client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert client.answer().status == 200
    assert seen.origin.requests[-1].header_all("host") == [host]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST"])
def test_a_length_of_zero_passes(seen: Rig, method: str) -> None:
    with seen.connect() as client:
        client.send(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
        assert client.answer(method).status == 200
    assert seen.origin.requests[-1].header_all("content-length") == ["0"]


def test_content_of_get_passes(seen: Rig) -> None:
    with seen.connect() as client:
        assert client.request("GET", "/", body=b"abc").body == b"abc"


# Expectations (RFC 9110, 10.1.1).

EXPECTATIONS = {
    "HTTP/1.0": (b"POST / HTTP/1.0", b"100-continue", b"Content-Length: 1\r\n\r\na"),
    "no content": (b"GET / HTTP/1.1", b"100-continue", b"\r\n"),
    "length of zero": (b"POST / HTTP/1.1", b"100-continue", b"Content-Length: 0\r\n\r\n"),
    "empty": (b"POST / HTTP/1.1", b"", b"Content-Length: 1\r\n\r\na"),
}


@pytest.mark.parametrize("name", EXPECTATIONS)
def test_an_expectation_that_means_nothing_is_not_passed_on(seen: Rig, name: str) -> None:
    line, value, rest = EXPECTATIONS[name]
    with seen.connect() as client:
        client.send(line + b"\r\nHost: a\r\nExpect: " + value + b"\r\n" + rest)
        assert client.answer().status == 200
    assert seen.origin.requests[-1].header("expect") is None


def test_an_expectation_of_a_stream_without_content_is_not_passed_on(seen: Rig) -> None:
    with H2Client(seen.proxy) as client:
        assert client.get(1, "/", ("expect", "100-continue")).status == 200
    assert seen.origin.requests[-1].header("expect") is None


# Where answers end (RFC 9112, 6; RFC 9110, 8.6).


def test_304_may_say_how_long_the_content_is(seen: Rig) -> None:
    with seen.connect() as client, H2Client(seen.proxy) as other:
        assert client.get("/304").header("content-length") == "5"
        assert other.get(1, "/304").header("content-length") == "5"
        assert client.get("/304-zero").header("content-length") == "0"
        answer = client.get("/none")
        assert (answer.status, answer.header("content-length")) == (304, None)
        assert client.get("/").body == b"ok"


@pytest.mark.parametrize(
    ("target", "connections"), [("/old-chunked", 2), ("/old", 1), ("/close", 2)]
)
def test_a_connection_of_an_upstream_is_kept_if_it_may_be(target: str, connections: int) -> None:
    with running(script) as rig, rig.connect() as client:
        for _ in range(2):
            assert client.get(target).body == b"ok"
        assert rig.origin.connections == connections


SIZES = (b"2 ", b"2\t", b"2 ;a", b"2 ; a = b", b"2;a", b'02 ;a="b c"', b"0000000000000000000002")


def test_white_space_in_chunk_lines_is_removed() -> None:
    bodies = [size + b"\r\nok\r\n0  \r\n\r\n" for size in SIZES]

    def chunked(served: Served) -> None:
        for body in bodies:
            request = served.read_request()
            assert request is not None
            assert request.body == b"ok"
            served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)

    with running(chunked) as rig, rig.connect() as client:
        for body in bodies:
            head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.send(head + body)
            assert client.answer().body == b"ok", body
        assert rig.origin.errors == []
