"""What must be done in a folder from time to time, and when there is too much in it.

All of it blocks, and runs in threads.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Final

from pingap_cache.stores.database import BATCH, Database
from pingap_cache.stores.folder import Folder

SCAN_SECONDS: Final = 3600.0
"""How often files are looked for that belong to nobody."""
MEASURE_SECONDS: Final = 1.0
"""How old the numbers of entries and bytes may be after something was stored."""
MOST_USED: Final = 100_000
"""Keys that are noted as used, between two times that this is written down."""
EVICTED_AT_ONCE: Final = 10
BATCHES: Final = 20
"""Batches that are evicted right after an entry was stored; what is left is done later."""

_PAUSE: Final = 0.002
"""Between two batches, so that others can write."""


class Upkeep:
    """Removes what is not needed.

    :param size_limit: bytes that a folder may have; None: no limit.
    :param inactive: seconds after which an entry that nobody asked for is removed; 0: never.
    """

    def __init__(self, size_limit: int | None, inactive: float) -> None:
        self.size_limit = size_limit
        self.entries = 0
        self.volume = 0
        self.evictions = 0
        self._inactive = inactive
        self.in_memory: Callable[[], Iterable[bytes]] = tuple
        """Keys that are asked for without the disk: those in memory in front of it."""
        self._touch_seconds = min(max(inactive / 8, 1.0), 3600.0)
        self._used: set[bytes] = set()
        self._touched = self._scanned = time.monotonic()
        self._measured = -math.inf
        self._stop = threading.Event()

    def used(self, key: bytes) -> None:
        """Note that an entry was asked for."""
        if self._inactive and len(self._used) < MOST_USED:
            self._used.add(key)

    def measure(self, database: Database) -> None:
        """Find out how much is in the folder."""
        self._measured = time.monotonic()
        self.entries, self.volume = len(database), database.volume()

    def fit(self, folder: Folder) -> None:
        """Evict what is too much, after something was stored."""
        for _ in range(BATCHES):
            if not self._remove(folder, self._evict_some):
                break
        if time.monotonic() - self._measured > MEASURE_SECONDS:
            folder.use(self.measure, None)

    def tend(self, folder: Folder) -> None:
        """Do all that is due, unless another process is at it."""
        since = time.monotonic() - self._touched
        if self._inactive and (since > self._touch_seconds or len(self._used) >= MOST_USED):
            self._touched = time.monotonic()
            self._touch(folder)
        folder.use(self.measure, None)
        try:
            with folder.alone("upkeep") as alone:
                if alone:
                    self._tend(folder)
        except OSError as error:
            folder.trouble.failed(error.strerror or str(error))

    def stop(self) -> None:
        """End what is being done."""
        self._stop.set()

    def _tend(self, folder: Folder) -> None:
        now = time.time()
        folder.use(Database.forget_purges, None)
        expired = partial(
            Database.remove_some, condition="WHERE expire_time < ?", parameters=(now,)
        )
        self._repeat(folder, expired)
        if self._inactive:
            before = (now - self._inactive,)
            unused = partial(
                Database.remove_some, condition="WHERE access_time < ?", parameters=before
            )
            self._repeat(folder, unused)
        self._repeat(folder, self._evict_some)
        if folder.scan_due or time.monotonic() - self._scanned > SCAN_SECONDS:
            folder.scan_due = False
            self._scanned = time.monotonic()
            folder.remove_orphans()

    def _touch(self, folder: Folder) -> None:
        used, self._used = self._used, set()
        # (No union of both: it would hold the interpreter lock, and so the event loop, for long.)
        keys = chain(_emptied(used), self.in_memory())
        while batch := list(islice(keys, BATCH)):
            folder.use(partial(Database.touch_some, keys=batch), None)
            if self._stop.wait(_PAUSE):
                break

    def _repeat(self, folder: Folder, work: Callable[[Database], list[bytes]]) -> None:
        while self._remove(folder, work) and not self._stop.wait(_PAUSE):
            pass

    def _remove(self, folder: Folder, work: Callable[[Database], list[bytes]]) -> int:
        nothing: list[bytes] = []
        removed = folder.use(work, nothing)
        folder.tell(removed)
        return len(removed)

    def _evict_some(self, database: Database) -> list[bytes]:
        if self.size_limit is None:
            return []
        self.volume = database.volume()
        if self.volume <= self.size_limit:
            return []
        removed = database.remove_some("ORDER BY store_time", limit=EVICTED_AT_ONCE)
        self.evictions += len(removed)
        return removed


def _emptied(keys: set[bytes]) -> Iterator[bytes]:
    """Take keys out of a set, one by one."""
    while keys:
        yield keys.pop()
