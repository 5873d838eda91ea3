"""How the cost of something grows with its size."""

from __future__ import annotations

import time
from collections.abc import Callable


def cost(work: Callable[[int], None], size: int) -> float:
    """Return the CPU seconds of the fastest of a few runs."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work(size)
        times.append(time.process_time() - began)
    return min(times)
