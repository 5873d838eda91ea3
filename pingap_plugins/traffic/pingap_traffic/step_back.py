"""Whether the new side of a canary fails more often than the old one; the same for all workers."""

from __future__ import annotations

import time
from typing import NamedTuple

from pingap import SharedState, SharedWindow

NEW = "new"
OLD = "old"


class Tally(NamedTuple):
    """What happened on one side within the window.

    :param requests: all of them.
    :param errors: those that failed.
    """

    requests: float
    errors: float

    @property
    def percent(self) -> float:
        """The error rate; 0 without any request."""
        return 100 * self.errors / self.requests if self.requests else 0.0


class Rule(NamedTuple):
    """When the new side is worse.

    :param min_requests: of the new side within the window; with fewer, nothing is decided.
    :param tolerance: percentage points by which its error rate may be higher.
    """

    min_requests: int
    tolerance: float

    def is_worse(self, new: Tally, old: Tally) -> bool:
        """Return whether the new side should get no more requests."""
        enough = round(new.requests) >= self.min_requests  # totals of windows are estimates
        return enough and new.percent - old.percent > self.tolerance


class StepBack:
    """The requests of both sides, and whether the new one is switched off.

    :param name: of this canary in the shared state.
    :param version: a number for its settings: with others, it begins from nothing.
    :param window: seconds that are looked at.
    :param pause: seconds until the new side gets another chance; None: it gets none.
    """

    def __init__(
        self,
        shared: SharedState,
        name: str,
        version: int,
        rule: Rule,
        window: float,
        pause: float | None,
    ) -> None:
        self._name = name
        self._version = version
        self._rule = rule
        self._window = window
        self._pause = pause
        self.shared = shared
        # The version, when the new side was switched off (0: it was not), and the number of its trial.
        self._table = shared.table("pingap_canary", "qdq")
        self._seen = -1
        self._values: tuple[float, ...] | None = None
        self._trial = -1
        self._windows: dict[tuple[str, bool], SharedWindow] = {}

    def begin(self) -> None:
        """Begin from nothing if the settings are others than before; the first worker does it for all."""
        with self._table.locked(self._name) as record:
            version, _, trial = record.values or (None, 0.0, -1)
            if version != self._version:
                record.values = (self._version, 0.0, trial + 1)

    @property
    def is_back(self) -> bool:
        """Whether the new side is switched off."""
        values = self._read()
        if values is None or values[0] != self._version or not values[1]:
            return False
        return self._pause is None or time.monotonic() - values[1] < self._pause

    def count(self, side: str, failed: bool) -> tuple[Tally, Tally] | None:
        """Count a request that has ended.

        :returns: both tallies, new and old, if this request made the new side worse, and switched it off.
        """
        trial = self._current_trial()
        now = time.monotonic()
        self._windows[side, False].count(1, now)
        if not failed:
            return None
        self._windows[side, True].count(1, now)
        if side == OLD or self.is_back:
            return None
        new, old = self._tally(NEW, now), self._tally(OLD, now)
        if not self._rule.is_worse(new, old) or not self._switch_off(trial):
            return None
        return new, old

    def _tally(self, side: str, now: float) -> Tally:
        return Tally(self._windows[side, False].total(now), self._windows[side, True].total(now))

    def _current_trial(self) -> int:
        """Return the number of the trial, each of which has windows of its own."""
        values = self._read()
        trial = 0 if values is None else int(values[2])
        if trial != self._trial:
            self._trial = trial
            for side in (NEW, OLD):
                for failed in (False, True):
                    key = f"pingap_canary/{self._name}/{trial}/{side}/{failed}"
                    self._windows[side, failed] = self.shared.window(key, self._window)
        return trial

    def _read(self) -> tuple[float, ...] | None:
        """Return the record; it seldom changes, and its version costs less."""
        version = self._table.version(self._name)
        if version != self._seen:
            self._values = self._table.get(self._name)
            self._seen = version
        return self._values

    def _switch_off(self, trial: int) -> bool:
        """Switch the new side off; return False if another worker was faster, or has other settings."""
        with self._table.locked(self._name) as record:
            version, _, current = record.values or (self._version, 0.0, trial)
            if version != self._version or current != trial:
                return False
            record.values = (version, time.monotonic(), trial + 1)
        return True
