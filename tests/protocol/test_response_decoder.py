"""Responses read from bytes, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.wire import at, every_cut, read_response

from pingap.http.errors import UpstreamError
from pingap.http.response import Response
from pingap.protocol.events import TUNNEL_PIECE
from pingap.protocol.http1_response import MOST_AT_ONCE, PIECE, ResponseDecoder

pytestmark = pytest.mark.usefixtures("reader")

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TE = ("Transfer-Encoding", "chunked")


def response(
    status: int, *fields: tuple[str, str], reason: bytes = b"OK", length: int | None = None
) -> tuple[object, ...]:
    return ("response", status, reason, list(fields), length)


END = ("end", [])

# name: method, wire, end of the connection follows, events, reusable
VALID = {
    "counted": (
        "GET",
        OK + b"Content-Length: 3\r\n\r\nabc",
        False,
        [response(200, ("Content-Length", "3"), length=3), ("body", b"abc"), END],
        True,
    ),
    "length zero": (
        "GET",
        OK + b"Content-Length: 0\r\n\r\n",
        False,
        [response(200, ("Content-Length", "0"), length=0), END],
        True,
    ),
    "chunked": (
        "GET",
        CHUNKED + b"3\r\nabc\r\n4;x=y\r\n\r\n\r\n\r\n00\r\n\r\n",
        False,
        [response(200, TE), ("body", b"abc\r\n\r\n"), END],
        True,
    ),
    "trailers": (
        "GET",
        CHUNKED + b"1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        False,
        [response(200, TE), ("body", b"a"), ("end", [("A", "b"), ("C", "d")])],
        True,
    ),
    "white space after sizes": (
        "GET",
        CHUNKED + b"2  \r\nab\r\n1 ; x\r\nc\r\n0 \r\n\r\n",
        False,
        [response(200, TE), ("body", b"abc"), END],
        True,
    ),
    "trailers that may not be there": (
        "GET",
        CHUNKED + b"1\r\na\r\n0\r\nSet-Cookie: a=b\r\nA: b\r\nContent-Length: 3\r\n\r\n",
        False,
        [response(200, TE), ("body", b"a"), ("end", [("A", "b")])],
        True,
    ),
    "white space before a colon": (
        "GET",
        OK + b"Content-Length \t: 1\r\nX : a\r\n\r\na",
        False,
        [response(200, ("Content-Length", "1"), ("X", "a"), length=1), ("body", b"a"), END],
        True,
    ),
    "empty chunked": ("GET", CHUNKED + b"0\r\n\r\n", False, [response(200, TE), END], True),
    "until the end": (
        "GET",
        OK + b"\r\nabc",
        True,
        [response(200), ("body", b"abc"), END],
        False,
    ),
    "empty until the end": ("GET", OK + b"\r\n", True, [response(200), END], False),
    "connection close": (
        "GET",
        OK + b"Content-Length: 1\r\nConnection: close\r\n\r\na",
        False,
        [
            response(200, ("Content-Length", "1"), ("Connection", "close"), length=1),
            ("body", b"a"),
            END,
        ],
        False,
    ),
    "length in connection": (
        "GET",
        OK + b"Content-Length: 1\r\nConnection: content-length\r\n\r\na",
        False,
        [
            response(200, ("Content-Length", "1"), ("Connection", "content-length"), length=1),
            ("body", b"a"),
            END,
        ],
        True,
    ),
    "coding in connection": (
        "GET",
        OK
        + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        False,
        [response(200, ("Connection", "Transfer-Encoding"), TE), ("body", b"a"), END],
        True,
    ),
    "http/1.0": (
        "GET",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
        False,
        [response(200, ("Content-Length", "1"), length=1), ("body", b"a"), END],
        False,
    ),
    "http/1.0 that stays": (
        "GET",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
        False,
        [
            response(200, ("Connection", "keep-alive"), ("Content-Length", "1"), length=1),
            ("body", b"a"),
            END,
        ],
        True,
    ),
    "chunked http/1.0 that wants to stay": (
        "GET",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        False,
        [response(200, ("Connection", "keep-alive"), TE), END],
        False,
    ),
    "later version of HTTP/1": (
        "GET",
        b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
        False,
        [response(200, ("Content-Length", "0"), length=0), END],
        True,
    ),
    "no reason": (
        "GET",
        b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
        False,
        [response(404, ("Content-Length", "0"), reason=b"", length=0), END],
        True,
    ),
    "HEAD with a length": (
        "HEAD",
        OK + b"Content-Length: 30\r\n\r\n",
        False,
        [response(200, ("Content-Length", "30"), length=30), END],
        True,
    ),
    "204": (
        "GET",
        b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
        False,
        [response(204, ("A", "b"), reason=b"No Content"), END],
        True,
    ),
    "204 with a length": (
        "GET",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
        False,
        [response(204, ("Content-Length", "3"), reason=b"No Content", length=3), END],
        True,
    ),
    "304 with a length": (
        "GET",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        False,
        [response(304, ("Content-Length", "9"), reason=b"Not Modified", length=9), END],
        True,
    ),
    "interim heads": (
        "GET",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nab",
        False,
        [
            response(100, reason=b"Continue"),
            response(103, ("Link", "x"), reason=b"Early Hints"),
            response(200, ("Content-Length", "2"), length=2),
            ("body", b"ab"),
            END,
        ],
        True,
    ),
    "interim head before chunks": (
        "GET",
        b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"2\r\nab\r\n0\r\n\r\n",
        False,
        [response(100, reason=b"Continue"), response(200, TE), ("body", b"ab"), END],
        True,
    ),
    "listed fields belong to this hop": (
        "GET",
        OK + b"X-Hop: 1\r\nConnection: x-hop\r\nContent-Length: 0\r\n\r\n",
        False,
        [response(200, ("Connection", "x-hop"), ("Content-Length", "0"), length=0), END],
        True,
    ),
}


@pytest.mark.parametrize("name", VALID)
def test_responses_are_read_however_they_are_cut(name: str) -> None:
    method, wire, eof, events, reusable = VALID[name]
    for parts in every_cut(wire):
        assert read_response(parts, method, eof=eof) == (events, reusable), parts


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"304 Not Modified"), ("GET", b"204 -")]
)
def test_answers_without_body_may_announce_a_coding(method: str, status: bytes) -> None:
    # Allowed for HEAD and 304, and tolerated by everyone for 204 (RFC 9112, 6.1).
    wire = b"HTTP/1.1 " + status + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    for parts in every_cut(wire):
        events, reusable = read_response(parts, method)
        assert ([event[0] for event in events], reusable) == (["response", "end"], True), parts


def test_an_interim_head_that_announces_a_coding_gives_no_third_thing() -> None:
    wire = (
        b"HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n"
        + OK
        + b"Content-Length: 1\r\n\r\na"
    )
    for parts in every_cut(wire):
        read_response(parts)


def test_a_decoder_serves_one_answer_after_the_other() -> None:
    decoder = ResponseDecoder()
    for name, (method, wire, eof, events, reusable) in VALID.items():
        if not reusable or eof:
            continue
        decoder.expect(method)
        assert decoder.untouched, name
        assert len(decoder.feed(wire)) >= len(events) - 1, name
        assert decoder.reusable, name
        assert not decoder.untouched, name


@pytest.mark.parametrize("framing", [b"Content-Length: 0\r\n\r\n", b"Content-Length: 1\r\n\r\na"])
def test_proxy_connection_does_not_spoil_the_next_answer(framing: bytes) -> None:
    wire = OK + b"Proxy-Connection: close\r\n" + framing
    decoder = ResponseDecoder()
    decoder.expect("GET")
    decoder.feed(wire)
    if decoder.reusable:
        decoder.expect("GET")
        assert decoder.feed(wire)


INVALID = {
    "length and coding": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "one length twice": OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    **{
        f"length {value!r}": OK + b"Content-Length: " + value + b"\r\n\r\nabc"
        for value in (b"", b"+3", b"-3", b"3, 3", b"0x3", b"3 3", b"18446744073709551616")
    },
    **{
        f"coding {value!r}": OK + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n"
        for value in (b"gzip", b"gzip, chunked", b"chunked, gzip", b"xchunked", b"chunked, chunked")
    },
    "LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "LF in the head": OK + b"X: a\nContent-Length: 0\r\n\r\n",
    "CR in a value": OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
    "obs-fold": OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL": OK + b"X: a\0\r\nContent-Length: 0\r\n\r\n",
    "space in a name": OK + b"Content Length: 0\r\n\r\n",
    "name with obs-text": OK + b"\xff: a\r\nContent-Length: 0\r\n\r\n",
    "no colon": OK + b"X\r\nContent-Length: 0\r\n\r\n",
    "junk": b"junk\r\n\r\n",
    "binary": b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "101 without upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "size 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "LF after a size": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "LF in an extension": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "nothing after data": CHUNKED + b"3\r\nabc0\r\n\r\n",
    "overflow": CHUNKED + b"10000000000000000\r\nabc",
    "endless head": OK + b"X: " + b"y" * 70_000,
    "endless interim heads": b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 3000,
    "flood of extensions": CHUNKED + b"1;" + b"x" * 64_000,
}


@pytest.mark.parametrize("name", INVALID)
def test_a_malformed_response_is_refused_however_it_is_cut(name: str) -> None:
    wire = INVALID[name]
    cuts = every_cut(wire) if len(wire) < 1000 else [[wire], [wire[:50], wire[50:]]]
    for parts in cuts:
        events, reusable = read_response(parts)
        assert (events[-1], reusable) == (("bad",), False), parts


@pytest.mark.parametrize("coding", [b"gzip", b"identity"])
def test_codings_in_two_fields_are_refused(coding: bytes) -> None:
    wire = OK + b"Transfer-Encoding: " + coding + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert read_response([wire]) == ([("bad",)], False)


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.1 000 x",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 200 O\0K",
    ],
)
def test_odd_status_lines_are_refused(line: bytes) -> None:
    events, _ = read_response([line + b"\r\nContent-Length: 0\r\n\r\n"])
    assert events == [("bad",)]


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP",
        OK + b"Content-Le",
        OK + b"Content-Length: 3\r\n\r\n",
        OK + b"Content-Length: 3\r\n\r\nab",
        CHUNKED,
        CHUNKED + b"3\r\nab",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\nA: b\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_an_answer_that_ends_too_early_is_not_complete(wire: bytes) -> None:
    for parts in every_cut(wire):
        events, _ = read_response(parts, eof=True)
        assert events[-1] == ("bad",), parts
        assert END not in events


def test_only_the_end_before_any_byte_leaves_the_request_untouched() -> None:
    for wire, untouched in [(b"", True), (b"H", False), (b"HTTP/1.1 100 Continue\r\n\r\n", False)]:
        decoder = ResponseDecoder()
        decoder.expect("GET")
        if wire:
            decoder.feed(wire)
        assert decoder.untouched is untouched
        with pytest.raises(UpstreamError) as caught:
            decoder.eof()
        assert caught.value.untouched is untouched


AFTER = (
    b"\r\n",
    b"x",
    b"HTTP/1.1 ",
    OK + b"X-Poison: ",
    OK + b"Content-Length: 5\r\n\r\nab",
    OK + b"Content-Length: 2\r\n\r\nab",
    CHUNKED + b"5\r\nab",
)
ANSWERS = {
    "counted": ("GET", OK + b"Content-Length: 3\r\n\r\nabc"),
    "length zero": ("GET", OK + b"Content-Length: 0\r\n\r\n"),
    "chunked": ("GET", CHUNKED + b"0\r\n\r\n"),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "HEAD": ("HEAD", OK + b"Content-Length: 9\r\n\r\n"),
}


@pytest.mark.parametrize("name", ["counted", "length zero", "chunked", "204"])
def test_bytes_after_an_answer_make_the_connection_unusable(name: str) -> None:
    method, wire = ANSWERS[name]
    alone, _ = read_response([wire], method)
    for after in AFTER:
        assert read_response([wire + after], method) == (alone, False), after


def test_bytes_after_the_answer_to_head_make_the_connection_unusable() -> None:
    method, wire = ANSWERS["HEAD"]
    alone, _ = read_response([wire], method)
    for after in AFTER:
        assert read_response([wire + after], method) == (alone, False), after


def test_bytes_after_an_answer_never_belong_to_the_next_one() -> None:
    """What matters in the end: no request gets anything of another one's answer."""
    wrong = []
    for name, (method, wire) in ANSWERS.items():
        for after in AFTER:
            decoder = ResponseDecoder()
            decoder.expect(method)
            decoder.feed(wire + after)
            if decoder.reusable:
                parts = [OK + b"X-Mine: 1\r\nContent-Length: 4\r\n\r\nmine"]
                if not _is_mine(decoder, parts):
                    wrong.append((name, after))
    assert wrong == []


