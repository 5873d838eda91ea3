"""A circuit breaker as a state machine (config.md 6.4): no IO, and time is passed in.

``Breakers`` puts one in front of each peer of an upstream.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum

from pingap.upstream.window import SlidingWindow


class State(IntEnum):
    """What a breaker does with requests; the numbers are those of the metric."""

    CLOSED = 0
    """It lets them through."""
    OPEN = 1
    """It refuses them."""
    HALF_OPEN = 2
    """It lets a few through, to see how they fare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a breaker opens and closes.

    :param max_consecutive_failures: failures in a row that trip it; 0: they do not.
    :param max_failure_percent: percentage of failures in the window that trips it; 0: it does not.
    :param min_requests: attempts in the window before the percentage counts.
    :param probes: attempts at once while half-open, and successes in a row that close it.
    :param open_duration: seconds it stays open.
    :param window: length of the window in seconds.
    """

    max_consecutive_failures: int = 0
    max_failure_percent: int = 0
    min_requests: int = 10
    probes: int = 5
    open_duration: float = 10.0
    window: float = 60.0


class FailureCounts:
    """What a closed breaker knows of the attempts so far: those of this worker."""

    __slots__ = ("_window", "in_a_row")

    def __init__(self, window: float) -> None:
        self._window = SlidingWindow(window)
        self.in_a_row = 0
        """Failures since the last success."""

    def count(self, now: float, *, failed: bool) -> None:
        """Count an attempt."""
        self._window.count(now, 1, int(failed))
        self.in_a_row = self.in_a_row + 1 if failed else 0

    @property
    def lately(self) -> tuple[int, int]:
        """Attempts in the window, and the failed ones among them."""
        return self._window.events, self._window.bad

    def clear(self) -> None:
        """Begin anew."""
        self._window.clear()
        self.in_a_row = 0


class CircuitBreaker:
    """A breaker: told when attempts begin and end, it tells whether another one may begin.

    An attempt is known by a token of the caller's. ``admit`` and ``release`` stand around it,
    whatever becomes of it; ``succeeded`` or ``failed`` come between, unless nothing was learnt.
    An attempt that began before the breaker was half-open is no probe, and changes nothing then.

    :param settings: when it opens and closes.
    """

    __slots__ = (
        "_counts",
        "_probes",
        "_settings",
        "_successes",
        "open_until",
        "reason",
        "state",
    )

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._counts = FailureCounts(settings.window)
        self._probes: set[Hashable] = set()
        self._successes = 0  # in a row, while half-open
        self.state = State.CLOSED
        self.open_until = 0.0
        """When it becomes half-open, or became it."""
        self.reason = ""
        """Why it opened last, for people."""

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.state.name.lower()} {len(self._probes)} probes>"

    @property
    def refuses(self) -> bool:
        """Whether no attempt may begin now."""
        if self.state is State.CLOSED:
            return False
        return self.state is State.OPEN or len(self._probes) >= self._settings.probes

    def admit(self, token: Hashable) -> None:
        """Take note that an attempt begins."""
        if self.state is State.HALF_OPEN:
            self._probes.add(token)

    def release(self, token: Hashable) -> None:
        """Take note that an attempt is over: a probe gives its place back."""
        self._probes.discard(token)

    def succeeded(self, token: Hashable, now: float) -> None:
        """Take note that an attempt went well."""
        if self.state is State.CLOSED:
            self._counts.count(now, failed=False)
        elif self.state is State.HALF_OPEN and token in self._probes:
            self._successes += 1
            if self._successes >= self._settings.probes:
                self.close()

    def failed(self, token: Hashable, now: float) -> None:
        """Take note that an attempt failed: no connection, no answer, or a bad status."""
        if self.state is State.CLOSED:
            self._counts.count(now, failed=True)
            if reason := self._too_much():
                self.open(now + self._settings.open_duration, reason)
        elif self.state is State.HALF_OPEN and token in self._probes:
            self.open(now + self._settings.open_duration, "a probe failed")

    def _too_much(self) -> str:
        """Return why the breaker trips; empty if it does not."""
        settings, in_a_row = self._settings, self._counts.in_a_row
        if 0 < settings.max_consecutive_failures <= in_a_row:
            return f"{in_a_row} failures in a row"
        events, bad = self._counts.lately
        percent = settings.max_failure_percent
        if percent and events >= settings.min_requests and bad * 100 >= percent * events:
            return f"{bad} failures of {events} requests"
        return ""

    def open(self, until: float, reason: str) -> None:
        """Refuse attempts until then."""
        self.state = State.OPEN
        self.open_until = until
        self.reason = reason
        self._counts.clear()
        self._probes.clear()

    def wake(self, now: float) -> None:
        """Become half-open, if it was open for long enough."""
        if self.state is State.OPEN and now >= self.open_until:
            self.state = State.HALF_OPEN
            self._successes = 0

    def close(self) -> None:
        """Let all attempts through again; what was counted before is forgotten."""
        self.state = State.CLOSED
        self._counts.clear()
        self._probes.clear()
