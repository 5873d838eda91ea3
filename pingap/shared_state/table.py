"""Tables shared by several workers.

A record consists of a version and two copies of the values. A writer holds the lock of its bucket, writes
the unused copy, and then the version, whose lowest bit selects the copy in use. If a worker is killed while
it writes a copy, the other copy is unchanged.

Reading takes no lock. A copy has a check (CRC-32 over values, version and identity): if it does not match,
the record was changed in the meantime and is read again, finally with the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from types import TracebackType
from typing import Final
from zlib import crc32

from pingap.shared_state.keys import LONGEST_KEY
from pingap.shared_state.region import NOWHERE, Region, tick
from pingap.shared_state.state import (
    MOST_VALUES,
    NESTED,
    RecordLayout,
    SharedRecord,
    SharedTable,
    Values,
)

_COPY: Final = 8 * (1 + MOST_VALUES)
"""Bytes of a copy: check and values."""

RECORD_WORDS: Final = 1 + 2 * (1 + MOST_VALUES)

_word: Final = Struct("=Q")
_TRIES: Final = 3
_MOST_POSITIONS: Final = 4096
"""Positions that a worker caches for each table."""


class Tables:
    """The records of all tables, as one worker sees them.

    :ivar is_held: this worker holds a record.
    """

    def __init__(self, region: Region, worker: int) -> None:
        self.region = region
        self.worker = worker
        self.is_held = False
        self._bytes = region.data.cast("B")

    def read(self, slot: int, identity: int, layout: RecordLayout) -> Values | None:
        """Return the values of a record; None if it has none or has been replaced.

        :raises Changed: it was being changed.
        """
        start = slot * 8 * RECORD_WORDS
        record = bytes(self._bytes[start : start + 8 * RECORD_WORDS])
        if self.region.identities[slot] != identity:
            return None
        version = _word.unpack_from(record)[0]
        if not version:
            return None
        at = 8 + _COPY * (version & 1)
        values = record[at + 8 : at + 8 + layout.size]
        if crc32(values, (version ^ identity) & 0xFFFFFFFF) != _word.unpack_from(record, at)[0]:
            raise Changed
        return layout.unpack_from(values)

    def write(self, slot: int, identity: int, packed: bytes) -> None:
        """Change a record; its bucket must be locked."""
        region = self.region
        first = slot * RECORD_WORDS
        version = region.data[first] + 1
        at = 8 * first + 8 + _COPY * (version & 1)
        check = crc32(packed, (version ^ identity) & 0xFFFFFFFF)
        self._bytes[at : at + 8] = _word.pack(check)
        self._bytes[at + 8 : at + 8 + len(packed)] = packed
        region.data[first] = version
        region.used_at[slot] = tick()


class Changed(Exception):
    """A record changed while it was read."""


class Position:
    """The position of a key's record, as far as it was found."""

    __slots__ = ("_region", "bucket", "digest", "identity", "slot")

    def __init__(self, region: Region, key: str) -> None:
        self._region = region
        self.bucket, self.digest = region.place(key)
        self.slot, self.identity = 0, NOWHERE

    def is_there(self) -> bool:
        """Find the record; return whether it exists."""
        if self._region.identities[self.slot] != self.identity:
            self.slot, self.identity = self._region.find(self.bucket, self.digest)
        return self.identity != NOWHERE


class SegmentTable(SharedTable):
    """The records of one table."""

    def __init__(self, tables: Tables, name: str, fields: str, layout: RecordLayout) -> None:
        self._tables = tables
        self._prefix = f"{name}\0{fields}\0"
        self._layout = layout
        self._records: dict[str, Position] = {}

    def get(self, key: str) -> Values | None:
        tables, record = self._tables, self._record(key)
        if not record.is_there():
            return None
        tables.region.used_at[record.slot] = tick()
        for _ in range(_TRIES):
            try:
                return tables.read(record.slot, record.identity, self._layout)
            except Changed:
                continue
        with self.locked(key) as held:
            return held.values

    def version(self, key: str) -> int:
        record = self._records.get(key) or self._record(key)
        region = self._tables.region
        if region.identities[record.slot] != record.identity and not record.is_there():
            return 0
        # A record that was displaced and created again has another generation.
        return record.identity + region.data[record.slot * RECORD_WORDS]

    def set(self, key: str, values: Sequence[float]) -> None:
        with self.locked(key) as record:
            record.values = values

    def locked(self, key: str) -> _Held:
        return _Held(self._tables, self._record(key), self._layout)

    def _record(self, key: str) -> Position:
        if (record := self._records.get(key)) is None:
            record = Position(self._tables.region, self._prefix + key)
            if len(key) <= LONGEST_KEY:
                if len(self._records) >= _MOST_POSITIONS:
                    self._records.clear()
                self._records[key] = record
        return record


class _Held(SharedRecord):
    """A record whose bucket is locked inside of a block."""

    __slots__ = ("_layout", "_record", "_tables")

    def __init__(self, tables: Tables, record: Position, layout: RecordLayout) -> None:
        self._tables = tables
        self._record = record
        self._layout = layout

    def __enter__(self) -> SharedRecord:
        if self._tables.is_held:
            raise RuntimeError(NESTED)
        self._tables.region.lock(self._record.bucket)
        self._tables.is_held = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tables.is_held = False
        self._tables.region.unlock(self._record.bucket)

    @property
    def values(self) -> Values | None:
        record = self._record
        if not record.is_there():
            return None
        try:
            return self._tables.read(record.slot, record.identity, self._layout)
        except (
            Changed
        ):  # nothing can be changing it now, so it is damaged and must not stay forever
            return None

    @values.setter
    def values(self, values: Sequence[float]) -> None:
        tables, record = self._tables, self._record
        packed = self._layout.pack(values)
        if not record.is_there():
            found = tables.region.claim(record.bucket, record.digest, tables.worker)
            record.slot, record.identity = found
        tables.write(record.slot, record.identity, packed)