def _is_mine(decoder: ResponseDecoder, parts: list[bytes]) -> bool:
    decoder.expect("GET")
    try:
        head, body, _ = [event for part in parts for event in decoder.feed(part)]
    except (UpstreamError, ValueError):
        return False
    return body == b"mine" and head.headers.items()[0] == ("X-Mine", "1")  # type: ignore[union-attr]


def test_a_large_head_does_not_count_as_overhead_of_chunks() -> None:
    head = OK + b"X: " + b"y" * 20_000 + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"3\r\nabc\r\n0\r\n\r\n"
    assert [event[0] for event in read_response([head, body])[0]] == ["response", "body", "end"]
    assert [event[0] for event in read_response([head + body])[0]] == ["response", "body", "end"]


@pytest.mark.parametrize(
    "fields", [b"X: " + b"y" * 100_000 + b"\r\n", b"".join(b"X%d: y\r\n" % n for n in range(300))]
)
def test_a_head_beyond_its_limits_is_refused_however_it_is_cut(fields: bytes) -> None:
    wire = OK + fields + b"Content-Length: 0\r\n\r\n"
    assert read_response([wire[:-5], wire[-5:]]) == ([("bad",)], False)
    assert read_response([wire]) == ([("bad",)], False)


PIECES = [
    *[wire for _, wire, _, _, _ in VALID.values()],
    *[wire for wire in INVALID.values() if len(wire) < 1000],
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    wire = bytearray(b"".join(draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=2))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(wire)))
        what = draw(st.sampled_from(["change", "insert", "delete"]))
        if what == "insert":
            wire[place:place] = draw(
                st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\0", b":", b"0"])
            )
        elif what == "change" and place < len(wire):
            wire[place] = draw(st.integers(0, 255))
        else:
            del wire[place : place + draw(st.integers(1, 8))]
    return bytes(wire)


