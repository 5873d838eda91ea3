"""A limit to how long code may hold up a process."""

from __future__ import annotations

import inspect
import signal
import sys
import time
from types import FrameType
from typing import Any

import pytest

from pingap.host.time_limit import time_limit


def test_what_takes_longer_is_interrupted_and_nothing_else() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"), time_limit(0.05):
        time.sleep(10)
    with time_limit(60):
        pass
    assert _left() == (0, before)


def test_an_interruption_right_before_the_end_leaves_no_timer() -> None:
    """It would go on to interrupt whatever runs later."""
    before = signal.getsignal(signal.SIGALRM)
    code = inspect.unwrap(time_limit).__code__
    lines, first = inspect.getsourcelines(code)
    stops = next(at for at, line in enumerate(lines, first) if "ITIMER_REAL, 0)" in line)

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        if event == "line" and frame.f_lineno == stops:
            sys.settrace(None)
            signal.raise_signal(signal.SIGALRM)
        return trace if frame.f_code is code else None

    tracer = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(TimeoutError), time_limit(60):
            pass
    finally:
        sys.settrace(tracer)
    assert _left() == (0, before)


def _left() -> tuple[float, object]:
    left, handler = signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return left, handler
