"""How an entry is written into a row of the database.

A record has checksums of everything, its key included, so that a row or a file that was damaged, or got
into the place of another, is noticed. (CRC-32 finds damage; it is no protection against somebody who may
write in the folder.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pingap_cache.stores.interface import CHUNK

_MAGIC: Final = b"PGC2"
# Magic, stamp, size of body, time of the file, size of head, checksums.
_FIXED: Final = struct.Struct("<4sQQqII")
STAMP_IN_RECORD: Final = "substr(value, 5, 8)"
"""SQL for the bytes of the stamp."""

_CHECKSUM: Final = struct.Struct("<I")


class CorruptRecord(Exception):
    """A row or a file is not what was written."""


@dataclass(frozen=True, slots=True)
class Record:
    """An entry in a row.

    :param body: the body, if it is in the row; else it is in a file.
    :param checksums: of the blocks of that file.
    :param modified: when that file was last written; nanoseconds since 1970.
    """

    stamp: int
    head: bytes
    size: int
    body: bytes | None
    checksums: Sequence[int] = ()
    modified: int = 0

    def encode(self, key: bytes) -> bytes:
        """Return the bytes of the row."""
        sums = self.checksums
        data = b"".join(
            (
                _FIXED.pack(
                    _MAGIC, self.stamp, self.size, self.modified, len(self.head), len(sums)
                ),
                self.head,
                struct.pack(f"<{len(sums)}I", *sums),
                self.body or b"",
            )
        )
        return data + _CHECKSUM.pack(zlib.crc32(data, zlib.crc32(key)))


def stamp_bytes(stamp: int) -> bytes:
    """Return a stamp as it is in a record."""
    return stamp.to_bytes(8, "little")


def decode(key: bytes, data: bytes, *, in_file: bool) -> Record:
    """Read the bytes of a row.

    :param in_file: the row names a file, which has the body.
    :raises CorruptRecord: they are damaged, or belong to another key.
    """
    end = len(data) - _CHECKSUM.size
    if end < _FIXED.size:
        raise CorruptRecord("it is too short")
    view = memoryview(data)
    if zlib.crc32(view[:end], zlib.crc32(key)) != _CHECKSUM.unpack_from(data, end)[0]:
        raise CorruptRecord("its checksum is wrong")
    magic, stamp, size, modified, head_size, sums = _FIXED.unpack_from(data)
    head_end = _FIXED.size + head_size
    body_start = head_end + sums * _CHECKSUM.size
    expected = (body_start, -(-size // CHUNK)) if in_file else (end - size, 0)
    if magic != _MAGIC or (body_start, sums) != expected or (in_file and body_start != end):
        raise CorruptRecord("its parts do not fit together")
    body = None if in_file else data[body_start:end]
    checksums = struct.unpack_from(f"<{sums}I", data, head_end)
    return Record(stamp, data[_FIXED.size : head_end], size, body, checksums, modified)