def _seen(parts: list[bytes], method: str, eof: bool) -> object:
    """What must not depend on cuts: a broken answer is broken, the rest is the same."""
    events, _ = read_response(parts, method, eof=eof)
    return "bad" if events and events[-1] == ("bad",) else events


@settings(derandomize=True, deadline=None, max_examples=400)
@example(CHUNKED, "HEAD", [], False)
@given(
    wire=st.one_of(mutated(), st.binary(max_size=200)),
    method=st.sampled_from(["GET", "HEAD"]),
    places=st.lists(st.integers(0, 500)),
    eof=st.booleans(),
)
def test_any_input_gives_events_or_upstream_error_and_cuts_change_nothing(
    wire: bytes, method: str, places: list[int], eof: bool
) -> None:
    whole = _seen([wire], method, eof)
    pieces = _seen(at(wire, places), method, eof)
    if "bad" in (whole, pieces) and whole != pieces:
        # Bytes after the answer may be noticed or not; an answer that began is never made whole.
        assert END in (whole if pieces == "bad" else pieces)  # type: ignore[operator]
    else:
        assert whole == pieces


def _read(wire: bytes) -> Response:
    decoder = ResponseDecoder()
    [head, *_] = decoder.feed(wire)
    assert isinstance(head, Response)
    return head


