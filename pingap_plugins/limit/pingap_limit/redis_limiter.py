"""Rates over several machines: Redis decides."""

from __future__ import annotations

import time
from typing import Final

from pingap_limit.rates import Rate
from pingap_limit.redis_calls import RedisCalls
from pingap_limit.standing import Standing
from pingap_limit.strategies import limit_of

_MOST_REFUSED: Final = 10_000
"""Keys over their limit that a worker remembers."""


class RedisLimiter:
    """One limit over all machines with the same Redis."""

    def __init__(
        self, calls: RedisCalls, strategy: str, rate: Rate, weight: float, burst: int
    ) -> None:
        self._calls = calls
        self._strategy = strategy
        most = limit_of(rate) if strategy == "estimate" else rate.amount
        self._arguments: list[object] = [most, max(1, round(rate.seconds * 1e6))]
        if strategy == "estimate":
            self._arguments.append(weight)
        elif strategy == "gcra":
            self._arguments.append(burst)
        self._refused: dict[str, tuple[float, float]] = {}
        """Key -> until when it is over the limit (monotonic), and what it has used."""

    def known_refusal(self, key: str) -> Standing | None:
        """Return where a client stands of whom it is known that it is still over the limit."""
        if (known := self._refused.get(key)) is None:
            return None
        left = known[0] - time.monotonic()
        if left > 0:
            return Standing(False, known[1], 0, left)
        del self._refused[key]
        return None

    async def ask(self, key: str) -> Standing:
        """Count a request.

        :raises StorageAway: nobody knows.
        """
        answer = await self._calls.call(self._strategy, key, self._arguments)
        passed, used, remaining, reset = answer
        standing = Standing(bool(passed), float(used), int(remaining), int(reset) / 1e6)
        if not standing.passed:
            if len(self._refused) >= _MOST_REFUSED:
                self._refused.clear()
            self._refused[key] = (time.monotonic() + standing.reset_after, standing.used)
        return standing
