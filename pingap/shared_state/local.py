"""Shared state of a single worker: bounded dictionaries."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from types import TracebackType
from typing import Final, TypeVar

from pingap.shared_state.keys import LONGEST_KEY, short_key
from pingap.shared_state.lock import LocalLocks, SharedLock
from pingap.shared_state.quotas import LocalQuotaEntries, LocalQuotas, SharedQuotas
from pingap.shared_state.state import (
    DEFAULT_SIZES,
    NESTED,
    KindStats,
    RecordLayout,
    SharedCounter,
    SharedGauge,
    SharedRecord,
    SharedState,
    SharedStateStats,
    SharedTable,
    SharedWindow,
    Sizes,
    Values,
    check_length,
    not_countable,
    record_layout,
    stats_of,
)
from pingap.shared_state.values import (
    SMALL_VALUE,
    LocalEntries,
    LocalValues,
    SharedValues,
    check_value_bytes,
)

_CANDIDATES: Final = 16
"""Number of records from which the one to drop is chosen."""


class _Record:
    """Base of all records.

    :ivar used_at: how many records had been created when it was last used.
    :ivar forgotten: it has been dropped; its key may have another record.
    """

    __slots__ = ("forgotten", "used_at")

    def __init__(self) -> None:
        self.used_at = 0
        self.forgotten = False

    @property
    def holds(self) -> bool:
        """Whether it should be dropped last."""
        return False


K = TypeVar("K")
R = TypeVar("R", bound=_Record)


class _Records(OrderedDict[K, R]):
    """Records by key, created on demand; those that are not used are dropped.

    Repeatedly removing the first key makes a plain dictionary slow, because it steps over the gaps.

    :ivar made: how many have been created.
    """

    def __init__(self, make: Callable[[_Records[K, R], K], R], most: int) -> None:
        super().__init__()
        self._make = make
        self._most = most
        self._evictions = 0
        self.made = 0

    def __missing__(self, key: K) -> R:
        if len(self) >= self._most:
            self._forget_one()
        self.made += 1
        record = self[key] = self._make(self, key)
        return record

    def _forget_one(self) -> None:
        """Drop the least recently used of the first records.

        Those before it move to the end, so that others are examined next.
        """
        candidates = [(key, self[key]) for key in islice(self, _CANDIDATES)]
        key, victim = min(candidates, key=lambda one: (one[1].holds, one[1].used_at))
        for spared, record in candidates:
            if record is victim:
                break
            self.move_to_end(spared)
        victim.forgotten = True
        del self[key]
        self._evictions += 1

    def stats(self) -> KindStats:
        return KindStats(len(self), self._most, self._evictions)


class _Counter(_Record, SharedCounter):
    __slots__ = ("_home", "_key", "_value")

    def __init__(self, home: _Records[str, _Counter], key: str) -> None:
        super().__init__()
        self._home = home
        self._key = key
        self._value = 0

    def add(self, n: int = 1) -> int:
        if self.forgotten:
            return self._home[self._key].add(n)
        self.used_at = self._home.made
        self._value = value = self._value + n
        return value

    @property
    def value(self) -> int:
        if self.forgotten:
            return one._value if (one := self._home.get(self._key)) else 0
        return self._value


class _Gauge(_Record, SharedGauge):
    __slots__ = ("_home", "_key", "_value")

    def __init__(self, home: _Records[str, _Gauge], key: str) -> None:
        super().__init__()
        self._home = home
        self._key = key
        self._value = 0

    def add(self, n: int = 1) -> int:
        if self.forgotten:
            return self._home[self._key].add(n)
        self.used_at = self._home.made
        value = self._value + n
        self._value = value = max(0, value)
        return value

    def add_below(self, limit: int) -> bool:
        if self.value >= limit:
            return False
        self.add()
        return True

    @property
    def value(self) -> int:
        if self.forgotten:
            return one._value if (one := self._home.get(self._key)) else 0
        return self._value

    @property
    def holds(self) -> bool:
        return self._value > 0


class _Window(_Record, SharedWindow):
    __slots__ = ("_before", "_count", "_home", "_key", "_piece", "_seconds")

    def __init__(self, home: _Records[tuple[str, float], _Window], key: tuple[str, float]) -> None:
        super().__init__()
        self._home = home
        self._key = key
        self._seconds = key[1]
        self._piece = 0.0
        self._count = 0
        self._before = 0

    def add(self, n: int = 1, now: float | None = None) -> float:
        if self.forgotten:
            return self._home[self._key].add(n, now)
        if n < 0:
            raise ValueError(not_countable(n))
        self.used_at = self._home.made
        total = self.total(now)
        self._count += n
        return total + n

    def count(self, n: int = 1, now: float | None = None) -> None:
        self.add(n, now)

    def total(self, now: float | None = None) -> float:
        if self.forgotten:
            return one.total(now) if (one := self._home.get(self._key)) else 0.0
        now = time.monotonic() if now is None else now
        self._turn(now // self._seconds)
        return self._count + self._before * (1.0 - now % self._seconds / self._seconds)

    def counts(self, now: float | None = None) -> tuple[int, int]:
        if self.forgotten:
            return one.counts(now) if (one := self._home.get(self._key)) else (0, 0)
        self._turn((time.monotonic() if now is None else now) // self._seconds)
        return self._before, self._count

    def _turn(self, piece: float) -> None:
        """Start a piece, unless it is the current one."""
        if piece != self._piece:
            self._before = self._count if piece == self._piece + 1 else 0
            self._count = 0
            self._piece = piece


class _Values(_Record):
    """The values of a key of a table."""

    __slots__ = ("values", "version")

    def __init__(self) -> None:
        super().__init__()
        self.values: Values | None = None
        self.version = 0


_TableKey = tuple[str, str, str]


class _TableRecords(_Records[_TableKey, _Values]):
    """The records of all tables.

    :ivar is_held: one of them is held.
    :ivar changes: how often any of them has been changed.
    """

    is_held = False
    changes = 0


class _Table(SharedTable):
    def __init__(
        self, name: str, fields: str, layout: RecordLayout, records: _TableRecords
    ) -> None:
        self._name = name
        self._fields = fields
        self._layout = layout
        self._records = records

    def get(self, key: str) -> Values | None:
        record = self._records.get((self._name, self._fields, short_key(key)))
        if record is None:
            return None
        record.used_at = self._records.made
        return record.values

    def version(self, key: str) -> int:
        key = key if len(key) <= LONGEST_KEY else short_key(key)
        record = self._records.get((self._name, self._fields, key))
        return 0 if record is None else record.version

    def set(self, key: str, values: Sequence[float]) -> None:
        with self.locked(key) as record:
            record.values = values

    def locked(self, key: str) -> _Held:
        place = (self._name, self._fields, short_key(key))
        return _Held(self._records, place, self._layout)


class _Held(SharedRecord):
    """A record that is held.

    With a single worker, nothing else could change it. But errors with several workers are errors here, too.
    """

    __slots__ = ("_key", "_layout", "_records")

    def __init__(self, records: _TableRecords, key: _TableKey, layout: RecordLayout) -> None:
        self._records = records
        self._key = key
        self._layout = layout

    def __enter__(self) -> SharedRecord:
        if self._records.is_held:
            raise RuntimeError(NESTED)
        self._records.is_held = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._records.is_held = False

    @property
    def values(self) -> Values | None:
        record = self._records.get(self._key)
        return None if record is None else record.values

    @values.setter
    def values(self, values: Sequence[float]) -> None:
        packed = self._layout.pack(values)
        record = self._records[self._key]
        record.used_at = self._records.made
        record.values = self._layout.unpack_from(packed)
        self._records.changes += 1
        record.version = self._records.changes


class LocalState(SharedState):
    """The shared state of a single worker."""

    __slots__ = (
        "_counters",
        "_gauges",
        "_large",
        "_large_quotas",
        "_locks",
        "_quotas",
        "_small",
        "_tables",
        "_windows",
    )

    def __init__(self, sizes: Sizes = DEFAULT_SIZES) -> None:
        self._counters = _Records[str, _Counter](_Counter, sizes.counters)
        self._gauges = _Records[str, _Gauge](_Gauge, sizes.gauges)
        self._windows = _Records[tuple[str, float], _Window](_Window, sizes.windows)
        self._tables = _TableRecords(lambda home, key: _Values(), sizes.tables)
        self._small = LocalEntries(sizes.values)
        self._large = LocalEntries(sizes.large_values)
        self._quotas = LocalQuotaEntries(sizes.quotas)
        self._large_quotas = LocalQuotaEntries(sizes.large_quotas)
        self._locks = LocalLocks(sizes.locks)

    def counter(self, key: str) -> SharedCounter:
        """Return the counter of a key."""
        return self._counters[key if len(key) <= LONGEST_KEY else short_key(key)]

    def gauge(self, key: str) -> SharedGauge:
        """Return the gauge of a key."""
        return self._gauges[key if len(key) <= LONGEST_KEY else short_key(key)]

    def window(self, key: str, seconds: float) -> SharedWindow:
        """Return the window of a key."""
        check_length(seconds)
        return self._windows[key if len(key) <= LONGEST_KEY else short_key(key), float(seconds)]

    def table(self, name: str, fields: str) -> SharedTable:
        """Return a table."""
        return _Table(name, fields, record_layout(name, fields), self._tables)

    def values(self, name: str, *, value_bytes: int = SMALL_VALUE) -> SharedValues:
        """Return a table of bytes that expire."""
        check_value_bytes(name, value_bytes)
        entries = self._small if value_bytes <= SMALL_VALUE else self._large
        return LocalValues(entries, name, value_bytes)

    def quotas(self, name: str, *, value_bytes: int = SMALL_VALUE) -> SharedQuotas:
        """Return a table of what clients have used of a limit."""
        check_value_bytes(name, value_bytes)
        entries = self._quotas if value_bytes <= SMALL_VALUE else self._large_quotas
        return LocalQuotas(entries, name, value_bytes)

    def lock(self, key: str, seconds: float) -> SharedLock:
        """Return a lock."""
        return SharedLock(self._locks, short_key(key), seconds)

    def stats(self) -> SharedStateStats:
        """Return figures of the records."""
        return stats_of(
            0,
            counters=self._counters.stats(),
            gauges=self._gauges.stats(),
            windows=self._windows.stats(),
            tables=self._tables.stats(),
            values=_entry_stats(self._small),
            large_values=_entry_stats(self._large),
            quotas=_quota_stats(self._quotas),
            large_quotas=_quota_stats(self._large_quotas),
            locks=KindStats(len(self._locks.held), self._locks.most, 0),
        )


def _entry_stats(entries: LocalEntries) -> KindStats:
    return KindStats(len(entries.entries), entries.most, entries.evictions)


def _quota_stats(entries: LocalQuotaEntries) -> KindStats:
    return KindStats(len(entries), entries.most, entries.evictions)
