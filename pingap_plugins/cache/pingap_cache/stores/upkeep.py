"""What must be done in a folder from time to time, and when there is too much in it.

All of it blocks, and runs in threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from pingap_cache.stores.database import Database
from pingap_cache.stores.folder import Folder

SCAN_SECONDS: Final = 3600.0
"""How often files are looked for that belong to nobody."""
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
        self._used: set[bytes] = set()
        self._scanned = time.monotonic()
        self._stop = threading.Event()

    def used(self, key: bytes) -> None:
        """Note that an entry was asked for."""
        if self._inactive and len(self._used) < MOST_USED:
            self._used.add(key)

    def measure(self, database: Database) -> None:
        """Find out how much is in the folder."""
        self.entries, self.volume = len(database), database.volume()

    def fit(self, database: Database) -> None:
        """Evict what is too much, after something was stored."""
        for _ in range(BATCHES):
            if not self._evict_some(database):
                break
        self.measure(database)

    def tend(self, folder: Folder) -> None:
        """Do all that is due, unless another process is at it."""
        used, self._used = self._used, set()
        if used:
            folder.use(partial(Database.touch_all, keys=used), None)
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

    def _repeat(self, folder: Folder, work: Callable[[Database], int]) -> None:
        while folder.use(work, 0) and not self._stop.wait(_PAUSE):
            pass

    def _evict_some(self, database: Database) -> int:
        if self.size_limit is None or database.volume() <= self.size_limit:
            return 0
        removed = database.remove_some("ORDER BY store_time", limit=EVICTED_AT_ONCE)
        self.evictions += removed
        return removed
