"""Plain heads: what the readers make of them is what the decoders find out with a closer look."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.head_wires import HOSTS, REQUEST_LINES, STATUS_LINES, every_byte, many
from support.readers import READERS

from pingap.http.errors import BadRequest
from pingap.http.headers import make_headers
from pingap.http.request import ATTRIBUTES, Request
from pingap.protocol.events import HeadLimits
from pingap.protocol.http1_head import Malformed
from pingap.protocol.http1_request import RequestDecoder
from pingap.protocol.http1_response import _read_odd_head
from pingap.protocol.plain_heads import NOTABLE, PlainRequest, PlainResponse
from pingap.protocol.readers import RequestReader, ResponseReader

END = b"\r\n\r\n"
REQUEST = b"G /a?b HTTP/1.1\r\nHost: A.b:80\r\nX-1: c d"
RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-1: c d",
    b"HTTP/1.1 404\r\nConnection: close\r\nTransfer-Encoding: chunked",
)
LIMITS = HeadLimits(request_line=1 << 20, size=1 << 20, fields=1 << 20)

every_request_reader = pytest.mark.parametrize("read", [r for r, _ in READERS.values()], ids=READERS)  # fmt: skip
every_response_reader = pytest.mark.parametrize("read", [r for _, r in READERS.values()], ids=READERS)  # fmt: skip
compiled = pytest.mark.skipif("compiled" not in READERS, reason="make speedups has not run")
MANY = 10_000


def all_of(request: Request) -> list[object]:
    return [getattr(request, name, "not set") for name in ATTRIBUTES]


def made_of(plain: PlainRequest) -> list[object]:
    *start, keys, lines = plain
    request = Request("", "", make_headers([], []))
    request.begin(*start, make_headers(keys, lines))  # type: ignore[arg-type]
    return all_of(request)


def look_closer(data: bytes) -> list[object] | None:
    """Return the request that these bytes are, and no more; or None."""
    decoder = RequestDecoder(LIMITS)
    decoder.feed(data)
    try:
        request = decoder.next()
    except BadRequest:
        return None
    return all_of(request) if isinstance(request, Request) and not decoder.unread else None


def look_closer_at_response(head: bytes) -> PlainResponse | None:
    try:
        response, reusable, counted = _read_odd_head(head)
    except Malformed:
        return None
    assert response.reason is not None
    keys, lines = response.headers.keys, response.headers.lines
    length = response.content_length
    return response.status, response.reason, keys, lines, length, reusable, counted


# Requests.


@every_request_reader
def test_a_plain_request_is_read(read: RequestReader) -> None:
    data = b"PURGE /a/b.c?d=e?f HTTP/1.1\r\nX-One: 1 \x80\t2\r\nhOST: Shop.Test.:8080" + END
    keys, lines = [b"x-one", b"host"], [b"X-One: 1 \x80\t2", b"hOST: Shop.Test.:8080"]
    assert read(data) == ("PURGE", "/a/b.c?d=e?f", "/a/b.c", "d=e?f", "shop.test", keys, lines)
    for target, query in ((b"/", ""), (b"/?", ""), (b"/?\xe9", "\xe9")):
        plain = read(b"GET " + target + b" HTTP/1.1\r\nHost: a" + END)
        assert plain == ("GET", target.decode("latin-1"), "/", query, "a", [b"host"], [b"Host: a"])


@every_request_reader
def test_what_is_shorter_than_the_end_of_a_head_is_none(read: RequestReader) -> None:
    """Of three bytes without an end, ``find`` gives what it gives for a head that is nothing but one."""
    for size in range(5):
        for pieces in product((b"\r", b"\n", b"\0", b"G", b" ", b"/"), repeat=size):
            assert read(b"".join(pieces)) is None


@pytest.mark.usefixtures("reader")
def test_three_bytes_begin_a_head() -> None:
    decoder = RequestDecoder(HeadLimits())
    assert decoder.read_plain(b"GET") is None
    decoder.feed(b"GET")
    assert decoder.next() is None
    decoder.feed(b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert isinstance(decoder.next(), Request)


@every_request_reader
def test_a_request_is_plain_only_if_it_is_whole_and_alone(read: RequestReader) -> None:
    data = REQUEST + END
    assert read(data) is not None
    for place in range(len(data)):
        assert read(data[:place]) is None, place
        assert read(data[place + 1 :]) is None, place
        assert read(data + data[: place + 1]) is None, place
    for around in (b"\r\n", b"\0", b" ", END):
        assert read(data + around) is None
        assert read(around + data) is None


@every_request_reader
@pytest.mark.parametrize("name", sorted(NOTABLE))
def test_a_request_with_a_notable_field_is_not_plain(read: RequestReader, name: bytes) -> None:
    for spelling in (name, name.upper(), name.title()):
        assert read(REQUEST + b"\r\n" + spelling + b": 1" + END) is None
        assert read(REQUEST + b"\r\n" + spelling[:-1] + b": 1" + END) is not None
        assert read(REQUEST + b"\r\n" + spelling + b"s: 1" + END) is not None


@pytest.mark.usefixtures("reader")
def test_a_plain_request_is_within_the_limits() -> None:
    data = REQUEST + END
    for limits, within in (
        (HeadLimits(request_line=len(data), fields=2), True),
        (HeadLimits(request_line=len(data) - 1, fields=2), False),
        (HeadLimits(request_line=len(data), fields=1), False),
    ):
        assert (RequestDecoder(limits).read_plain(data) is not None) is within


@every_request_reader
def test_a_plain_request_means_what_a_closer_look_says(read: RequestReader) -> None:
    found = 0
    for head in many(REQUEST_LINES, MANY):
        if (plain := read(head + END)) is not None:
            assert made_of(plain) == look_closer(head + END), head
            found += 1
    assert found > MANY / 20


@every_request_reader
def test_every_byte_in_a_request_means_what_a_closer_look_says(read: RequestReader) -> None:
    for data in every_byte(REQUEST + END):
        if (plain := read(data)) is not None:
            assert made_of(plain) == look_closer(data), data


# Responses.


@every_response_reader
def test_a_plain_response_is_read(read: ResponseReader) -> None:
    keys, lines = [b"content-length", b"x-one"], [b"Content-LENGTH: 012", b"X-One: 1"]
    head = b"HTTP/1.1 200 Fine\r\n" + b"\r\n".join(lines)
    assert read(head) == (200, b"Fine", keys, lines, 12, True, 12)
    for field, reusable in ((b"Connection: Keep-Alive", True), (b"connection: CLOSE", False)):
        plain = (200, b"Fine", [*keys, b"connection"], [*lines, field], 12, reusable, 12)
        assert read(head + b"\r\n" + field) == plain
    coding = b"Transfer-Encoding: chunked"
    plain = (200, b"Fine", [*keys, b"transfer-encoding"], [*lines, coding], 12, True, -1)
    assert read(head + b"\r\n" + coding) == plain


@every_response_reader
def test_a_response_without_fields_is_plain(read: ResponseReader) -> None:
    assert read(b"HTTP/1.1 200 OK") == (200, b"OK", [], [], None, True, -1)
    for line in (b"HTTP/1.2 404", b"HTTP/1.9 404 "):
        assert read(line) == (404, b"", [], [], None, True, -1)


@every_response_reader
@pytest.mark.parametrize("status", [100, 103, 199, 200, 203, 204, 205, 304, 305, 999])
def test_some_responses_have_no_body(read: ResponseReader, status: int) -> None:
    plain = read(b"HTTP/1.1 %d x\r\nContent-Length: 3" % status)
    assert plain is not None
    assert plain[4:] == (3, True, -1 if status < 200 or status in (204, 304) else 3)


@every_response_reader
def test_a_response_that_says_two_things_is_not_plain(read: ResponseReader) -> None:
    for field in (b"Content-Length: 1", b"Connection: close", b"Connection: keep-alive"):
        assert read(b"\r\n".join([b"HTTP/1.1 200 OK", field])) is not None
        assert read(b"\r\n".join([b"HTTP/1.1 200 OK", field, field])) is None


@every_response_reader
def test_a_plain_response_means_what_a_closer_look_says(read: ResponseReader) -> None:
    found = 0
    for head in many(STATUS_LINES, MANY):
        if (plain := read(head)) is not None:
            assert plain == look_closer_at_response(head), head
            found += 1
    assert found > MANY / 20


@every_response_reader
def test_every_byte_in_a_response_means_what_a_closer_look_says(read: ResponseReader) -> None:
    for head in (some for whole in RESPONSES for some in every_byte(whole)):
        if (plain := read(head)) is not None:
            assert plain == look_closer_at_response(head), head


# The compiled readers beside those of Python.


def rare(plain: PlainRequest) -> bool:
    """Tell whether the compiled reader leaves this to others, for its host."""
    line = plain[6][plain[5].index(b"host")]
    return b"%" in line or b"[" in line


def difference(data: bytes) -> str:
    """Return what the two readers of requests say if that is not the same."""
    plain = READERS["python"][0](data)
    found, expected = READERS["compiled"][0](data), None if plain and rare(plain) else plain
    return "" if repr(found) == repr(expected) else f"{data!r}: {found}, not {expected}"


def response_difference(head: bytes) -> str:
    found, expected = (READERS[name][1](head) for name in ("compiled", "python"))
    return "" if repr(found) == repr(expected) else f"{head!r}: {found}, not {expected}"


def pieces(*usual: bytes) -> st.SearchStrategy[bytes]:
    """Return what starts like a head, or does not, and goes on with anything at all."""
    return st.builds(bytes.__add__, st.sampled_from([b"", *usual]), st.binary(max_size=30))


@compiled
@settings(derandomize=True, deadline=None, max_examples=500)
@given(head=pieces(b"G /", b"G / HTTP/1.1\r\n", REQUEST, REQUEST + b"\r\n", REQUEST + b"\r\nA: "))
def test_anything_is_read_as_a_request_as_by_python(head: bytes) -> None:
    for data in (head, head + END, head + b" HTTP/1.1\r\nHost: a" + END):
        assert not difference(data)


@compiled
@settings(derandomize=True, deadline=None, max_examples=500)
@given(head=pieces(b"HTTP/1.", b"HTTP/1.1 200 ", *(start + b"\r\n" for start in RESPONSES)))
def test_anything_is_read_as_a_response_as_by_python(head: bytes) -> None:
    assert not response_difference(head)


@compiled
def test_heads_are_read_as_by_python() -> None:
    assert not any(difference(head + END) for head in many(REQUEST_LINES, 2 * MANY))
    assert not any(response_difference(head) for head in many(STATUS_LINES, 2 * MANY))


@compiled
def test_hosts_are_read_as_by_python() -> None:
    assert not any(difference(b"GET / HTTP/1.1\r\nHost: " + host + END) for host in HOSTS)


CASES: list[tuple[Callable[[bytes], str], bytes]] = [
    (difference, REQUEST + END),
    (difference, b"GET / HTTP/1.1\r\nHost: a.:8\r\nexpecu: 1" + END),
    *((response_difference, head) for head in RESPONSES),
    (response_difference, b"HTTP/1.1 200 OK\r\nconnection: Keep-Alive"),
]


@compiled
@pytest.mark.parametrize("case", range(len(CASES)))
def test_every_byte_and_every_cut_is_read_as_by_python(case: int) -> None:
    find, wire = CASES[case]
    assert not any(map(find, every_byte(wire)))
    assert not any(find(wire[start:end]) for start in range(8) for end in range(len(wire) + 1))
