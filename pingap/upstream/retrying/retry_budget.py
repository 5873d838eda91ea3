"""A budget for attempts that are made again, so that a struggling upstream is not buried in them.

A share of the requests of each worker is the same share of all requests, so each worker counts those for
itself, and a request costs next to nothing. The few attempts that may be made beyond it would be that many
times more with many workers: these all workers count together, and only such an attempt pays for it.
"""

from __future__ import annotations

from typing import Final

from pingap.shared_state.local import LocalState
from pingap.shared_state.state import SharedState
from pingap.upstream.circuit_breaking.window import SlidingWindow

SECONDS: Final = 10.0
"""How far back requests and attempts made again are compared."""
AT_LEAST: Final = 10
"""Attempts that may be made again in that time, however few requests there are."""


class RetryBudget:
    """How many attempts of an upstream may be made again: a share of its requests, and a few more.

    :param percent: that share.
    """

    __slots__ = ("_few", "_percent", "_window", "refused")

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._window = SlidingWindow(SECONDS)
        self._few = LocalState().window("", SECONDS)
        self.refused = 0
        """How many were refused so far."""

    def count_with(self, shared: SharedState, upstream: str) -> None:
        """Count the few with other workers from now on."""
        self._few = shared.window(f"retry_budget:{upstream}", SECONDS)

    def count_request(self, now: float) -> None:
        """Count a request."""
        self._window.count(now)

    def spend(self, now: float) -> bool:
        """Count an attempt that is made again; False if there have been too many."""
        window = self._window
        window.move_to(now)
        if window.bad + 1 <= window.events * self._percent / 100:
            window.count(now, 0, 1)
            return True
        if self._few.total(now) + 1 <= AT_LEAST:  # (or as many more as workers ask at this moment)
            self._few.count(1, now)
            return True
        self.refused += 1
        return False

    def __repr__(self) -> str:
        return f"<RetryBudget {self._window.bad} for {self._window.events} requests>"
