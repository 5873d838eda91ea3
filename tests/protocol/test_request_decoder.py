"""Requests read from bytes, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cost import cost
from support.wire import at, cut, every_cut, heads, read_requests

from pingap.http.errors import BadRequest
from pingap.http.paths import is_odd
from pingap.http.request import Request
from pingap.protocol.events import TUNNEL_PIECE, EndOfMessage, HeadLimits
from pingap.protocol.http1_head import (
    Malformed,
    plain_request_line,
    read_field,
    read_fields,
    read_request_line,
)
from pingap.protocol.http1_request import RequestDecoder

pytestmark = pytest.mark.usefixtures("reader")

CHUNKED_HEAD = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def request(
    method: str,
    target: str,
    *fields: tuple[str, str],
    version: str = "1.1",
    host: str = "a",
    chunked: bool = False,
    length: int = 0,
    keep_alive: bool = True,
) -> tuple[object, ...]:
    return (
        "request",
        method,
        target,
        version,
        host,
        list(fields),
        chunked,
        length,
        keep_alive,
    )


HOST = ("Host", "a")
TE = ("Transfer-Encoding", "chunked")

VALID = {
    "get": (b"GET /x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n", [request("GET", "/x?y=1", HOST)]),
    "empty lines before": (
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        [request("GET", "/", HOST)],
    ),
    "counted body": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\r\n",
        [
            request("POST", "/", HOST, ("Content-Length", "3"), length=3),
            ("body", b"a\r\n"),
            ("end", []),
        ],
    ),
    "length zero": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        [request("POST", "/", HOST, ("Content-Length", "0"))],
    ),
    "chunked": (
        CHUNKED_HEAD + b"3\r\nabc\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
        [request("POST", "/c", HOST, TE, chunked=True), ("body", b"abc\r\n\r\n"), ("end", [])],
    ),
    "chunks that look like the end": (
        CHUNKED_HEAD + b"5\r\n0\r\n\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        [
            request("POST", "/c", HOST, TE, chunked=True),
            ("body", b"0\r\n\r\n\r\n0\r\n\r\n"),
            ("end", []),
        ],
    ),
    "chunk extensions, leading zeros, upper case": (
        CHUNKED_HEAD + b'00A;a;b=c;d="e f"\r\n0123456789\r\n000;x\r\n\r\n',
        [request("POST", "/c", HOST, TE, chunked=True), ("body", b"0123456789"), ("end", [])],
    ),
    "white space after sizes and around extensions": (
        CHUNKED_HEAD + b"3 \t\r\nabc\r\n4 ; a = b\r\ndefg\r\n0  \r\n\r\n",
        [request("POST", "/c", HOST, TE, chunked=True), ("body", b"abcdefg"), ("end", [])],
    ),
    "trailers": (
        CHUNKED_HEAD + b"1\r\na\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n",
        [
            request("POST", "/c", HOST, TE, chunked=True),
            ("body", b"a"),
            ("end", [("X-Sum", "1"), ("X-Sum", "2")]),
        ],
    ),
    "trailers that may not be there": (
        CHUNKED_HEAD + b"1\r\na\r\n0\r\nContent-Length: 9\r\nA: b\r\nHost: b\r\nTE: x\r\n\r\n",
        [request("POST", "/c", HOST, TE, chunked=True), ("body", b"a"), ("end", [("A", "b")])],
    ),
    "empty chunked body with trailers": (
        CHUNKED_HEAD + b"0\r\nA: b\r\n\r\n",
        [request("POST", "/c", HOST, TE, chunked=True), ("end", [("A", "b")])],
    ),
    "white space around values": (
        b"GET / HTTP/1.1\r\nHost:\ta \r\nX:  b\t c \t\r\nY:\r\n\r\n",
        [request("GET", "/", HOST, ("X", "b\t c"), ("Y", ""))],
    ),
    "coding with white space and capitals": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tChunked \r\n\r\n0\r\n\r\n",
        [request("POST", "/", HOST, ("Transfer-Encoding", "Chunked"), chunked=True), ("end", [])],
    ),
    "later version of HTTP/1": (
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        [request("GET", "/", HOST)],
    ),
    "obs-text in a value": (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\r\n\r\n",
        [request("GET", "/", HOST, ("X", "\xe9\xff"))],
    ),
    "http/1.0": (
        b"GET / HTTP/1.0\r\n\r\n",
        [request("GET", "/", version="1.0", host="", keep_alive=False)],
    ),
    "http/1.0 that stays": (
        b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        [request("GET", "/", ("Connection", "Keep-Alive"), version="1.0", host="")],
    ),
    "close wins over keep-alive": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: x, CLOSE\r\n\r\n",
        [
            request(
                "GET",
                "/",
                HOST,
                ("Connection", "keep-alive"),
                ("Connection", "x, CLOSE"),
                keep_alive=False,
            )
        ],
    ),
    "listed fields belong to this hop": (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Hop: 1\r\nConnection: x-hop, host\r\nX-Stays: 1\r\n\r\n",
        [request("GET", "/", HOST, ("Connection", "x-hop, host"), ("X-Stays", "1"))],
    ),
    "absolute target wins": (
        b"GET http://B:80/x HTTP/1.1\r\nHost: a\r\n\r\n",
        [request("GET", "/x", ("Host", "B:80"), host="b")],
    ),
    "absolute target without path": (
        b"GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n",
        [request("GET", "/?q", ("Host", "b"), host="b")],
    ),
    "a method of its own": (  # (RFC 9110, 9.1: whether it is known is the origin's business)
        b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\nget / HTTP/1.1\r\nHost: a\r\n\r\n",
        [request("BREW", "/pot", HOST), request("get", "/", HOST)],
    ),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", [request("OPTIONS", "*", HOST)]),
    "IPv6 host": (
        b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        [request("GET", "/", ("Host", "[::1]:80"), host="[::1]")],
    ),
    "empty host": (
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        [request("GET", "/", ("Host", ""), host="")],
    ),
    "an offer to upgrade is passed over": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
        b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        [request("GET", "/", HOST, ("Connection", "upgrade")), request("GET", "/2", HOST)],
    ),
    "an offer to upgrade with a counted body": (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        [
            request(
                "POST", "/", HOST, ("Connection", "upgrade"), ("Content-Length", "2"), length=2
            ),
            ("body", b"ab"),
            ("end", []),
            request("GET", "/2", HOST),
        ],
    ),
    "pipelined": (
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
        b"\r\n" + CHUNKED_HEAD + b"1\r\na\r\n0\r\n\r\n"
        b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n" + CHUNKED_HEAD + b"0\r\nA: b\r\n\r\n"
        b"GET /5 HTTP/1.0\r\n\r\n",
        [
            request("POST", "/1", HOST, ("Content-Length", "2"), length=2),
            ("body", b"ab"),
            ("end", []),
            request("POST", "/c", HOST, TE, chunked=True),
            ("body", b"a"),
            ("end", []),
            request("GET", "/3", HOST),
            request("POST", "/c", HOST, TE, chunked=True),
            ("end", [("A", "b")]),
            request("GET", "/5", version="1.0", host="", keep_alive=False),
        ],
    ),
}


@pytest.mark.parametrize("name", VALID)
def test_requests_are_read_however_they_are_cut(name: str) -> None:
    wire, expected = VALID[name]
    for parts in every_cut(wire):
        found = [_without_upgrade(event) for event in read_requests(parts)]
        assert found == expected, parts


def _without_upgrade(event: tuple[object, ...]) -> tuple[object, ...]:
    """Leave out ``Upgrade``: whether it stays among the fields does not matter here."""
    if event[0] != "request":
        return event
    fields = [one for one in event[5] if one[0] != "Upgrade"]  # type: ignore[attr-defined]
    return (*event[:5], fields, *event[6:])


def test_an_offer_to_upgrade_with_a_chunked_body() -> None:
    wire = (
        b"POST /c HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    for parts in every_cut(wire):
        events = read_requests(parts)
        assert [event[0] for event in events] == ["request", "body", "end", "request"], parts
        assert events[1] == ("body", b"abc")


def test_odd_lines_mean_the_same_as_usual_ones() -> None:
    odd, usual = head(b"Host: a", b"X-Odd:b"), head(b"Host: a", b"X-Odd: b")
    for wire in (odd, usual, odd):
        [event] = read_requests([wire])
        assert event[5] == [HOST, ("X-Odd", "b")]


@pytest.mark.parametrize("body", [b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_proxy_connection_does_not_spoil_the_next_request(body: bytes) -> None:
    wire = b"POST / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n" + body
    assert [event[0] for event in read_requests([wire, wire])].count("request") == 2


def head(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([line, *lines, b"", b""])


INVALID = {
    "length and coding": (head(b"Host: a", b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400),
    "coding and length": (head(b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 3"), 400),
    "two lengths": (head(b"Host: a", b"Content-Length: 3", b"Content-Length: 4"), 400),
    "one length twice": (head(b"Host: a", b"Content-Length: 3", b"Content-Length: 3"), 400),
    **{
        f"length {value!r}": (head(b"Host: a", b"Content-Length: " + value), 400)
        for value in (
            b"", b"+3", b"-3", b"3,3", b"3, 3", b"0x3", b"3 3", b"3;", b"3.0", b"\xb3", b"1_0",
            b"18446744073709551616", b"99999999999999999999999",
        )
    },
    **{
        f"coding {value!r}": (head(b"Host: a", b"Transfer-Encoding: " + value), 400)
        for value in (
            b"", b"gzip", b"identity", b"xchunked", b"chunkedx", b"chunked, gzip", b"chunked, gzip, chunked",
            b"chunked, chunked", b"chunked;a=b", b'"chunked"', b",chunked", b"chunked,",
            b"\x0bchunked", b"\x0cchunked", b"chunked\x00",
        )
    },
    "chunked twice": (head(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    "chunked, then identity": (head(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), 400),
    "identity, then chunked": (head(b"Host: a", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"), 501),
    "gzip, then chunked": (head(b"Host: a", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), 501),
    "gzip below chunked": (head(b"Host: a", b"Transfer-Encoding: gzip;q=1, chunked"), 501),
    "coding in HTTP/1.0": (head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"), 400),
    "space before the colon": (head(b"Host: a", b"Transfer-Encoding : chunked"), 400),
    "tab before the colon": (head(b"Host: a", b"X\t: b"), 400),
    "empty name": (head(b"Host: a", b": b"), 400),
    "name that is no token": (head(b"Host: a", b"X(y): b"), 400),
    "name with obs-text": (head(b"Host: a", b"X\xff: b"), 400),
    "line without colon": (head(b"Host: a", b"X"), 400),
    "space after the request line": (head(b" X: b", b"Host: a"), 400),
    "obs-fold": (head(b"Host: a", b"X: b", b" c"), 400),
    "obs-fold with a tab": (head(b"Host: a", b"X: b", b"\tc"), 400),
    "folded empty value": (head(b"Host:", b" a"), 400),
    "NUL in a value": (head(b"Host: a", b"X: b\0c"), 400),
    "control in a value": (head(b"Host: a", b"X: b\x01c"), 400),
    "DEL in a value": (head(b"Host: a", b"X: b\x7f"), 400),
    "CR in a value": (head(b"Host: a", b"X: b\rY: c"), 400),
    "LF in a value": (head(b"Host: a", b"X: b\nY: c"), 400),
    "LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "only LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "two CR": (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    "LF before the request line": (b"\n" + head(b"Host: a"), 400),
    "space before the request line": (b" " + head(b"Host: a"), 400),
    "no host": (head(), 400),
    "two hosts": (head(b"Host: a", b"Host: b"), 400),
    "one host twice": (head(b"Host: a", b"Host: a"), 400),
    **{
        f"host {value!r}": (head(b"Host: " + value), 400)
        for value in (
            b"a b", b"a/b", b"u@a", b"a:b", b"a:123456", b"[::1", b"::1", b"a\\b", b"a#b", b"a?b",
            b"[g::1]", b"\xe4", b'"a"', b"<a>",
        )
    },
    **{
        f"target {value!r}": (head(b"Host: a", line=b"GET " + value + b" HTTP/1.1"), 400)
        for value in (
            b"", b"a", b"/a b", b"/\x01", b"/\x7f", b"/\xe9\x80\n", b"/%", b"/%00", b"/#f", b"/?a#f", b"*", b"http://",
            b"http:///x", b"http://u@b/", b"http://u:p@b/", b"ftp://b/", b"http:/b", b"//b x",
            b"http://b:x/", b"http://b:123456/", b"http://b#f", b"/\t", b"/\0",
        )
    },
    "two spaces before the target": (head(b"Host: a", line=b"GET  / HTTP/1.1"), 400),
    "two spaces before the version": (head(b"Host: a", line=b"GET /  HTTP/1.1"), 400),
    "space after the version": (head(b"Host: a", line=b"GET / HTTP/1.1 "), 400),
    "tab after the method": (head(b"Host: a", line=b"GET\t/ HTTP/1.1"), 400),
    "method that is no token": (head(b"Host: a", line=b"G(T / HTTP/1.1"), 400),
    "CONNECT": (head(b"Host: a", line=b"CONNECT a:443 HTTP/1.1"), 501),
    "no version": (b"GET /\r\n\r\n", 400),
    "HTTP/0.9": (head(line=b"GET / HTTP/0.9"), 505),
    "HTTP/3.0": (head(b"Host: a", line=b"GET / HTTP/3.0"), 505),
    "HTTP/2.0": (head(b"Host: a", line=b"GET / HTTP/2.0"), 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "lower case version": (head(b"Host: a", line=b"GET / http/1.1"), 400),
    "RTSP": (head(b"Host: a", line=b"DESCRIBE / RTSP/1.0"), 400),
    "ICE": (head(b"Host: a", line=b"SOURCE / ICE/1.0"), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "unknown expectation": (head(b"Host: a", b"Expect: other"), 417),
    "two expectations": (head(b"Host: a", b"Expect: 100-continue, other"), 417),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_a_malformed_head_is_refused_however_it_is_cut(name: str) -> None:
    wire, status = INVALID[name]
    assert read_requests([wire]) == [("bad", status)]
    for parts in every_cut(wire + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"):
        assert heads(read_requests(parts)) == [("bad",)], parts


BAD_BODIES = {
    "space before the size": b" 3\r\nabc\r\n0\r\n\r\n",
    "space in a size": b"1 0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "other white space after a size": b"3\x0b\r\nabc\r\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "only an extension": b";a\r\nabc\r\n0\r\n\r\n",
    "overflow": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "LF after the size": b"3\nabc\r\n0\r\n\r\n",
    "CR after the size": b"3\rabc\r\n0\r\n\r\n",
    "LF after the data": b"3\r\nabc\n0\r\n\r\n",
    "nothing after the data": b"3\r\nabc0\r\n\r\n",
    "more data than the size": b"3\r\nabcd\r\n0\r\n\r\n",
    "LF in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "CR in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "NUL in an extension": b"3;\0\r\nabc\r\n0\r\n\r\n",
    "line break in a quoted extension": b'3;a="b\r\n\r\nabc\r\n0\r\n\r\n',
    "last chunk ends with LF": b"3\r\nabc\r\n0\n\n",
    "empty line is LF": b"3\r\nabc\r\n0\r\n\n",
    "trailer ends with LF": b"0\r\nA: b\n\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "space before a trailer": b"0\r\n A: b\r\n\r\n",
    "space before the colon of a trailer": b"0\r\nA : b\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_malformed_chunked_body_is_refused_however_it_is_cut(name: str) -> None:
    wire = CHUNKED_HEAD + BAD_BODIES[name]
    assert read_requests([wire])[-1] == ("bad", 400)
    for parts in every_cut(wire + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"):
        found = heads(read_requests(parts))
        assert [event[0] for event in found] == ["request", "bad"], parts


LIMITS = HeadLimits(request_line=40, size=120, fields=4)


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET /" + b"x" * 40 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"x" * 400, 414),
        (b"x" * 400, 414),
        (head(b"Host: a", b"X: " + b"y" * 120), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 120, 431),
        (head(b"Host: a", *[b"A: b"] * 4), 431),
    ],
)
def test_heads_have_limits_however_they_are_cut(wire: bytes, status: int) -> None:
    for parts in every_cut(wire):
        assert read_requests(parts, LIMITS) == [("bad", status)], parts


@pytest.mark.parametrize(
    "wire",
    [
        b"GET /" + b"x" * 25 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        head(b"Host: a", b"X: " + b"y" * 88),
        head(b"Host: a", *[b"A: b"] * 3),
    ],
)
def test_heads_may_be_as_large_as_their_limits(wire: bytes) -> None:
    for parts in every_cut(wire):
        assert [event[0] for event in read_requests(parts, LIMITS)] == ["request"], parts


def test_a_request_line_may_be_as_long_as_its_limit() -> None:
    wire = b"GET /" + b"x" * 26 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert [event[0] for event in read_requests([wire], LIMITS)] == ["request"]
    for parts in every_cut(wire):
        assert [event[0] for event in read_requests(parts, LIMITS)] == ["request"], parts


def test_white_space_around_values_of_trailers() -> None:
    wire = CHUNKED_HEAD + b"0\r\nA:\tb \t\r\n\r\n"
    assert read_requests([wire])[-1] == ("end", [("A", "b")])


def test_an_invalid_host_is_refused_beside_an_absolute_target() -> None:
    assert read_requests([head(b"Host: a b", line=b"GET http://b/ HTTP/1.1")]) == [("bad", 400)]


def test_a_missing_host_is_refused_beside_an_absolute_target() -> None:
    assert read_requests([head(line=b"GET http://b/ HTTP/1.1")]) == [("bad", 400)]


def test_an_expectation_in_a_second_field_is_refused() -> None:
    wire = head(b"Host: a", b"Expect: 100-continue", b"Expect: other")
    assert read_requests([wire]) == [("bad", 417)]


def test_options_for_an_absolute_target_without_path() -> None:
    [event] = read_requests([head(b"Host: a", line=b"OPTIONS http://b HTTP/1.1")])
    assert event[2] == "*"  # (RFC 9112, 3.2.4)


def test_unread_bytes_are_known() -> None:
    decoder = RequestDecoder(HeadLimits())
    assert not decoder.in_head
    decoder.feed(b"GET /")
    assert (decoder.next(), decoder.in_head, decoder.unread) == (None, True, b"GET /")
    decoder.feed(b" HTTP/1.1\r\nHost: a\r\n\r\nGET")
    assert decoder.next() is not None
    assert (decoder.unread, decoder.in_head) == (b"GET", True)


def test_empty_lines_are_no_head() -> None:
    decoder = RequestDecoder(HeadLimits())
    decoder.feed(b"\r\n\r\n")
    assert decoder.next() is None
    assert (decoder.in_head, decoder.unread) == (False, b"")


def test_extensions_and_trailers_of_a_small_body_are_bounded() -> None:
    for flood in (b"1;" + b"x" * 64_000, b"0\r\n" + b"A: b\r\n" * 10_000):
        assert read_requests([CHUNKED_HEAD, flood])[-1] == ("bad", 400)


def test_tiny_chunks_pass() -> None:
    events = read_requests([CHUNKED_HEAD, b"1\r\na\r\n" * 50_000, b"0\r\n\r\n"])
    assert [event[0] for event in events] == ["request", "body", "end"]
    assert len(events[1][1]) == 50_000


def test_a_large_body_does_not_buy_many_trailers() -> None:
    decoder = RequestDecoder(HeadLimits(fields=100))
    decoder.feed(CHUNKED_HEAD)
    decoder.next()
    decoder.feed(b"100000\r\n" + b"x" * 0x100000 + b"\r\n0\r\n")
    while decoder.next() is not None:
        pass
    decoder.feed(b"a:b\r\n" * 100_000)
    with pytest.raises(BadRequest):
        decoder.next()


def _body_of_empty_lines(size: int) -> None:
    decoder = RequestDecoder(HeadLimits())
    decoder.feed(CHUNKED_HEAD)
    decoder.next()
    decoder.feed(b"%x\r\n" % size + b"\r\n" * (size // 2))
    while decoder.next() is not None:
        pass


def _head_byte_by_byte(size: int) -> None:
    decoder = RequestDecoder(HeadLimits())
    decoder.feed(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(size):
        decoder.feed(b"y")
        assert decoder.next() is None


def test_a_body_of_empty_lines_costs_time_in_proportion() -> None:
    assert cost(_body_of_empty_lines, 256 * 1024) < 20 * cost(_body_of_empty_lines, 32 * 1024)


def test_a_head_that_comes_byte_by_byte_costs_time_in_proportion() -> None:
    assert cost(_head_byte_by_byte, 8 * 1024) < 24 * cost(_head_byte_by_byte, 1024)


WIRES = [wire for wire, _ in VALID.values()]
PIECES = [*WIRES, *[wire for wire, _ in INVALID.values()], *BAD_BODIES.values(), CHUNKED_HEAD]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid messages and fragments, with a few bytes changed, doubled or left out."""
    wire = bytearray(b"".join(draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(wire)))
        what = draw(st.sampled_from(["change", "insert", "delete", "copy"]))
        if what == "insert":
            wire[place:place] = draw(
                st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\0", b":", b"0", b";", b"\r\n\r\n"])
            )
        elif what == "change" and place < len(wire):
            wire[place] = draw(st.integers(0, 255))
        elif what == "delete":
            del wire[place : place + draw(st.integers(1, 8))]
        elif what == "copy":
            wire[place:place] = wire[place : place + draw(st.integers(1, 20))]
    return bytes(wire)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(wire=st.one_of(mutated(), st.binary(max_size=200)), places=st.lists(st.integers(0, 1000)))
