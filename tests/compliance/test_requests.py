"""RFC 9112 and 9110 on the client's side: what is refused, what is not, and what the origin sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.rig import Rig, answer_or_none, read_to_end, running
from support.waiting import until

from pingap.testing import Client

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running(server='access_log = "combined"') as rig:
        yield rig
        assert " ERROR " not in rig.proxy.log
        assert rig.origin.errors == []


def head(*lines: bytes, line: bytes = b"POST /bad HTTP/1.1") -> bytes:
    return b"\r\n".join([line, *lines, b"", b""])


CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"

REFUSED = {
    # Where a body ends (RFC 9112, 6.1 to 6.3).
    "CL+TE": (head(b"Host: a", b"Content-Length: 3", b"Transfer-Encoding: chunked") + CHUNKS, 400),
    "TE+CL": (head(b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 3") + CHUNKS, 400),
    "two CL": (head(b"Host: a", b"Content-Length: 3", b"Content-Length: 4") + b"abcd", 400),
    "CL twice": (head(b"Host: a", b"Content-Length: 3", b"Content-Length: 3") + b"abc", 400),
    **{
        f"CL {value!r}": (head(b"Host: a", b"Content-Length: " + value) + b"a", 400)
        for value in (
            b"+1", b"1,1", b"1, 1", b"0x1", b"a", b"", b"-1", b"1 1", b"1;", b"1.0",
            b"18446744073709551616", b"9" * 40,
        )
    },
    **{
        f"TE {value!r}": (head(b"Host: a", b"Transfer-Encoding: " + value) + CHUNKS, 400)
        for value in (
            b"gzip", b"chunked, gzip", b"identity", b"xchunked", b"chunkedx",
            b"", b"chunked, chunked", b"chunked;a", b'"chunked"', b"\x0bchunked", b",chunked",
        )
    },
    "two TE": (head(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + CHUNKS, 400),
    "identity TE, then TE": (head(b"Host: a", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked") + CHUNKS, 501),
    "coding below chunked": (head(b"Host: a", b"Transfer-Encoding: gzip, chunked") + CHUNKS, 501),
    "TE, then a hidden one": (head(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-encoding: cow") + CHUNKS, 400),
    "TE in HTTP/1.0": (head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0") + CHUNKS, 400),
    "TE with a space before the colon": (head(b"Host: a", b"Transfer-Encoding : chunked") + CHUNKS, 400),
    "CL with a space before the colon": (head(b"Host: a", b"Content-Length : 3") + b"abc", 400),
    "TE folded": (head(b"Host: a", b"Transfer-Encoding:", b" chunked") + CHUNKS, 400),
    # Lines (RFC 9112, 2.2, 5.1 and 5.2).
    "bare CR": (head(b"Host: a", b"X: a\rY: b"), 400),
    "bare LF": (head(b"Host: a", b"X: a\nY: b"), 400),
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "only bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "obs-fold": (head(b"Host: a", b"X: a", b" b"), 400),
    "NUL": (head(b"Host: a", b"X: a\0"), 400),
    "control": (head(b"Host: a", b"X: \x08"), 400),
    "space before the colon": (head(b"Host: a", b"X : a"), 400),
    "empty name": (head(b"Host: a", b": a"), 400),
    "no colon": (head(b"Host: a", b"X"), 400),
    "space at the start of the first field": (head(b" X: a", b"Host: a"), 400),
    "name that is no token": (head(b"Host: a", b"X{}: a"), 400),
    # The request line (RFC 9112, 3).
    "method that is no token": (head(b"Host: a", line=b"GE@T / HTTP/1.1"), 400),
    "CONNECT": (head(b"Host: a:443", line=b"CONNECT a:443 HTTP/1.1"), 501),
    **{
        f"target {value!r}": (head(b"Host: a", line=b"GET " + value + b" HTTP/1.1"), 400)
        for value in (
            b"/a b", b"/\x01", b"/\x7f", b"/%", b"/%00", b"/%c0%af", b"/#f", b"a", b"*", b"http://u@a/", b"ftp://a/",
            b"http://", b"http://a:b/", b"\\",
        )
    },
    "two spaces": (head(b"Host: a", line=b"GET  / HTTP/1.1"), 400),
    "space after the version": (head(b"Host: a", line=b"GET / HTTP/1.1 "), 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "version 0.9": (head(line=b"GET / HTTP/0.9"), 505),
    "version 2.0": (head(b"Host: a", line=b"GET / HTTP/2.0"), 505),
    "lower case version": (head(b"Host: a", line=b"GET / http/1.1"), 400),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x00\x05hello\r\n\r\n", 400),
    # Host (RFC 9112, 3.2).
    "no Host": (head(line=b"GET / HTTP/1.1"), 400),
    "two Host": (head(b"Host: a", b"Host: b"), 400),
    "Host twice": (head(b"Host: a", b"Host: a"), 400),
    **{
        f"Host {value!r}": (head(b"Host: " + value), 400)
        for value in (b"a b", b"a/b", b"u@a", b"a:b", b"[::1", b"a,b:c", b"\xe4", b"a#b", b"::1")
    },
    # Limits (RFC 9112, 3; RFC 6585, 5).
    "long target": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "endless target": (b"GET /" + b"x" * 20_000, 414),
    "endless method": (b"x" * 20_000, 414),
    "large head": (head(b"Host: a", b"X: " + b"y" * 70_000), 431),
    "endless head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000, 431),
    "many fields": (head(b"Host: a", *[b"X: y"] * 257), 431),
    # Expectations (RFC 9110, 10.1.1).
    "other expectation": (head(b"Host: a", b"Expect: other"), 417),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_request_is_refused_and_never_reaches_the_origin(rig: Rig, name: str) -> None:
    wire, status = REFUSED[name]
    before, connections = len(rig.origin.requests), rig.origin.connections
    with rig.connect() as client:
        client.send(wire if "endless" in name else wire + SMUGGLED)
        answer = client.answer()
        assert (answer.status, answer.complete) == (status, True)
        assert answer.header("x-pingap-etype") == "InvalidHTTPHeader"
        assert (answer.header("connection") or "").lower() == "close"
        assert client.is_closed()
    assert len(rig.origin.requests) == before
    assert rig.origin.connections == connections


@pytest.mark.parametrize("name", ["two CL", "bare LF", "HTTP/0.9", "TLS", "no Host"])
def test_a_malformed_request_is_refused_byte_by_byte(rig: Rig, name: str) -> None:
    wire, status = REFUSED[name]
    with rig.connect() as client:
        with suppress(OSError):  # refused before its end
            _send_in_pieces(client, wire)
        assert client.answer().status == status


BAD_BODIES = {
    "space before a size": b" 3\r\nabc\r\n0\r\n\r\n",
    "space in a size": b"0 3\r\nabc\r\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "negative size": b"-3\r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "overflow": b"1ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "LF after a size": b"3\nabc\r\n0\r\n\r\n",
    "LF after data": b"3\r\nabc\n0\r\n\r\n",
    "nothing after data": b"3\r\nabc0\r\n\r\n",
    "more data than said": b"3\r\nabcdef\r\n0\r\n\r\n",
    "extension with LF": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "extension with CR": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "last chunk with LF": b"3\r\nabc\r\n0\n\n",
    "flood of extensions": b"3;" + b"x" * 100_000 + b"\r\nabc\r\n0\r\n\r\n",
    "flood of trailers": b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def swallowing() -> Iterator[tuple[Rig, list[bytes]]]:
    """A rig whose origin only reads, and what it read from each connection."""
    seen: list[bytes] = []
    with running(lambda served: seen.append(read_to_end(served))) as rig:
        yield rig, seen
        assert " ERROR " not in rig.proxy.log


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_malformed_body_is_refused_and_never_looks_complete(
    swallowing: tuple[Rig, list[bytes]], name: str
) -> None:
    """The origin may see the beginning; it must not take it for the whole."""
    rig, seen = swallowing
    with rig.connect() as client:
        with suppress(OSError):  # refused before its end
            client.send(
                head(b"Host: a", b"Transfer-Encoding: chunked") + BAD_BODIES[name] + SMUGGLED
            )
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (400, "close")
        assert client.is_closed()
    until(lambda: len(seen) == rig.origin.connections, "the upstream connection is open")
    for received in seen:
        assert b"\r\n0\r\n" not in received
        assert b"smuggled" not in received


def test_empty_lines_before_a_request_are_passed_over(rig: Rig) -> None:
    with rig.connect() as client:
        for _ in range(2):
            client.send(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.answer().status == 200


def test_an_absolute_target_wins_over_host(rig: Rig) -> None:
    with rig.script(rig.origin.script), rig.connect() as client:
        client.send(b"GET http://b.example:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer().status == 200
        [request] = rig.origin.requests
    assert (request.target, request.header_all("host")) == ("/x?y", ["b.example:81"])


def test_options_for_the_server_as_a_whole(rig: Rig) -> None:
    with rig.script(rig.origin.script), rig.connect() as client:
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer().status == 200
        [request] = rig.origin.requests
    assert request.raw_head.startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_http_1_0_ends_with_its_answer(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.body, answer.header("connection")) == (200, b"ok", "close")
        assert client.is_closed()


def test_http_1_0_goes_on_if_asked(rig: Rig) -> None:
    with rig.connect() as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = client.answer()
            assert (answer.status, answer.body) == (200, b"ok")
            assert (answer.header("connection") or "").lower() == "keep-alive"


def test_connection_close_is_kept(rig: Rig) -> None:
    with rig.script(rig.origin.script), rig.connect() as client:
        client.send(head(b"Host: a", b"Connection: close", line=b"GET /last HTTP/1.1") + SMUGGLED)
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert client.is_closed()
        assert [request.target for request in rig.origin.requests] == ["/last"]


@pytest.mark.parametrize(
    "target", ["//", "/%2e%2e/%2C", "/\u00fc?\u00fc", "/a;b=c?d=e&f", "/?a?b", "/~!$&'()*+,;=:@"]
)
def test_targets_pass_as_they_are(rig: Rig, target: str) -> None:
    with rig.script(rig.origin.script), rig.connect() as client:
        assert client.get(target).status == 200
        assert rig.origin.requests[-1].target == target


def test_the_largest_allowed_head_passes(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(
            head(b"Host: a", *[b"X%d: y" % number for number in range(255)], line=b"GET / HTTP/1.1")
        )
        assert client.answer().status == 200
        client.send(head(b"Host: a", b"X: " + b"y" * 65_000, line=b"GET / HTTP/1.1"))
        assert client.answer().status == 200
        client.send(b"GET /" + b"x" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer().status == 200


def test_a_second_request_of_a_refused_connection_is_not_answered(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(SMUGGLED.replace(b"smuggled", b"1") + REFUSED["CL+TE"][0] + SMUGGLED)
        assert [client.answer().status for _ in range(2)] == [200, 400]
        assert answer_or_none(client) is None


def test_an_offer_to_upgrade_is_not_passed_on(rig: Rig) -> None:
    with rig.script(rig.origin.script), rig.connect() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AA\r\nContent-Length: 2\r\n\r\nab"
        )
        assert (client.answer().body, client.get("/2").status) == (b"ab", 200)
        first = rig.origin.requests[0]
    assert first.header("upgrade") is None
    assert first.header("http2-settings") is None
    assert first.header("connection") is None


def _send_in_pieces(client: Client, wire: bytes) -> None:
    for byte in wire:
        client.send(bytes([byte]))


def test_a_request_may_come_byte_by_byte(rig: Rig) -> None:
    with rig.connect() as client:
        _send_in_pieces(client, head(b"Host: a", b"Transfer-Encoding: chunked") + CHUNKS)
        assert client.answer().body == b"abc"
        _send_in_pieces(client, head(b"Host: a", b"Content-Length: 3") + b"abc")
        assert client.answer().body == b"abc"
