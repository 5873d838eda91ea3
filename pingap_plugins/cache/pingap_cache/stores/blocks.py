"""A body in blocks of the same size, whatever the chunks that it arrives in."""

from __future__ import annotations

from collections.abc import Iterator

from pingap_cache.stores.interface import CHUNK


class Blocks:
    """Cuts what is added into blocks of ``CHUNK`` bytes, so that an offset says which one it is in."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes that were added."""
        self._rest = bytearray()

    def add(self, chunk: bytes) -> Iterator[bytes]:
        """Take in bytes, and yield the blocks that are full by now."""
        self.size += len(chunk)
        self._rest += chunk
        while len(self._rest) >= CHUNK:
            yield bytes(self._rest[:CHUNK])
            del self._rest[:CHUNK]

    def rest(self) -> bytes:
        """Return what is in no full block; this is the last one."""
        return bytes(self._rest)


def pieces(start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the blocks that a range touches: number of the block, and the part of it that is in the range."""
    place = start
    while place < stop:
        number, begin = divmod(place, CHUNK)
        end = min(begin + stop - place, CHUNK)
        yield number, begin, end
        place += end - begin
