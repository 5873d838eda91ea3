"""Waiting for what other threads and processes do.

A test of a plugin waits with what ``pingap.testing`` has: for a request, a line of a log, the proxy to settle.
"""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE = 20.0
"""Seconds after which something that should have happened has not."""


def until(condition: Callable[[], object], what: str = "", seconds: float = DEADLINE) -> None:
    """Return once a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what or "it did not happen in time"
        time.sleep(0.01)
