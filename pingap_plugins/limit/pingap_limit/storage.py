"""The storage of the library limits over pingap's shared state.

Each change is atomic, so strategies are exact over all workers. Times are monotonic; where the library expects
the time of day, they are converted.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from struct import Struct
from typing import Final

from limits.storage import MovingWindowSupport, SlidingWindowCounterSupport, Storage

from pingap import Quota, SharedQuotas

_fixed: Final = Struct("=qd")
"""Count, and the end of the window."""
_sliding: Final = Struct("=qqq")
"""Number of the window, count of the one before, count."""
_gcra: Final = Struct("=d")
"""The time at which everything will be available again."""

MOST_TIMES: Final = 512
"""Times of requests that fit into a value of the shared state."""
_ROUNDING: Final = 1 + 1e-9


class SharedStorage(Storage, MovingWindowSupport, SlidingWindowCounterSupport):
    """The counts of one limit.

    :param quotas: where they are kept; with values of 8 * ``limit`` bytes for moving windows.
    :param limit: the amount of the limit. Clients that have used it up are forgotten last.
    """

    STORAGE_SCHEME = None

    def __init__(self, quotas: SharedQuotas, limit: float) -> None:
        super().__init__()
        self._quotas = quotas
        self._limit = limit

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing that could fail."""
        return RuntimeError

    # Fixed windows.

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, in a window that begins with the first request."""
        now, count = time.monotonic(), 0

        def compute(value: bytes | None) -> Quota:
            nonlocal count
            count, end = _fixed.unpack(value) if value else (0, now + expiry)
            count += amount
            return Quota(_fixed.pack(count, end), max(end - now, 1e-6), count > self._limit - 1)

        self._quotas.change(key, compute, now)
        return count

    def get(self, key: str) -> int:
        """Return the count."""
        value = self._quotas.get(key)
        return int(_fixed.unpack(value)[0]) if value else 0

    def get_expiry(self, key: str) -> float:
        """Return the time of day at which the window ends."""
        value = self._quotas.get(key)
        end = _fixed.unpack(value)[1] if value else time.monotonic()
        return _time_of_day(end)

    # Moving windows: the times of all requests that passed.

    def acquire_entry(self, key: str, limit: int, expiry: float, amount: int = 1) -> bool:
        """Note the time of a request that passes."""
        now, passed = time.monotonic(), False

        def compute(value: bytes | None) -> Quota | None:
            nonlocal passed
            times = _recent(value, now - expiry)
            passed = len(times) + amount <= limit
            if not passed:
                return None
            times.extend([now] * amount)
            return Quota(times.tobytes(), expiry, len(times) >= limit)

        self._quotas.change(key, compute, now)
        return passed

    def get_moving_window(self, key: str, limit: int, expiry: float) -> tuple[float, int]:
        """Return the time of day of the first request in the window, and the number of requests."""
        now = time.monotonic()
        times = _recent(self._quotas.get(key, now), now - expiry)
        return _time_of_day(times[0] if times else now), len(times)

    # Windows of a fixed length, of which the last two are weighed.

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: float, amount: int = 1
    ) -> bool:
        """Count a request that passes."""
        now, passed = time.monotonic(), False

        def compute(value: bytes | None) -> Quota | None:
            nonlocal passed
            piece, before, count = _pieces(value, now, expiry)
            left = (piece + 1) * expiry - now
            used = int(before * left / expiry) + count + amount
            passed = used <= limit
            if not passed:
                return None
            packed = _sliding.pack(piece, before, count + amount)
            return Quota(packed, left + expiry, used >= limit)

        self._quotas.change(key, compute, now)
        return passed

    def get_sliding_window(self, key: str, expiry: float) -> tuple[int, float, int, float]:
        """Return count and remaining time of the window before, and of the current one."""
        now = time.monotonic()
        piece, before, count = _pieces(self._quotas.get(key, now), now, expiry)
        left = (piece + 1) * expiry - now
        return before, left, count, left + expiry

    def clear_sliding_window(self, key: str, expiry: float) -> None:
        """Forget a client."""
        self.clear(key)

    # Beyond the strategies of the library.

    def estimate(self, key: str, expiry: float, weight: float) -> tuple[float, float]:
        """Count a request, whether it passes or not; weigh this window and the one before.

        :param weight: of the current window, 0 to 1.
        :returns: the estimate, and the seconds until the window ends.
        """
        now, used, left = time.monotonic(), 0.0, 0.0

        def compute(value: bytes | None) -> Quota:
            nonlocal used, left
            piece, before, count = _pieces(value, now, expiry)
            count += 1
            left = (piece + 1) * expiry - now
            # Never less than what came in this window: a client that was silent gets no double share.
            used = max(count, before * (1 - weight) + count * weight)
            return Quota(_sliding.pack(piece, before, count), left + expiry, used > self._limit - 1)

        self._quotas.change(key, compute, now)
        return used, left

    def get_estimate(self, key: str, expiry: float, weight: float) -> tuple[float, float]:
        """Return the same without counting."""
        now = time.monotonic()
        piece, before, count = _pieces(self._quotas.get(key, now), now, expiry)
        used = max(count, before * (1 - weight) + count * weight)
        return used, (piece + 1) * expiry - now

    def acquire_gcra(self, key: str, step: float, burst: int) -> bool:
        """Let a request pass if there is one left.

        :param step: seconds after which there is one more.
        :param burst: how many there are at most.
        """
        now, passed, most = time.monotonic(), False, step * burst * _ROUNDING

        def compute(value: bytes | None) -> Quota | None:
            nonlocal passed
            full_at = max(_gcra.unpack(value)[0], now) if value else now
            debt = full_at - now + step
            passed = debt <= most
            return Quota(_gcra.pack(now + debt), debt, debt + step > most) if passed else None

        self._quotas.change(key, compute, now)
        return passed

    def get_gcra(self, key: str) -> float:
        """Return the seconds until everything is available again."""
        now = time.monotonic()
        value = self._quotas.get(key, now)
        return float(max(_gcra.unpack(value)[0] - now, 0.0)) if value else 0.0

    # What every storage has.

    def check(self) -> bool:
        """Tell that it works."""
        return True

    def reset(self) -> None:
        """Refuse: the entries of a limit are not listed anywhere.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError("the shared state has no list of its keys")

    def clear(self, key: str) -> None:
        """Forget a client."""
        self._quotas.change(key, lambda _: Quota(b"", 1e-6, used_up=False))


def _recent(value: bytes | None, since: float) -> array[float]:
    """Return the times of a value that are later than another one."""
    times = array("d", value or b"")
    return times[bisect_right(times, since) :]


def _pieces(value: bytes | None, now: float, seconds: float) -> tuple[int, int, int]:
    """Return the number of the current window, the count of the one before, and the current count."""
    piece = int(now // seconds)
    if not value:
        return piece, 0, 0
    noted, before, count = _sliding.unpack(value)
    if noted == piece:
        return piece, before, count
    return piece, count if noted == piece - 1 else 0, 0


def _time_of_day(monotonic: float) -> float:
    return time.time() + monotonic - time.monotonic()