def test_a_head_does_not_say_how_its_body_is_cut() -> None:
    wire = OK + b"Content-Length: 2\r\nX-Cut: 1\r\n\r\nab"
    whole = read_response([wire])
    assert read_response([wire[:-1], wire[-1:]]) == whole
    assert read_response([wire + b"c"]) == (whole[0], False)
    assert read_response([wire[:-2]], "HEAD")[0] == [whole[0][0], ("end", [])]


def test_thousands_of_small_parts_are_read_a_few_at_a_time() -> None:
    decoder = ResponseDecoder()
    decoder.expect("GET")
    chunks = b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n"
    events = decoder.feed(b"HTTP/1.1 102 \r\n\r\n" * 100 + CHUNKED + chunks)
    assert len(events) == MOST_AT_ONCE
    calls = 1
    while decoder.left:
        more = decoder.feed(b"")
        assert len(more) <= MOST_AT_ONCE + 2
        events += more
        calls += 1
    assert calls > len(chunks) // PIECE
    assert sum(isinstance(event, Response) for event in events) == 101
    assert b"".join(event for event in events if isinstance(event, bytes)) == b"a" * 20_000
    assert decoder.reusable


def test_what_a_tunnel_carries_is_returned_in_pieces_if_wanted() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    data = bytes(range(256)) * 1000
    for in_pieces in (False, True):
        decoder = ResponseDecoder()
        decoder.expect("GET", "websocket")
        assert len(decoder.feed(head)) == 1
        decoder.in_pieces = in_pieces
        events = decoder.feed(data)
        while decoder.left:
            events += decoder.feed(b"")
        assert b"".join(event for event in events if isinstance(event, bytes)) == data
        assert len(events) == (-(-len(data) // TUNNEL_PIECE) if in_pieces else 1)
