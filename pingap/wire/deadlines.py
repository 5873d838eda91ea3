"""Time limits of connections, checked by one sweep per worker.

A timer per request would cost as much as parsing it. Instead, connections record the time at which they have
waited too long, and the sweep checks all of them a few times a second.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Final, Protocol

import anyio

log = logging.getLogger("pingap")

NEVER: Final = math.inf
"""The deadline of what has no time limit."""

_SLOWEST: Final = 1.0
_FASTEST: Final = 0.05
_AGAIN: Final = 60.0
"""Delay before a deadline whose handling failed is checked again."""


class Watched(Protocol):
    """An object with a deadline."""

    deadline: float
    """Monotonic seconds; infinity while there is no limit."""

    def on_deadline(self) -> None:
        """Called once the deadline has passed; sets another one, or ends."""


class Deadlines:
    """Everything in a worker that has a time limit."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self.interval = _SLOWEST

    def watch(self, watched: Watched) -> None:
        """Check the object from now on."""
        self._watched.add(watched)

    def forget(self, watched: Watched) -> None:
        """Stop checking the object."""
        self._watched.discard(watched)

    def set_precision(self, shortest: float) -> None:
        """Sweep often enough for a time limit: it is met within a quarter of its length."""
        self.interval = min(self.interval, max(_FASTEST, shortest / 4))

    def set_precision_of(self, *limits: float | None) -> None:
        """Sweep often enough for each of these limits; None and 0 mean no limit."""
        for limit in filter(None, limits):
            self.set_precision(limit)

    def sweep(self, now: float) -> None:
        """Call every object whose deadline has passed."""
        late = [watched for watched in self._watched if watched.deadline < now]
        for watched in late:
            if watched.deadline < now:  # again, because handling another one may have extended it
                try:
                    watched.on_deadline()
                except Exception:
                    # A bug with one connection must not end the time limits of all others.
                    log.exception(
                        "a time limit was not handled because of a bug in pingap: %r", watched
                    )
                    watched.deadline = now + _AGAIN

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await anyio.sleep(self.interval)
            self.sweep(time.monotonic())