def test_any_input_gives_events_or_bad_request_and_cuts_change_nothing(
    wire: bytes, places: list[int]
) -> None:
    assert heads(read_requests(at(wire, places))) == heads(read_requests([wire]))


PLAIN_LINES = [
    b"GET / HTTP/1.1", b"POST /a/b.c;d?e=f&g=%20 HTTP/1.1", b"GET /a?b?c HTTP/1.1", b"M-SEARCH /a HTTP/1.1",
    b"get /a HTTP/1.1", b"GET //a HTTP/1.1", b"GET /a/../b HTTP/1.1", b"GET /.a HTTP/1.1", b"GET /a%2fb HTTP/1.1",
    b"GET /a#b HTTP/1.1", b"GET /a?b#c HTTP/1.1", b"GET * HTTP/1.1", b"GET ?a HTTP/1.1", b"GET http://a/ HTTP/1.1",
    b"GET / HTTP/1.0", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /\xc3\xa4 HTTP/1.1",
    b"GET /a\\b HTTP/1.1", b"GET /a\tb HTTP/1.1", b"GET /a\0 HTTP/1.1", b"GET /a HTTP/1.1\n", b"GET /\"<>[]{|}^` HTTP/1.1",
]  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=500)
@given(
    line=st.one_of(
        st.sampled_from(PLAIN_LINES),
        st.binary(max_size=30).map(lambda end: b"GET /" + end + b" HTTP/1.1"),
    )
)
def test_a_plain_request_line_means_what_the_careful_reader_says(line: bytes) -> None:
    """And its path needs no normalising."""
    text = line.decode("latin-1")
    if (match := plain_request_line(text)) is None:
        return
    method, target, path, query = match.groups("")
    assert read_request_line(text) == (method, target, "1.1")
    assert (path, query) == (target.partition("?")[0], target.partition("?")[2])
    assert target[0] == "/"
    assert "#" not in target
    assert not is_odd(path)


