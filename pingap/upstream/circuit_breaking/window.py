"""Counting recent events, without IO."""

from __future__ import annotations

from typing import Final

_SLOTS: Final = 10


class SlidingWindow:
    """The number of events in the last seconds, and how many of them were bad.

    The window moves in steps of a tenth of its length, so the counted time is between nine tenths of it and
    the whole. Time is passed in.

    :param seconds: its length.
    """

    __slots__ = ("_bad", "_events", "_slot", "_width", "bad", "events")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / _SLOTS
        self._slot = 0  # number of the latest slot, counted from time 0
        self._events = [0] * _SLOTS
        self._bad = [0] * _SLOTS
        self.events = 0
        """All events, as of the last ``count`` or ``move_to``."""
        self.bad = 0
        """The bad ones among them."""

    def count(self, now: float, events: int = 1, bad: int = 0) -> None:
        """Count events."""
        self.move_to(now)
        place = self._slot % _SLOTS
        self._events[place] += events
        self._bad[place] += bad
        self.events += events
        self.bad += bad

    def move_to(self, now: float) -> None:
        """Drop old events; if time goes backwards, the latest known time is used."""
        slot = int(now / self._width)
        if slot <= self._slot:
            return
        if slot - self._slot >= _SLOTS:
            self.clear()
        else:
            for number in range(self._slot + 1, slot + 1):
                place = number % _SLOTS
                self.events -= self._events[place]
                self.bad -= self._bad[place]
                self._events[place] = self._bad[place] = 0
        self._slot = slot

    def clear(self) -> None:
        """Forget everything."""
        self._events = [0] * _SLOTS
        self._bad = [0] * _SLOTS
        self.events = self.bad = 0

    def __repr__(self) -> str:
        return f"<SlidingWindow {self.bad} of {self.events}>"
