"""Counters, gauges and windows over several workers.

Each worker has its own words in every record and writes to no others. So adding takes no lock, no update is
ever lost, and the addition of a worker that dies at any point is either complete or missing. The total is
the sum over all workers.

Every word has the generation of its record in its top byte. A word with another generation is ignored: it
was written by a worker that had not yet noticed that the slot had been given to another key.
"""

from __future__ import annotations

import time
from typing import Final

from pingap.shared_state.region import GENERATION_SHIFT, NOWHERE, SHARE, Region, tick
from pingap.shared_state.state import SharedCounter, SharedGauge, SharedWindow, not_countable

_ZERO: Final = 1 << (GENERATION_SHIFT - 1)
"""The representation of a counter's 0, which leaves room for negative numbers."""
_MOST: Final = _ZERO - 1
"""Limit of a worker's share in a counter or gauge; more is cut off."""

_COUNT_BITS: Final = 36
_COUNT: Final = (1 << _COUNT_BITS) - 1
"""Limit of a worker's count in a piece of a window; more is cut off."""
_PIECES: Final = (1 << (GENERATION_SHIFT - _COUNT_BITS)) - 1
"""The bits of a piece's number that are stored. Only after a million windows could an old number be
mistaken for a new one."""


class _Columns:
    """A record with words for each worker: finds it, and finds it again after it was evicted."""

    __slots__ = ("_bucket", "_digest", "_generation", "_identity", "_region", "_slot", "_worker")

    def __init__(self, region: Region, key: str, worker: int) -> None:
        self._region = region
        self._worker = worker
        self._bucket, self._digest = region.place(key)
        self._slot, self._identity = 0, NOWHERE
        self._generation = 0

    def _claim(self) -> None:
        found = self._region.find_or_claim(self._bucket, self._digest, self._worker)
        self._settle(*found)

    def _is_there(self) -> bool:
        """Find the record without creating one."""
        self._settle(*self._region.find(self._bucket, self._digest))
        return self._identity != NOWHERE

    def _settle(self, slot: int, identity: int) -> None:
        self._slot, self._identity = slot, identity
        self._generation = identity >> GENERATION_SHIFT


class SegmentCounter(_Columns, SharedCounter):
    """A word for each worker."""

    __slots__ = ()

    def add(self, n: int = 1) -> int:
        region = self._region
        if region.identities[self._slot] != self._identity:
            self._claim()
        slot, generation, worker = self._slot, self._generation, self._worker
        zero = generation << GENERATION_SHIFT | _ZERO
        first = slot * region.width
        words = region.data[first : first + region.width].tolist()
        word = words[worker]
        own = word - zero + n if word >> GENERATION_SHIFT == generation else n
        if not -_MOST <= own <= _MOST:
            own = _MOST if own > 0 else -_MOST
        region.data[first + worker] = words[worker] = zero + own
        region.used_at[slot] = tick()
        total = 0
        for word in words:
            if word >> GENERATION_SHIFT == generation:
                total += word - zero
        return total

    @property
    def value(self) -> int:
        region = self._region
        if region.identities[self._slot] != self._identity and not self._is_there():
            return 0
        generation, first = self._generation, self._slot * region.width
        zero = generation << GENERATION_SHIFT | _ZERO
        words = region.data[first : first + region.width].tolist()
        return sum(word - zero for word in words if word >> GENERATION_SHIFT == generation)


class SegmentGauge(_Columns, SharedGauge):
    """A word for each worker, which is not below 0."""

    __slots__ = ()

    def add(self, n: int = 1) -> int:
        region = self._region
        if region.identities[self._slot] != self._identity:
            self._claim()
        slot, generation, worker = self._slot, self._generation, self._worker
        first = slot * region.width
        words = region.data[first : first + region.width].tolist()
        word = words[worker]
        own = (word & SHARE) + n if word >> GENERATION_SHIFT == generation else n
        own = 0 if own < 0 else min(own, _MOST)
        region.data[first + worker] = words[worker] = generation << GENERATION_SHIFT | own
        region.used_at[slot] = tick()
        total = 0
        for word in words:
            if word >> GENERATION_SHIFT == generation:
                total += word & SHARE
        return total

    def add_below(self, limit: int) -> bool:
        region = self._region
        # Others may subtract meanwhile, but not add: that takes the lock, too, where there is a limit.
        region.lock(self._bucket)
        try:
            if self.value >= limit:
                return False
            if self._identity == NOWHERE:
                self._settle(*region.claim(self._bucket, self._digest, self._worker))
            self.add()
            return True
        finally:
            region.unlock(self._bucket)

    @property
    def value(self) -> int:
        region = self._region
        if region.identities[self._slot] != self._identity and not self._is_there():
            return 0
        generation, first = self._generation, self._slot * region.width
        words = region.data[first : first + region.width].tolist()
        return sum(word & SHARE for word in words if word >> GENERATION_SHIFT == generation)


class SegmentWindow(_Columns, SharedWindow):
    """Two words for each worker: for pieces of time with even and with odd numbers.

    A word contains generation, number of the piece and count. So starting a new piece requires no
    clearing: a word of an old piece is recognised by its number.
    """

    __slots__ = ("_seconds",)

    def __init__(self, region: Region, key: str, worker: int, seconds: float) -> None:
        super().__init__(region, key, worker)
        self._seconds = seconds

    def add(self, n: int = 1, now: float | None = None) -> float:
        if now is None:
            now = time.monotonic()
        self.count(n, now)
        return self._sum(now)

    def count(self, n: int = 1, now: float | None = None) -> None:
        if n < 0:
            raise ValueError(not_countable(n))
        region = self._region
        if region.identities[self._slot] != self._identity:
            self._claim()
        if now is None:
            now = time.monotonic()
        piece = int(now // self._seconds)
        at = self._slot * region.width + 2 * self._worker + (piece & 1)
        tag = self._generation << 20 | piece & _PIECES
        word = region.data[at]
        own = (word & _COUNT) + n if word >> _COUNT_BITS == tag else n
        region.data[at] = tag << _COUNT_BITS | (min(_COUNT, own))
        region.used_at[self._slot] = tick()

    def total(self, now: float | None = None) -> float:
        region = self._region
        if region.identities[self._slot] != self._identity and not self._is_there():
            return 0.0
        return self._sum(time.monotonic() if now is None else now)

    def counts(self, now: float | None = None) -> tuple[int, int]:
        region = self._region
        if region.identities[self._slot] != self._identity and not self._is_there():
            return 0, 0
        return self._counts(time.monotonic() if now is None else now)

    def _sum(self, now: float) -> float:
        before, count = self._counts(now)
        return count + before * (1.0 - now % self._seconds / self._seconds)

    def _counts(self, now: float) -> tuple[int, int]:
        region, seconds = self._region, self._seconds
        piece = int(now // seconds)
        this = self._generation << 20 | piece & _PIECES
        last = self._generation << 20 | (piece - 1) & _PIECES
        first = self._slot * region.width
        count = before = 0
        for word in region.data[first : first + region.width].tolist():
            tag = word >> _COUNT_BITS
            if tag == this:
                count += word & _COUNT
            elif tag == last:
                before += word & _COUNT
        return before, count
