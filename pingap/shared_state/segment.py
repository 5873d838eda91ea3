"""Shared state of several workers, in one segment of shared memory.

The supervisor creates the segment before it forks, and every worker attaches to it under its own index::

    segment = SharedSegment(workers=4)
    if os.fork() == 0:
        state = segment.attach(0)

The memory is anonymous: it has no name, nothing has to be removed, and it disappears with the last process.
"""

from __future__ import annotations

import mmap
import os
from typing import Final, TypeVar

from pingap.shared_state.columns import SegmentCounter, SegmentGauge, SegmentWindow
from pingap.shared_state.keys import LONGEST_KEY
from pingap.shared_state.lock import SharedLock
from pingap.shared_state.locks import ProcessLocks
from pingap.shared_state.quotas import SharedQuotas
from pingap.shared_state.region import WAYS, GaugeRegion, Region
from pingap.shared_state.segment_locks import LockRegion, SegmentLocks
from pingap.shared_state.segment_quotas import QuotaRecords, QuotaRegion, SegmentQuotas
from pingap.shared_state.segment_values import SegmentValues, ValueRecords, record_words
from pingap.shared_state.state import (
    DEFAULT_SIZES,
    SharedCounter,
    SharedGauge,
    SharedState,
    SharedStateStats,
    SharedTable,
    SharedWindow,
    Sizes,
    check_length,
    record_layout,
    stats_of,
)
from pingap.shared_state.table import RECORD_WORDS, SegmentTable, Tables
from pingap.shared_state.values import (
    LARGE_VALUE,
    SMALL_VALUE,
    SharedValues,
    check_value_bytes,
)

_MOST_HANDLES: Final = 8192
"""Handles of each kind that a worker caches. If there are more, all are dropped."""

K = TypeVar("K")
H = TypeVar("H")


class SharedSegment:
    """The memory, and the locks, that all workers share.

    :param workers: number of indices. An index belongs to one process at a time: a worker that is still
        draining keeps its own until it has ended.
    """

    def __init__(self, *, workers: int, sizes: Sizes = DEFAULT_SIZES) -> None:
        self.workers = workers
        kinds = (
            (Region, sizes.counters, workers),
            (GaugeRegion, sizes.gauges, workers),
            (Region, sizes.windows, 2 * workers),
            (Region, sizes.tables, RECORD_WORDS),
            (Region, sizes.values, record_words(SMALL_VALUE)),
            (Region, sizes.large_values, record_words(LARGE_VALUE)),
            (LockRegion, sizes.locks, 1),
            (QuotaRegion, sizes.quotas, QuotaRecords.words(SMALL_VALUE)),
            (QuotaRegion, sizes.large_quotas, QuotaRecords.words(LARGE_VALUE)),
        )
        rounded = [(kind, -(-slots // WAYS) * WAYS, width) for kind, slots, width in kinds]
        needed = [Region.words_needed(slots, width, workers) for _, slots, width in rounded]
        self.size = 8 * sum(needed)
        words = memoryview(mmap.mmap(-1, self.size)).cast("Q")
        locks, secret = ProcessLocks(), os.urandom(32)
        regions: list[Region] = []
        start = first_lock = 0
        for (kind, slots, width), words_needed in zip(rounded, needed, strict=True):
            regions.append(kind(words, start, slots, width, workers, locks, first_lock, secret))
            start += words_needed
            first_lock += slots // WAYS
        self.counters, self.gauges, self.windows, self.tables, *rest = regions
        self.values, self.large_values, self.locks, self.quotas, self.large_quotas = rest

    def attach(self, worker: int) -> SharedState:
        """Return the shared state of a worker; called in its process."""
        if not 0 <= worker < self.workers:
            raise ValueError(f"worker {worker} of {self.workers}")
        return _SegmentState(self, worker)

    def release_worker(self, worker: int) -> None:
        """Remove the gauges and locks of a dead worker; called before another one gets its index.

        Its shares in counters and windows stay.
        """
        assert isinstance(self.gauges, GaugeRegion)
        self.gauges.release(worker)
        assert isinstance(self.locks, LockRegion)
        self.locks.release(worker)

    def stats(self) -> SharedStateStats:
        """Return figures of the segment."""
        return stats_of(
            self.size,
            counters=self.counters.stats(),
            gauges=self.gauges.stats(),
            windows=self.windows.stats(),
            tables=self.tables.stats(),
            values=self.values.stats(),
            large_values=self.large_values.stats(),
            quotas=self.quotas.stats(),
            large_quotas=self.large_quotas.stats(),
            locks=self.locks.stats(),
        )


class _SegmentState(SharedState):
    """The segment as one worker sees it."""

    __slots__ = (
        "_counters",
        "_gauges",
        "_large",
        "_large_quotas",
        "_locks",
        "_quotas",
        "_segment",
        "_small",
        "_tables",
        "_windows",
        "_worker",
    )

    def __init__(self, segment: SharedSegment, worker: int) -> None:
        self._segment = segment
        self._worker = worker
        self._counters: dict[str, SegmentCounter] = {}
        self._gauges: dict[str, SegmentGauge] = {}
        self._windows: dict[tuple[str, float], SegmentWindow] = {}
        self._tables = Tables(segment.tables, worker)
        self._small = ValueRecords(segment.values, worker, SMALL_VALUE)
        self._large = ValueRecords(segment.large_values, worker, LARGE_VALUE)
        self._quotas = QuotaRecords(segment.quotas, worker)
        self._large_quotas = QuotaRecords(segment.large_quotas, worker)
        self._locks = SegmentLocks(segment.locks, worker)

    def counter(self, key: str) -> SharedCounter:
        if (found := self._counters.get(key)) is not None:
            return found
        made = SegmentCounter(self._segment.counters, key, self._worker)
        return _kept(self._counters, key, made, key)

    def gauge(self, key: str) -> SharedGauge:
        if (found := self._gauges.get(key)) is not None:
            return found
        made = SegmentGauge(self._segment.gauges, key, self._worker)
        return _kept(self._gauges, key, made, key)

    def window(self, key: str, seconds: float) -> SharedWindow:
        if (found := self._windows.get((key, seconds))) is not None:
            return found
        check_length(seconds)
        seconds = float(seconds)
        made = SegmentWindow(self._segment.windows, f"{seconds}\0{key}", self._worker, seconds)
        return _kept(self._windows, (key, seconds), made, key)

    def table(self, name: str, fields: str) -> SharedTable:
        return SegmentTable(self._tables, name, fields, record_layout(name, fields))

    def values(self, name: str, *, value_bytes: int = SMALL_VALUE) -> SharedValues:
        check_value_bytes(name, value_bytes)
        records = self._small if value_bytes <= SMALL_VALUE else self._large
        return SegmentValues(records, name, value_bytes)

    def quotas(self, name: str, *, value_bytes: int = SMALL_VALUE) -> SharedQuotas:
        check_value_bytes(name, value_bytes)
        records = self._quotas if value_bytes <= SMALL_VALUE else self._large_quotas
        return SegmentQuotas(records, name, value_bytes)

    def lock(self, key: str, seconds: float) -> SharedLock:
        return SharedLock(self._locks, key, seconds)

    def stats(self) -> SharedStateStats:
        return self._segment.stats()


def _kept(handles: dict[K, H], place: K, handle: H, key: str) -> H:
    """Cache a handle, unless its key is long."""
    if len(key) <= LONGEST_KEY:
        if len(handles) >= _MOST_HANDLES:
            handles.clear()
        handles[place] = handle
    return handle
