"""Header blocks of varying requests, for ``h2_load.py``.

They are encoded as Chrome encodes them: the path never enters the dynamic table, everything else
does, cookies are fields of their own, and strings are Huffman-coded. hpack's encoder takes ten times
as long, mostly for searching its table.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from random import Random
from typing import Final

from hpack.hpack import encode_integer
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from mixed import CODINGS, HOST, Request, request

SEQUENCES: Final = 64
PER_SEQUENCE: Final = 512
"""Requests on one connection. All sequences together are more than any proxy could cache."""

TABLE_SIZE: Final = 4096
"""The size that every server allows initially (RFC 9113, 6.5.2)."""

_GET, _HTTP, _PATH = b"\x82", b"\x86", b"\x04"  # RFC 7541, appendix A; a path is not indexed
_NAMES: Final = {
    ":authority": 1,
    "accept-encoding": 16,
    "accept-language": 17,
    "accept": 19,
    "cookie": 32,
    "user-agent": 58,
}
_FIRST_DYNAMIC: Final = 62
_BITS: Final = [
    f"{code:0{length}b}" for code, length in zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)
]


class Encoder:
    """The sending end of one connection's header compression (RFC 7541)."""

    def __init__(self) -> None:
        self._table: list[tuple[str, str]] = []
        self._names: list[str] = []
        self._size = 0

    def request(self, one: Request) -> bytes:
        """Return the header block of a GET."""
        fields = [("user-agent", one.agent), ("accept", one.accept)]
        fields += [("accept-language", one.language), ("accept-encoding", CODINGS)]
        fields += [("cookie", pair) for pair in one.cookies] + [("traceparent", one.trace)]
        start = _GET + _HTTP + self._field(":authority", HOST) + _PATH + _string(one.target)
        return start + b"".join(self._field(name, value) for name, value in fields)

    def _field(self, name: str, value: str) -> bytes:
        if (name, value) in self._table:
            return _integer(_FIRST_DYNAMIC + self._table.index((name, value)), 7, 0x80)
        if name in _NAMES:
            start = _integer(_NAMES[name], 6, 0x40)
        elif name in self._names:
            start = _integer(_FIRST_DYNAMIC + self._names.index(name), 6, 0x40)
        else:
            start = b"\x40" + _string(name)
        self._insert(name, value)
        return start + _string(value)

    def _insert(self, name: str, value: str) -> None:
        self._table.insert(0, (name, value))
        self._names.insert(0, name)
        self._size += _size(name, value)
        while self._size > TABLE_SIZE:
            self._names.pop()
            self._size -= _size(*self._table.pop())


def _size(name: str, value: str) -> int:
    return len(name) + len(value) + 32  # RFC 7541, 4.1


def _integer(value: int, prefix: int, pattern: int) -> bytes:
    made = encode_integer(value, prefix)
    made[0] |= pattern
    return bytes(made)


def _string(value: str) -> bytes:
    bits = "".join([_BITS[byte] for byte in value.encode()])
    size = -(-len(bits) // 8)
    coded = int(bits.ljust(size * 8, "1"), 2).to_bytes(size, "big")
    return _integer(size, 7, 0x80) + coded


def sequence(random: Random, length: int) -> list[bytes]:
    """Return the header blocks of a connection's requests."""
    encoder = Encoder()
    return [encoder.request(request(random)) for _ in range(length)]


def write_heads(path: Path) -> None:
    """Write the header blocks of all sequences, for :func:`read_heads`."""
    random = Random(1)
    path.write_bytes(pickle.dumps([sequence(random, PER_SEQUENCE) for _ in range(SEQUENCES)]))


def read_heads(path: Path) -> list[list[bytes]]:
    """Return the sequences."""
    heads: list[list[bytes]] = pickle.loads(path.read_bytes())
    return heads
