"""The Huffman code of header strings (RFC 7541, 5.2 and appendix B), decoded byte by byte.

``hpack`` has a table of states that takes half a byte at a time. Here two of its steps are one. A row
holds the steps that a byte can lead to from one state, and is computed when a string first needs it.
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
"""For each byte: the row for the next byte, and the symbols that are complete."""

_rows: Final[list[_Row]] = [[] for _ in range(len(HUFFMAN_TABLE) // 16)]
_states: Final = {id(row): state for state, row in enumerate(_rows)}
_failed: Final[_Row] = []
_failed += [(_failed, b"")] * 256
_ends: Final = {id(_rows[0])}
"""The rows of states in which a string may end: after a symbol, or within the padding."""
_NOTHING: Final = b""


def decode_huffman(data: bytes) -> bytes:
    """Return the string that a code stands for.

    :raises ValueError: it stands for none.
    """
    symbols: list[bytes] = []
    add = symbols.append
    row = _rows[0]
    while True:
        try:
            for byte in data:
                row, some = row[byte]
                add(some)
            break
        except IndexError:
            _fill(row)
            row = _rows[0]
            symbols.clear()
    if id(row) not in _ends:
        raise ValueError("malformed Huffman code")
    return b"".join(symbols)


def _fill(row: _Row) -> None:
    """Compute the steps of a row."""
    state = _states[id(row)]
    for byte in range(256):
        between, failed, first = _half_step(state, byte >> 4)
        after, failed_too, second = _half_step(between, byte & 15)
        row.append((_failed if failed or failed_too else _rows[after], first + second))


def _half_step(state: int, half_byte: int) -> tuple[int, bool, bytes]:
    """Return the next state, whether there is none, and the symbol that is complete."""
    after, flags, symbol = HUFFMAN_TABLE[state * 16 + half_byte]
    if flags & HUFFMAN_COMPLETE:
        _ends.add(id(_rows[after]))
    emitted = bytes((symbol,)) if flags & HUFFMAN_EMIT_SYMBOL else _NOTHING
    return after, bool(flags & HUFFMAN_FAIL), emitted
