"""A budget for retries, so that they do not overload a struggling upstream.

A share of the requests of each worker is the same share of all requests, so each worker counts those for
itself at almost no cost. The few retries that are allowed in addition would be multiplied by the number of
workers, so all workers count these together, and only such a retry pays for it.
"""

from __future__ import annotations

from typing import Final

from pingap.shared_state.local import LocalState
from pingap.shared_state.state import SharedState
from pingap.upstream.circuit_breaking.window import SlidingWindow

SECONDS: Final = 10.0
"""The period in which requests and retries are compared."""
AT_LEAST: Final = 10
"""Retries that are allowed in that period, even with few requests."""


class RetryBudget:
    """Limits the retries of an upstream: to a share of its requests, and a few more.

    :param percent: that share.
    """

    __slots__ = ("_few", "_percent", "_window", "refused")

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._window = SlidingWindow(SECONDS)
        self._few = LocalState().window("", SECONDS)
        self.refused = 0
        """How many have been refused."""

    def count_with(self, shared: SharedState, upstream: str) -> None:
        """Count the few additional retries together with other workers from now on."""
        self._few = shared.window(f"retry_budget:{upstream}", SECONDS)

    def count_request(self, now: float) -> None:
        """Count a request."""
        self._window.count(now)

    def spend(self, now: float) -> bool:
        """Count a retry; False if there have been too many."""
        window = self._window
        window.move_to(now)
        if window.bad + 1 <= window.events * self._percent / 100:
            window.count(now, 0, 1)
            return True
        if (
            self._few.total(now) + 1 <= AT_LEAST
        ):  # concurrent calls in other workers may exceed it slightly
            self._few.count(1, now)
            return True
        self.refused += 1
        return False

    def __repr__(self) -> str:
        return f"<RetryBudget {self._window.bad} for {self._window.events} requests>"
