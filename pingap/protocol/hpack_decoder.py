"""Header blocks of HTTP/2, decoded (RFC 7541); without IO.

It accepts and rejects the same blocks as the decoder of ``hpack``; the tests compare the two. That
one takes five times as long, and on sites where no two requests are alike, this would be most of
the cost of a request.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NoReturn

from hpack.table import HeaderTable

from pingap.protocol.hpack_huffman import decode_huffman

Field = tuple[bytes, bytes]

TABLE_SIZE: Final = 4096
"""Maximum size of the dynamic table in bytes; we never change it (RFC 9113, 6.5.2)."""
_OVERHEAD: Final = 32  # of an entry (RFC 7541, 4.1)
_MOST_INTEGER_BYTES: Final = 5
_STATIC: Final[tuple[Field, ...]] = ((b"", b""), *HeaderTable.STATIC_TABLE)
_DYNAMIC: Final = len(_STATIC)
"""The index of the newest entry of the dynamic table."""


class MalformedBlock(Exception):
    """The bytes are not a header block. The connection cannot continue."""


class OversizedBlock(Exception):
    """A header list is larger than allowed. The connection cannot continue."""


class HpackDecoder:
    """The receiving end of a connection's header compression.

    :param most: maximum size of a header list in bytes, including 32 for each field.
    """

    __slots__ = ("_entries", "_most", "_size", "_table_size", "changes")

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: deque[Field] = deque()  # the dynamic table, the newest one first
        self._size = 0
        self._table_size = TABLE_SIZE
        self.changes = 0
        """Incremented whenever a block changes the meaning of indexes."""

    def decode(self, block: bytes) -> list[Field]:
        """Return the header list of a block.

        :raises MalformedBlock: it is malformed.
        :raises OversizedBlock: the list is too large.
        """
        fields: list[Field] = []
        at, end, left = 0, len(block), self._most
        try:
            while at < end:
                first = block[at]
                at += 1
                if first & 0x80:  # an indexed field (6.1)
                    index = first & 0x7F
                    if index == 0x7F:
                        index, at = _integer(block, at, 0x7F)
                    field = _STATIC[index] if 0 < index < _DYNAMIC else self._entry(index)
                elif first & 0xE0 == 0x20:  # a change of the table's size (6.3)
                    if fields:
                        raise MalformedBlock("a table size update after a field")
                    at = self._resize(block, at, first & 0x1F)
                    continue
                else:  # a literal value (6.2)
                    field, at = self._literal(block, at, first)
                fields.append(field)
                left -= len(field[0]) + len(field[1]) + _OVERHEAD
                if left < 0:
                    raise OversizedBlock("header list too large")
        except (IndexError, ValueError):
            raise MalformedBlock("malformed header block") from None
        return fields

    def _literal(self, block: bytes, at: int, first: int) -> tuple[Field, int]:
        """Read a field with a literal value; return it and where it ends.

        :param at: the position after the first byte.
        """
        most = 0x3F if first & 0x40 else 0x0F
        index = first & most
        if index == most:
            index, at = _integer(block, at, most)
        if not index:
            name, at = _string(block, at)
        elif index < _DYNAMIC:
            name = _STATIC[index][0]
        else:
            name = self._entry(index)[0]
        value, at = _string(block, at)
        field = name, value
        if first & 0x40:
            self._add(field)
        return field, at

    def _entry(self, index: int) -> Field:
        if index < _DYNAMIC:
            _refuse("index 0")
        return self._entries[index - _DYNAMIC]

    def _add(self, field: Field) -> None:
        """Put a field into the dynamic table (4.4)."""
        self.changes += 1
        self._entries.appendleft(field)
        self._size += len(field[0]) + len(field[1]) + _OVERHEAD
        self._evict()

    def _evict(self) -> None:
        entries = self._entries
        while self._size > self._table_size:
            name, value = entries.pop()
            self._size -= len(name) + len(value) + _OVERHEAD

    def _resize(self, block: bytes, at: int, size: int) -> int:
        """Change the size of the dynamic table (4.3); return where the change ends."""
        if size == 0x1F:
            size, at = _integer(block, at, 0x1F)
        if size > TABLE_SIZE:
            _refuse("a larger table than allowed")
        self.changes += 1
        self._table_size = size
        self._evict()
        return at


def _refuse(what: str) -> NoReturn:
    raise MalformedBlock(what)


def _integer(block: bytes, at: int, start: int) -> tuple[int, int]:
    """Return an integer that does not fit into its prefix, and where it ends (5.1).

    :param start: the largest number of the prefix.
    :raises IndexError: the block ends too early.
    """
    shift = 0
    for _ in range(_MOST_INTEGER_BYTES):
        byte = block[at]
        at += 1
        start += (byte & 0x7F) << shift
        if byte < 0x80:
            return start, at
        shift += 7
    _refuse("integer too large")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Return a string literal, and where it ends (5.2).

    :raises IndexError: the block ends before.
    :raises ValueError: malformed Huffman code.
    """
    first = block[at]
    at += 1
    size = first & 0x7F
    if size == 0x7F:
        size, at = _integer(block, at, 0x7F)
    stop = at + size
    text = block[at:stop]
    if len(text) != size:
        _refuse("the block ends within a string")
    return (decode_huffman(text) if first & 0x80 else text), stop
