"""Running slow Python code in a thread, so that it does not block the event loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")

SWITCH_SECONDS: Final = 0.0005
"""Switch interval of the interpreter while such a thread runs; Python's default is 5 ms."""

_limiter: Final[RunVar[anyio.CapacityLimiter]] = RunVar("pingap_background")


async def in_thread(work: Callable[[], T]) -> T:
    """Run a CPU-bound function in a thread and return its result, while requests are served.

    One at a time for each event loop: several threads would leave the loop too small a share of the
    interpreter.

    :raises Exception: any exception of the function.
    """
    async with _one_at_a_time():
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            return await anyio.to_thread.run_sync(work)
        finally:
            sys.setswitchinterval(before)


def _one_at_a_time() -> anyio.CapacityLimiter:
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(1)
        _limiter.set(limiter)
    return limiter
