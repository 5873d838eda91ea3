"""Waiting for something that happens in the background."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object]) -> None:
    end = time.perf_counter() + 30
    while not condition():
        assert time.perf_counter() < end, "it did not happen in time"
        time.sleep(0.02)
