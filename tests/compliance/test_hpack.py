"""RFC 7541: header blocks that are read, those that are none, and those that we write."""

from __future__ import annotations

import pytest
from hpack import Decoder
from hpack.struct import NeverIndexedHeaderTuple

from pingap.http.headers import Headers, field
from pingap.protocol.events import HeadLimits
from pingap.protocol.http2_errors import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, Http2Error
from pingap.protocol.http2_hpack import MOST_SIZE_UPDATES, HeadReader, fields_block
from pingap.protocol.http2_request import read_head


def reader(limits: HeadLimits = HeadLimits()) -> HeadReader[object]:  # noqa: B008 - it cannot change
    return HeadReader(read_head, limits)


ERRORS = {
    "index 0": b"\x80",
    "index beyond both tables": b"\xbe",
    "name of index beyond both tables": b"\x7f\x00\x01a",
    "integer without end": b"\xff\xff",
    "integer beyond any limit": b"\xff" + b"\xff" * 20 + b"\x01",
    "integer with many zero bytes": b"\xff" + b"\x80" * 20 + b"\x00",
    "string that is cut short": b"\x40\x05ab",
    "Huffman padding of more than 7 bits": b"\x40\x01a\x82\x1f\xff",
    "Huffman padding that is no end of string": b"\x40\x01a\x81\x00",
    "Huffman end of string": b"\x40\x01a\x84\xff\xff\xff\xff",
    "size update beyond the limit": b"\x3f\xe2\x1f",
    "size update after a field": b"\x82\x20",
    "size updates without end": b"\x20" * (MOST_SIZE_UPDATES + 1) + b"\x82",
    "long size updates without end": b"\x3f\xe1\x1f" * (MOST_SIZE_UPDATES + 1) + b"\x82",
}


@pytest.mark.parametrize("block", ERRORS.values(), ids=ERRORS)
def test_what_is_no_header_block_ends_the_connection(block: bytes) -> None:
    with pytest.raises(Http2Error) as caught:
        reader().fields(block)
    assert caught.value.code == COMPRESSION_ERROR


def test_a_list_that_is_far_too_large_ends_the_connection() -> None:
    few = reader(HeadLimits(size=100, fields=2))
    few.fields(b"\x40\x01a\x40" + b"b" * 64)
    with pytest.raises(Http2Error) as caught:
        few.fields(b"\xbe" * 10)
    assert caught.value.code == ENHANCE_YOUR_CALM


def fields(block: bytes, *before: bytes) -> list[tuple[bytes, bytes]]:
    one = reader()
    for earlier in before:
        one.fields(earlier)
    return [(bytes(name), bytes(value)) for name, value in one.fields(block)]


def test_all_representations_are_read() -> None:
    block = b"\x82" + b"\x41\x01x" + b"\x00\x01a\x01b" + b"\x10\x01c\x01d" + b"\x40\x01e\x81\x1f"
    assert fields(block) == [
        (b":method", b"GET"), (b":authority", b"x"), (b"a", b"b"), (b"c", b"d"), (b"e", b"a"),
    ]  # fmt: skip
    assert fields(b"\xbe\xbf", block) == [(b"e", b"a"), (b":authority", b"x")]


def test_the_table_may_hold_an_entry_twice() -> None:
    assert fields(b"\xbe\xbf", b"\x40\x01a\x01b", b"\x40\x01a\x01b") == [(b"a", b"b")] * 2


def test_an_entry_larger_than_the_table_empties_it() -> None:
    one = reader()
    one.fields(b"\x3f\x00" + b"\x40\x01a\x01b")  # 31 bytes have no room for any entry
    with pytest.raises(Http2Error):
        one.fields(b"\xbe")


def test_sizes_may_change_at_the_start_of_a_block() -> None:
    assert fields(b"\x20\x3f\xe1\x1f\x40\x01a\x01b") == [(b"a", b"b")]
    with pytest.raises(Http2Error):
        fields(b"\x20\xbe", b"\x40\x01a\x01b")


def test_what_we_write_uses_no_table_and_marks_secrets() -> None:
    headers = Headers([field("Authorization", "x"), field("Cookie", "a=b"), field("Accept", "*/*")])
    block = fields_block(headers)
    decoder = Decoder()
    decoded = list(decoder.decode(block, raw=True))
    assert [isinstance(one, NeverIndexedHeaderTuple) for one in decoded] == [True, True, False]
    assert len(decoder.header_table.dynamic_entries) == 0
