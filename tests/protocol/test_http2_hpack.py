"""Header blocks: what is remembered of those that come, and how those that go are written."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st
from support.h2 import fields

from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol.events import HeadLimits
from pingap.protocol.http2_errors import COMPRESSION_ERROR, Http2Error
from pingap.protocol.http2_hpack import (
    MOST_BLOCKS,
    HeadReader,
    _integer,
    fields_block,
    request_block,
    response_block,
)
from pingap.protocol.http2_request import read_head


def decoded(block: bytes) -> list[tuple[bytes, bytes]]:
    return [tuple(one) for one in Decoder().decode(block, raw=True)]  # type: ignore[misc]


@given(
    st.lists(
        st.tuples(
            st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=200),
            st.text("abcABC 019/", max_size=300),
        ),
        max_size=8,
    )
)
def test_fields_are_read_as_they_were_written(pairs: list[tuple[str, str]]) -> None:
    headers = Headers()
    for name, value in pairs:
        headers.add(f"x{name}", value)
    expected = [(f"x{name}".encode(), value.strip().encode()) for name, value in pairs]
    assert decoded(fields_block(headers)) == expected


@pytest.mark.parametrize("status", [100, 103, 200, 204, 206, 299, 304, 404, 431, 500, 599])
def test_every_status(status: int) -> None:
    response = Response.from_upstream(status, b"", Headers(), None)
    assert decoded(response_block(response, None)) == [(b":status", b"%d" % status)]


@given(st.integers(0, 2**20), st.integers(1, 7))
def test_integers(value: int, bits: int) -> None:
    from hpack.hpack import decode_integer

    assert decode_integer(_integer(0, bits, value), bits) == (
        value, len(_integer(0, bits, value)),
    )  # fmt: skip


def test_secrets_are_never_indexed() -> None:
    block = fields_block(Headers({"Set-Cookie": "a=b", "X-Vault-Token": "c", "Server": "d"}))
    first, second, third = Decoder().decode(block, raw=True)
    assert isinstance(first, NeverIndexedHeaderTuple)
    assert isinstance(second, NeverIndexedHeaderTuple)
    assert not isinstance(third, NeverIndexedHeaderTuple)
    request = Request("GET", "/reset?token=x", Headers({"Host": "a"}))
    head = Decoder().decode(request_block(request, request.headers, 0, "http", "a"), raw=True)
    never = [name for name, _ in filter(lambda one: isinstance(one, NeverIndexedHeaderTuple), head)]
    assert never == [b":path"]


def test_fields_of_the_hop_are_left_out() -> None:
    headers = Headers({"Connection": "a", "Content-Length": "3", "Keep-Alive": "a", "X": "y"})
    assert decoded(fields_block(headers)) == [(b"x", b"y")]


def test_the_same_block_after_the_table_changed() -> None:
    """Index 62 is the newest entry: what it means changes with each that is added."""
    reader = HeadReader(read_head, HeadLimits())
    start = bytes((0x82, 0x84, 0x86, 0x01, 4)) + b"test"
    again = start + b"\xbe"
    for value in (b"1", b"2"):
        reader.head(start + b"\x40\x01a\x01" + value)
        for _ in range(2):
            assert reader.head(again).lines == [b"host: test", b"a: " + value]


def test_the_same_block_after_the_table_was_emptied() -> None:
    reader = HeadReader(read_head, HeadLimits())
    start = bytes((0x82, 0x84, 0x86, 0x01, 4)) + b"test"
    reader.head(start + b"\x40\x01a\x01b")
    assert reader.head(start + b"\xbe").lines[1] == b"a: b"
    reader.head(b"\x20" + start)
    with pytest.raises(Http2Error):
        reader.head(start + b"\xbe")


def test_a_block_that_changes_the_size_is_not_remembered() -> None:
    reader = HeadReader(read_head, HeadLimits())
    start = bytes((0x82, 0x84, 0x86, 0x01, 4)) + b"test"
    reader.head(b"\x20" + start)
    reader.head(b"\x3f\xe1\x1f" + start + b"\x40\x01a\x01b")
    reader.head(b"\x20" + start)
    with pytest.raises(Http2Error):
        reader.head(start + b"\xbe")


def test_a_head_that_is_remembered_is_not_shared() -> None:
    reader = HeadReader(read_head, HeadLimits())
    block = bytes(Encoder().encode(fields("GET", "/", ("x-a", "b"))))
    reader.head(block)
    for _ in range(2):
        request = reader.head(block[:0] + bytes((0x82, 0x84, 0x86, 0x01, 4)) + b"test").request(
            ended=True
        )
        assert request.headers.items() == [("host", "test")]
        request.headers.set("x-plugin", "was here")


@pytest.mark.parametrize(
    ("crumbs", "cookie"),
    [(("a=b", "", "c=d"), b"a=b; c=d"), (("", "a=b", ""), b"a=b"), (("", ""), b"")],
)
def test_empty_crumbs_leave_no_white_space(crumbs: tuple[str, ...], cookie: bytes) -> None:
    """RFC 9113, 8.2.1: a value that ends with white space makes the request malformed upstream."""
    block = Encoder().encode(fields("GET", "/", *(("cookie", crumb) for crumb in crumbs)))
    head = HeadReader(read_head, HeadLimits()).head(bytes(block))
    assert head.lines == [b"host: test", b"cookie: " + cookie]


def test_what_is_remembered_is_bounded() -> None:
    reader = HeadReader(read_head, HeadLimits())
    start = bytes((0x82, 0x86, 0x01, 4)) + b"test"
    for number in range(10 * MOST_BLOCKS):
        path = b"/%d" % number
        assert reader.head(start + bytes((0x04, len(path))) + path).target == path.decode()
        assert len(reader._known) <= MOST_BLOCKS


def test_a_short_block_that_stands_for_a_long_list_is_not_remembered() -> None:
    reader = HeadReader(read_head, HeadLimits())
    start = bytes((0x82, 0x86, 0x84, 0x01, 4)) + b"test"
    reader.head(start + b"\x40\x03dnt\x7f\xa1\x0f" + b"v" * 2080)
    assert len(reader._known) == 0
    reader.head(start + b"\xbe")
    assert len(reader._known) == 1
    assert reader.head(start + b"\xbe" * 3).refusal is None
    refused = reader.head(start + b"\xbe" * 40).refusal
    assert refused is not None
    assert refused.status == 431
    assert len(reader._known) == 1


@pytest.mark.parametrize(("updates", "right"), [(1, True), (2, True), (3, False), (60_000, False)])
def test_changes_of_the_size_of_the_table_are_few(updates: int, right: bool) -> None:
    reader = HeadReader(read_head, HeadLimits())
    block = b"\x3f\xe1\x1f" * (updates - 1) + b"\x20" + bytes((0x82, 0x84, 0x86, 0x01, 1)) + b"h"
    if right:
        assert reader.head(block).target == "/"
    else:
        with pytest.raises(Http2Error) as caught:
            reader.head(block)
        assert caught.value.code == COMPRESSION_ERROR


@given(st.binary(max_size=200))
def test_any_block_is_read_or_refused(block: bytes) -> None:
    reader = HeadReader(read_head, HeadLimits())
    for _ in range(2):
        try:
            reader.fields(block)
        except Http2Error:
            return
