"""How fast a coding is made, and so whether it may be made in the event loop."""

from __future__ import annotations

import time
from typing import Final

QUICK: Final = 0.001
"""Seconds for which a body may hold the event loop."""
_TURN: Final = 0.0002
"""Seconds after which something else had the event loop."""
_SAMPLE: Final = 4096
"""Bytes below which a measurement says more of the overhead than of the coding."""
_MOST_STEP: Final = 4.0  # how much a measurement may differ: the machine may have been busy

# Nanoseconds for a byte, from a level on: what is assumed before anything was measured.
_FIRST_GUESS: Final = {
    "gzip": ((1, 7), (5, 12), (6, 16), (8, 30)),
    "br": ((1, 6), (4, 13), (6, 16), (9, 30), (10, 3000)),
    "zstd": ((1, 4), (5, 10), (8, 25), (11, 60), (13, 400), (16, 2500)),
}


class Pace:
    """Seconds that a coding takes for a byte, as it was measured. One for all bodies of an instance.

    (Written in threads, too: a measurement may be lost, which does no harm.)
    """

    def __init__(self, coding: str, level: int) -> None:
        nanoseconds = [one for least, one in _FIRST_GUESS[coding] if least <= level]
        self.per_byte = nanoseconds[-1] * 1e-9

    def note(self, size: int, seconds: float) -> None:
        """Record a measurement; the latest count most."""
        if size >= _SAMPLE:
            per_byte = min(seconds / size, self.per_byte * _MOST_STEP)
            self.per_byte += (per_byte - self.per_byte) / 8


class Turn:
    """The time for which one body has held the event loop, since something else had it."""

    __slots__ = ("_held", "_until")

    def __init__(self) -> None:
        self._held = 0.0
        self._until = 0.0

    def has_room(self, seconds: float) -> bool:
        """Return whether the event loop may be held for so long."""
        if time.perf_counter() - self._until > _TURN:
            self._held = 0.0
        return self._held + seconds <= QUICK

    def note(self, seconds: float) -> None:
        """Record that it was held."""
        self._held += seconds
        self._until = time.perf_counter()
