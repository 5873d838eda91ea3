"""Bytes that expire, shared by several workers; like the records of ``table.py``, with other content.

A copy consists of a check, the expiry, the length and the bytes. ``used_at`` is the tick at which the entry
expires, so that the region reuses the one of a bucket that expires first.
"""

from __future__ import annotations

import time
from struct import Struct
from typing import Final
from zlib import crc32

from pingap.shared_state.region import NOWHERE, Region
from pingap.shared_state.values import SharedValues, check_entry

_header: Final = Struct("=QdQ")
"""Check, expiry (monotonic seconds) and length."""
_entry: Final = Struct("=dQ")
_word: Final = Struct("=Q")
_LATEST_TICK: Final = (1 << 63) - 1
_TRIES: Final = 3


def record_words(value_bytes: int) -> int:
    """Return the words of a record: a version and two copies."""
    return 1 + 2 * _copy_bytes(value_bytes) // 8


def _copy_bytes(value_bytes: int) -> int:
    return _header.size + -(-value_bytes // 8) * 8


class Changed(Exception):
    """A record changed while it was read."""


class ValueRecords:
    """The records of all tables for small, or for large values, as one worker sees them.

    :param value_bytes: space for a value in each record.
    """

    def __init__(self, region: Region, worker: int, value_bytes: int) -> None:
        self.region = region
        self.worker = worker
        self._copy = _copy_bytes(value_bytes)
        self._room = value_bytes
        self._size = 8 * region.width
        self._bytes = region.data.cast("B")

    def read(self, slot: int, identity: int) -> tuple[float, bytes] | None:
        """Return expiry and value of an entry; None if it was never written or has been replaced.

        :raises Changed: it was being changed.
        """
        start = slot * self._size
        record = bytes(self._bytes[start : start + self._size])
        if self.region.identities[slot] != identity:
            return None
        version = _word.unpack_from(record)[0]
        if not version:
            return None
        at = 8 + self._copy * (version & 1)
        check, end, length = _header.unpack_from(record, at)
        if length > self._room:
            raise Changed
        value_at = at + _header.size
        if crc32(record[at + 8 : value_at + length], (version ^ identity) & 0xFFFFFFFF) != check:
            raise Changed
        return end, record[value_at : value_at + length]

    def write(self, slot: int, identity: int, end: float, value: bytes) -> None:
        """Change a record; its bucket must be locked."""
        region = self.region
        version = region.data[slot * region.width] + 1
        at = slot * self._size + 8 + self._copy * (version & 1)
        packed = _entry.pack(end, len(value)) + value
        check = crc32(packed, (version ^ identity) & 0xFFFFFFFF)
        self._bytes[at : at + 8] = _word.pack(check)
        self._bytes[at + 8 : at + 8 + len(packed)] = packed
        region.data[slot * region.width] = version
        region.used_at[slot] = min(int(end * 1e9) >> 20, _LATEST_TICK)


class SegmentValues(SharedValues):
    """The values of one table."""

    __slots__ = ("_most", "_name", "_records")

    def __init__(self, records: ValueRecords, name: str, value_bytes: int) -> None:
        self._records = records
        self._name = name
        self._most = value_bytes

    def _place(self, key: str) -> tuple[int, int]:
        return self._records.region.place(f"{self._name}\0{key}")

    def get(self, key: str, now: float | None = None) -> bytes | None:
        """See ``SharedValues``."""
        records = self._records
        bucket, digest = self._place(key)
        slot, identity = records.region.find(bucket, digest)
        if identity == NOWHERE:
            return None
        now = time.monotonic() if now is None else now
        for _ in range(_TRIES):
            try:
                entry = records.read(slot, identity)
            except Changed:
                continue
            return None if entry is None or entry[0] <= now else entry[1]
        records.region.lock(bucket)
        try:
            return self._current(bucket, digest, now)
        finally:
            records.region.unlock(bucket)

    def set(self, key: str, value: bytes, seconds: float, now: float | None = None) -> None:
        """See ``SharedValues``."""
        self._put(key, value, seconds, now, only_if_absent=False)

    def add(self, key: str, value: bytes, seconds: float, now: float | None = None) -> bool:
        """See ``SharedValues``."""
        return self._put(key, value, seconds, now, only_if_absent=True)

    def delete(self, key: str) -> None:
        """See ``SharedValues``."""
        region = self._records.region
        bucket, digest = self._place(key)
        region.lock(bucket)
        try:
            slot, identity = region.find(bucket, digest)
            if identity != NOWHERE:
                region.free(slot)
        finally:
            region.unlock(bucket)

    def _put(
        self, key: str, value: bytes, seconds: float, now: float | None, *, only_if_absent: bool
    ) -> bool:
        check_entry(self._name, value, self._most, seconds)
        now = time.monotonic() if now is None else now
        region = self._records.region
        bucket, digest = self._place(key)
        region.lock(bucket)
        try:
            if only_if_absent and self._current(bucket, digest, now) is not None:
                return False
            slot, identity = region.claim(bucket, digest, self._records.worker)
            self._records.write(slot, identity, now + seconds, bytes(value))
            return True
        finally:
            region.unlock(bucket)

    def _current(self, bucket: int, digest: int, now: float) -> bytes | None:
        """Return the value of a key; its bucket must be locked."""
        slot, identity = self._records.region.find(bucket, digest)
        if identity == NOWHERE:
            return None
        try:
            entry = self._records.read(slot, identity)
        except (
            Changed
        ):  # nothing can be changing it now, so it is damaged and must not stay forever
            return None
        return None if entry is None or entry[0] <= now else entry[1]
