"""The time of day in log lines: RFC 3339 with milliseconds, formatted at most once a millisecond."""

from __future__ import annotations

import time


class Timestamp:
    """Formats the current local time with offset, and reuses the result while it is valid."""

    def __init__(self) -> None:
        self._fresh_until = 0.0
        self._text = ""
        self._second = -1
        self._prefix = ""
        self._offset = ""

    def at(self, moment: float) -> str:
        """Return ``2026-01-31T12:00:00.123+01:00``.

        :param moment: the current monotonic seconds, which the caller has already read.
        """
        if moment >= self._fresh_until:
            self._text = self._now()
            self._fresh_until = moment + 0.001
        return self._text

    def forget(self) -> None:
        """Drop the cached result: in tests, the monotonic clock can be set back."""
        self._fresh_until = 0.0

    def now(self) -> str:
        """Return the current time."""
        return self.at(time.monotonic())

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            local = time.localtime(second)
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", local)
            zone = time.strftime("%z", local)
            self._offset = f"{zone[:3]}:{zone[3:]}"
        return f"{self._prefix}.{int((now - second) * 1000):03d}{self._offset}"


_clock = Timestamp()
forget_local_time = _clock.forget
local_time = _clock.now
"""Return the current local time."""
local_time_at = _clock.at
"""Return the current local time, given the monotonic seconds."""
