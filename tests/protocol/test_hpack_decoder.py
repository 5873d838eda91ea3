"""Our decoder of header blocks beside that of ``hpack``."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as decode_slowly
from hypothesis import given
from hypothesis import strategies as st

from pingap.protocol.hpack_decoder import HpackDecoder, MalformedBlock, OversizedBlock
from pingap.protocol.hpack_huffman import decode_huffman

MOST = 2000
Fields = list[tuple[bytes, bytes]]

texts = st.one_of(st.sampled_from([b"", b"a", b":path", b"/index.html", b"x" * 70]), st.binary())
lists = st.lists(st.tuples(texts, texts, st.booleans()), max_size=12)


def ours(decoder: HpackDecoder, block: bytes) -> Fields | str:
    try:
        return decoder.decode(block)
    except MalformedBlock:
        return "malformed"
    except OversizedBlock:
        return "oversized"


def theirs(decoder: Decoder, block: bytes) -> Fields | str:
    try:
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except OversizedHeaderListError:
        return "oversized"
    except (HPACKError, IndexError, ValueError, OverflowError):
        return "malformed"


def compare(blocks: list[bytes]) -> None:
    """Read blocks of one connection with both, up to the first that ends it."""
    one, other = HpackDecoder(MOST), Decoder(max_header_list_size=MOST)
    for block in blocks:
        found = ours(one, block)
        assert found == theirs(other, block)
        if isinstance(found, str):
            return


@given(st.lists(st.tuples(lists, st.booleans(), st.sampled_from([None, 0, 64, 100, 4096]))))
def test_blocks_of_an_encoder(
    written: list[tuple[list[tuple[bytes, bytes, bool]], bool, int | None]],
) -> None:
    encoder = Encoder()
    blocks = []
    for fields, huffman, size in written:
        if size is not None:
            encoder.header_table_size = size
        blocks.append(encoder.encode(fields, huffman=huffman))
    compare(blocks)


@given(lists, st.data())
def test_blocks_that_were_damaged(
    fields: list[tuple[bytes, bytes, bool]], data: st.DataObject
) -> None:
    block = bytearray(Encoder().encode(fields))
    for _ in range(data.draw(st.integers(1, 3))):
        if block:
            block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    compare([bytes(block[: data.draw(st.integers(0, len(block)))])] * 2)


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_any_bytes(blocks: list[bytes]) -> None:
    compare(blocks)


@given(st.binary(max_size=12))
def test_any_huffman_code(code: bytes) -> None:
    try:
        expected = decode_slowly(code)
    except HPACKError:
        with pytest.raises(ValueError, match="Huffman"):
            decode_huffman(code)
    else:
        assert decode_huffman(code) == expected


@given(st.binary())
def test_what_was_coded(text: bytes) -> None:
    code = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    assert decode_huffman(code) == text


def test_changes_are_counted() -> None:
    decoder = HpackDecoder(MOST)
    decoder.decode(b"\x82\x00\x01a\x01b")
    assert decoder.changes == 0
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.changes == 1
    decoder.decode(b"\x20")
    assert decoder.changes == 2
