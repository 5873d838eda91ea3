"""Plugins that failed: counted always, told in the log with their place, but not for every request."""

from __future__ import annotations

import logging
import time
import traceback
from typing import Final

from pingap.errors import PluginError

log = logging.getLogger("pingap")

REPEAT_SECONDS: Final = 10.0
"""How often the same failure is told at most."""
_MOST_KNOWN: Final = 1024


class PluginFailures:
    """What became of plugins that raised, for all servers of a worker."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        """(plugin instance, location) -> how often it failed."""
        self._told: dict[tuple[str, str, str], tuple[float, int]] = {}

    def report(self, error: PluginError, location: str) -> None:
        """Count a failure, and tell it unless it was told lately."""
        key = error.instance, location
        self.counts[key] = self.counts.get(key, 0) + 1
        cause = error.__cause__
        place = place_of(cause)
        what = error.instance, location, place
        now = time.monotonic()
        told_at, silent = self._told.get(what, (0.0, 0))
        if told_at and now - told_at < REPEAT_SECONDS:
            self._told[what] = told_at, silent + 1
            return
        if len(self._told) >= _MOST_KNOWN:
            self._told.clear()
        self._told[what] = now, 0
        more = f" ({silent} more since it was told last)" if silent else ""
        reason = f"{type(cause).__name__}: {cause}" if cause is not None else ""
        text = "%s, location %s, at %s: %s%s"
        log.error(text, error, location or "-", place or "-", reason, more, exc_info=cause)


def place_of(error: BaseException | None, file: str = "") -> str:
    """Return file and line of the innermost frame.

    :param file: frames of this file go before others.
    """
    frames = list(traceback.extract_tb(error.__traceback__)) if error is not None else []
    frames.sort(key=lambda frame: frame.filename == file)  # stable: the innermost stays last
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