def _read_careful(lines: list[bytes]) -> list[tuple[bytes, bytes]] | None:
    try:
        return [read_field(line) for line in lines]
    except Malformed:
        return None


PIECES = [
    b"\r\n", b"\r", b"\n", b"\0", b"\t", b" ", b":", b": ", b"a", b"B-c", b"x_y", b"\x80", b"\xff", b"\x7f", b"\x0b",
    b"\r\nName: value", b"\r\nHost: a", b"\r\nName:value", b"\r\n: value", b"\r\nName : v", b"\r\n folded", b"\r\nName: ",
]  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=600)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=8))
def test_a_plain_head_means_what_the_careful_reader_says(pieces: list[bytes]) -> None:
    head = b"GET / HTTP/1.1" + b"".join(pieces)
    lines = head.split(b"\r\n")[1:]
    careful = _read_careful(lines)
    try:
        headers, plain = read_fields(head, list(lines))
    except Malformed:
        assert careful is None
        return
    assert careful == headers.fields
    assert not plain or b"_" not in b"".join(headers.keys)


def test_a_body_follows_its_head_each_time() -> None:
    decoder = RequestDecoder(HeadLimits())
    for _ in range(2):
        decoder.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
        assert isinstance(decoder.next(), Request)
        decoder.feed(b"abc")
        assert decoder.next() == b"abc"
        assert isinstance(decoder.next(), EndOfMessage)


def test_what_a_tunnel_carries_is_returned_in_pieces_if_wanted() -> None:
    data = bytes(range(256)) * 100
    for in_pieces in (False, True):
        decoder = RequestDecoder(HeadLimits())
        decoder.begin_tunnel(in_pieces=in_pieces)
        decoder.feed(data)
        found = []
        while (event := decoder.next()) is not None:
            found.append(event)
        assert found == (cut(data, TUNNEL_PIECE) if in_pieces else [data])
        assert bool(decoder.wanted) is not in_pieces
