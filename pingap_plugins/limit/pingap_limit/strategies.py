"""Strategies that the library limits does not have, and one way to use all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from limits import RateLimitItem, WindowStats
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)

from pingap import SharedState
from pingap_limit.rates import Rate
from pingap_limit.standing import Standing
from pingap_limit.storage import SharedStorage

_LIBRARY: Final[dict[str, Callable[[SharedStorage], RateLimiter]]] = {
    "fixed-window": FixedWindowRateLimiter,
    "moving-window": MovingWindowRateLimiter,
    "sliding-window-counter": SlidingWindowCounterRateLimiter,
}
_EPSILON: Final = 1e-6


class Estimate(RateLimiter):
    """The estimate of pingap 0.13.9: this window and the one before, with fixed weights.

    :param weight: of the current window, 0 to 1.
    """

    def __init__(self, storage: SharedStorage, weight: float) -> None:
        super().__init__(storage)
        self._counts = storage
        self._weight = weight

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Count a request; return whether it passes."""
        used, _ = self._counts.estimate(item.key_for(*identifiers), item.get_expiry(), self._weight)
        return self.fits(item, used)

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Return whether a request would pass."""
        return self.fits(item, self.used(item, *identifiers)[0] + cost)

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """Return when the window ends, and what is left."""
        used, left = self.used(item, *identifiers)
        return WindowStats(time.time() + left, max(0, int(limit_of(item) - used)))

    def used(self, item: RateLimitItem, *identifiers: str) -> tuple[float, float]:
        """Return the estimate, and the seconds until the window ends."""
        key = item.key_for(*identifiers)
        return self._counts.get_estimate(key, item.get_expiry(), self._weight)

    @staticmethod
    def fits(item: RateLimitItem, used: float) -> bool:
        """Return whether an estimate is within the limit."""
        return used <= limit_of(item)


def limit_of(item: RateLimitItem) -> float:
    """Return how many may come in an interval: of one below a second, ``amount`` is per second."""
    return item.amount * min(item.get_expiry(), 1)


class Gcra(RateLimiter):
    """The generic cell rate algorithm: a supply that refills steadily.

    :param burst: how many there are at most.
    """

    def __init__(self, storage: SharedStorage, burst: int) -> None:
        super().__init__(storage)
        self._times = storage
        self._burst = burst

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Take one, if there is one."""
        step = item.get_expiry() / item.amount
        return self._times.acquire_gcra(item.key_for(*identifiers), step, self._burst)

    def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Return whether there are enough."""
        return self.get_window_stats(item, *identifiers).remaining >= cost

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """Return what is left, and when there is one more."""
        step = item.get_expiry() / item.amount
        debt = self._times.get_gcra(item.key_for(*identifiers))
        remaining = int(self._burst - debt / step + _EPSILON)
        wait = debt - (self._burst - remaining - 1) * step if debt else 0.0
        return WindowStats(time.time() + wait, remaining)


class LocalLimiter:
    """One limit over all workers of this instance.

    :param name: of the limit; limits with the same name and strategy have the same counts.
    :param strategy: its word in the configuration.
    """

    def __init__(
        self,
        shared: SharedState,
        name: str,
        strategy: str,
        rate: Rate,
        weight: float,
        burst: int,
    ) -> None:
        size = 8 * rate.amount if strategy == "moving-window" else 24
        quotas = shared.quotas(f"limit:{strategy}:{name}", value_bytes=size)
        limit = limit_of(rate) if strategy == "estimate" else rate.amount
        storage = SharedStorage(quotas, limit)
        self._rate = rate
        self._strategy: RateLimiter
        if strategy == "estimate":
            self._strategy = Estimate(storage, weight)
        elif strategy == "gcra":
            self._strategy = Gcra(storage, burst)
        else:
            self._strategy = _LIBRARY[strategy](storage)

    def hit(self, key: str) -> bool:
        """Count a request; return whether it passes."""
        return self._strategy.hit(self._rate, key)

    def standing(self, key: str, passed: bool) -> Standing:
        """Return where the client stands after a request that was counted."""
        rate, strategy = self._rate, self._strategy
        if isinstance(strategy, Estimate):
            used, left = strategy.used(rate, key)
            return Standing(passed, used, max(0, int(limit_of(rate) - used)), left)
        stats = strategy.get_window_stats(rate, key)
        remaining = max(0, int(stats.remaining)) if passed else 0
        used = rate.amount - remaining + (not passed)
        return Standing(passed, used, remaining, max(0.0, stats.reset_time - time.time()))
