"""Failures of plugins: always counted, and logged with their place, but not for every request."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pingap.http.errors import OriginError, PluginError
from pingap.observability.failures import COUNTED, Failure

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request

log = logging.getLogger("pingap")

REPEAT_SECONDS: Final = 10.0
"""Minimum interval between log lines of the same failure."""
_MOST_KNOWN: Final = 1024
_OURS: Final = str(Path(__file__).parents[1]) + os.sep


class PluginFailures:
    """The failures of plugins, for all servers of a worker."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}
        """(plugin instance, location) -> how often it failed."""
        self.on_failure: Callable[[Failure], None] | None = None
        """Called for each failure; never raises."""
        self._told: dict[tuple[str, str, str, str], tuple[float, int]] = {}

    def report(
        self,
        error: PluginError | OriginError,
        location: str,
        request: Request | None = None,
        ctx: RequestContext | None = None,
    ) -> None:
        """Count a failure, and log it unless the same one was logged recently."""
        key = error.instance, location
        self.counts[key] = self.counts.get(key, 0) + 1
        cause = error.__cause__
        if self.on_failure is not None:
            self.on_failure(Failure(cause or error, error.instance, request, ctx))
        place = place_of(cause, error.place.rpartition(":")[0], otherwise=error.place)
        if cause is not None and place == error.place:
            cause.__traceback__ = None  # it only leads to pingap, which is not at fault
        what = error.instance, location, error.hook, place
        now = time.monotonic()
        told_at, silent = self._told.get(what, (0.0, 0))
        if told_at and now - told_at < REPEAT_SECONDS:
            self._told[what] = told_at, silent + 1
            return
        if len(self._told) >= _MOST_KNOWN:
            self._told.clear()
        self._told[what] = now, 0
        more = f" ({silent} more since it was last logged)" if silent else ""
        reason = f"{type(cause).__name__}: {cause}" if cause is not None else ""
        where = f", location {location}" if location else ""
        text = "%s%s, at %s: %s%s"
        arguments = (error, where, place or "-", reason, more)
        log.error(text, *arguments, exc_info=cause, extra={COUNTED: True})


def place_of(error: BaseException | None, file: str = "", *, otherwise: str = "") -> str:
    """Return file and line of the innermost frame, preferring frames outside of pingap.

    :param file: frames of this file are preferred over others.
    :param otherwise: the result if all frames are pingap's own: the caller is then at fault.
    """
    frames = list(traceback.extract_tb(error.__traceback__)) if error is not None else []
    # The sort is stable: the innermost stays last.
    frames.sort(key=lambda frame: (_is_foreign(frame.filename), frame.filename == file))
    if otherwise and not (frames and _is_foreign(frames[-1].filename)):
        return otherwise
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _is_foreign(file: str) -> bool:
    return not file.startswith(_OURS)
