"""The Huffman code of header strings (RFC 7541, 5.2 and appendix B), decoded half a byte at a time.

Whole bytes would need half as many steps, but their tables are too large for the caches of a CPU
that has other work between two requests: in practice, they take five times as long.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from hpack.huffman_table import (
    HUFFMAN_COMPLETE,
    HUFFMAN_EMIT_SYMBOL,
    HUFFMAN_FAIL,
    HUFFMAN_TABLE,
)

_Row: TypeAlias = "list[tuple[_Row, bytes]]"
"""The transitions from one state, by half byte: the row of the next state, and the completed
symbol, if any."""

_HALF_BYTES: Final = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))


def _build() -> tuple[_Row, frozenset[int]]:
    """Return the first row, and the rows (by id) in which a string may end: see 5.2 on padding."""
    rows: list[_Row] = [[] for _ in range(len(HUFFMAN_TABLE) // 16)]
    failed: _Row = []
    failed += [(failed, b"")] * 16
    ends = set()
    for place, (state, flags, symbol) in enumerate(HUFFMAN_TABLE):
        after = failed if flags & HUFFMAN_FAIL else rows[state]
        rows[place // 16].append((after, bytes((symbol,)) if flags & HUFFMAN_EMIT_SYMBOL else b""))
        if flags & HUFFMAN_COMPLETE:
            ends.add(id(after))
    return rows[0], frozenset(ends)


_FIRST, _ENDS = _build()


def decode_huffman(data: bytes) -> bytes:
    """Return the decoded string.

    :raises ValueError: the code is malformed.
    """
    row = _FIRST
    symbols: list[bytes] = []
    add = symbols.append
    for half_byte in data.hex().encode().translate(_HALF_BYTES):
        row, symbol = row[half_byte]
        add(symbol)
    if id(row) not in _ENDS:
        raise ValueError("malformed Huffman code")
    return b"".join(symbols)
