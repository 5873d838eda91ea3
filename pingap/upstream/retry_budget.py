"""A budget for attempts that are made again, so that a struggling upstream is not buried in them."""

from __future__ import annotations

from typing import Final

from pingap.upstream.window import SlidingWindow

SECONDS: Final = 10.0
"""How far back requests and attempts made again are compared."""
AT_LEAST: Final = 10
"""Attempts that may be made again in that time, however few requests there are."""


class RetryBudget:
    """How many attempts of an upstream may be made again: a share of its requests, and a few more.

    :param percent: that share.
    """

    __slots__ = ("_percent", "_window", "refused")

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._window = SlidingWindow(SECONDS)
        self.refused = 0
        """How many were refused so far."""

    def count_request(self, now: float) -> None:
        """Count a request."""
        self._window.count(now)

    def spend(self, now: float) -> bool:
        """Count an attempt that is made again; False if there have been too many."""
        window = self._window
        window.move_to(now)
        if window.bad >= AT_LEAST + window.events * self._percent / 100:
            self.refused += 1
            return False
        window.count(now, 0, 1)
        return True

    def __repr__(self) -> str:
        return f"<RetryBudget {self._window.bad} for {self._window.events} requests>"
