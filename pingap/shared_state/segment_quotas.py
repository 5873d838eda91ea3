"""What clients have used of a limit, shared by several workers.

A record consists of a check (CRC-32 over the rest), the length of the value, the expiry and the value. It is
read and written under the lock of its bucket, so the check fails only if a worker was killed while it wrote;
then the entry is missing.

``used_at`` is the tick at which the entry expires. If the entry is used up, its highest bit is set too, so that
the region reuses it last, unless it has expired.
"""

from __future__ import annotations

import time
from struct import Struct
from typing import Final
from zlib import crc32

from pingap.shared_state.keys import LONGEST_KEY
from pingap.shared_state.quotas import NESTED, Change, Quota, SharedQuotas
from pingap.shared_state.region import NOWHERE, Region, tick
from pingap.shared_state.table import Position
from pingap.shared_state.values import check_entry

_header: Final = Struct("=IId")
"""Check, length and expiry (monotonic seconds)."""
_checked: Final = Struct("=Id")
_USED_UP: Final = 1 << 63
_LATEST_TICK: Final = _USED_UP - 1
_TICKS: Final = 1e9 / (1 << 20)
"""Ticks in a second."""
_MOST_POSITIONS: Final = 4096
"""Positions that a worker caches for each table."""


class QuotaRegion(Region):
    """The slots of quotas."""

    def _oldest(self, first: int, used_at: list[int]) -> int:
        """Return a slot that has expired, or else one that is not used up, or else the first to expire."""
        now = tick() | _USED_UP
        ranks = [mark if mark > now else mark & ~_USED_UP for mark in used_at]
        return first + ranks.index(min(ranks))


class QuotaRecords:
    """The records of all tables for small, or for large values, as one worker sees them.

    :ivar is_held: this worker holds a record.
    """

    def __init__(self, region: Region, worker: int) -> None:
        self.region = region
        self.worker = worker
        self.is_held = False
        self._size = 8 * region.width
        self._bytes = region.data.cast("B")

    @staticmethod
    def words(value_bytes: int) -> int:
        """Return the words of a record."""
        return -(-(_header.size + value_bytes) // 8)

    def read(self, slot: int, now: float) -> bytes | None:
        """Return a value that is whole and has not expired; its bucket must be locked."""
        start = slot * self._size
        check, length, end = _header.unpack_from(self._bytes, start)
        if end <= now or length > self._size:
            return None
        value = bytes(self._bytes[start + _header.size : start + _header.size + length])
        return value if crc32(value, crc32(_checked.pack(length, end))) == check else None

    def write(self, slot: int, quota: Quota, now: float) -> None:
        """Change a record; its bucket must be locked."""
        start, (value, seconds, used_up) = slot * self._size, quota
        end, length = now + seconds, len(value)
        check = crc32(value, crc32(_checked.pack(length, end)))
        record = _header.pack(check, length, end) + value
        self._bytes[start : start + len(record)] = record
        mark = min(int(end * _TICKS), _LATEST_TICK)
        self.region.used_at[slot] = mark | _USED_UP if used_up else mark


class SegmentQuotas(SharedQuotas):
    """The entries of one table."""

    __slots__ = ("_most", "_name", "_positions", "_records")

    def __init__(self, records: QuotaRecords, name: str, value_bytes: int) -> None:
        self._records = records
        self._name = name
        self._most = value_bytes
        self._positions: dict[str, Position] = {}

    def get(self, key: str, now: float | None = None) -> bytes | None:
        """See ``SharedQuotas``."""
        found: bytes | None = None

        def note(value: bytes | None) -> None:
            nonlocal found
            found = value

        self.change(key, note, now)
        return found

    def change(self, key: str, compute: Change, now: float | None = None) -> None:
        """See ``SharedQuotas``."""
        position = self._positions.get(key) or self._position(key)
        records = self._records
        if records.is_held:
            raise RuntimeError(NESTED)
        region, bucket = records.region, position.bucket
        region.lock(bucket)
        records.is_held = True
        try:
            now = time.monotonic() if now is None else now
            value = records.read(position.slot, now) if position.is_there() else None
            quota = compute(value)
            if quota is not None:
                check_entry(self._name, quota.value, self._most, quota.seconds)
                if position.identity == NOWHERE:
                    found = region.claim(bucket, position.digest, records.worker)
                    position.slot, position.identity = found
                records.write(position.slot, quota, now)
        finally:
            records.is_held = False
            region.unlock(bucket)

    def _position(self, key: str) -> Position:
        position = Position(self._records.region, f"{self._name}\0{key}")
        if len(key) <= LONGEST_KEY:
            if len(self._positions) >= _MOST_POSITIONS:
                self._positions.clear()
            self._positions[key] = position
        return position
