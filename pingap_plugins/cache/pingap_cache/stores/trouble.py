"""What is wrong with a disk, said once and not for every request."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Final

EVERY_SECONDS: Final = 60.0
"""A warning of the same kind is logged again after this time at the earliest."""
MOST_KINDS: Final = 100

log = logging.getLogger("pingap.cache")


class Trouble:
    """Logs warnings of a store, and counts what happened. May be called in any thread.

    :param where: the folder.
    """

    def __init__(self, where: str) -> None:
        self.failures = 0
        self.corrupt = 0
        self._where = where
        self._lock = threading.Lock()
        self._said: dict[
            str, tuple[float, int]
        ] = {}  # kind -> when, and how many were left out since

    def failed(self, error: Exception | str) -> None:
        """Count a call that failed because of the disk."""
        with self._lock:
            self.failures += 1
        self.warn(f"{error}; it is not cached, or not found")

    def found_corrupt(self, what: str) -> None:
        """Count an entry that was damaged."""
        with self._lock:
            self.corrupt += 1
        self.warn(f"a damaged entry was removed: {what}")

    def warn(self, text: str, kind: str = "trouble") -> None:
        """Log a warning, unless one of this kind was logged within a minute.

        One fault has many texts: on a full disk, the system and SQLite have different ones, and a damaged
        database is found damaged here and replaced there.
        """
        now = time.monotonic()
        with self._lock:
            when, left_out = self._said.get(kind, (-math.inf, 0))
            if now - when < EVERY_SECONDS:
                self._said[kind] = (when, left_out + 1)
                return
            if len(self._said) >= MOST_KINDS:
                self._said.clear()
            self._said[kind] = (now, 0)
        more = f" ({left_out} such warnings were left out since the last one)" if left_out else ""
        log.warning("the cache in %s: %s%s", self._where, text, more)
