"""Running slow Python code in a thread, so that it does not block the event loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TypeVar

import anyio.to_thread

T = TypeVar("T")

SWITCH_SECONDS: Final = 0.0005
"""Switch interval of the interpreter while such a thread runs; Python's default is 5 ms."""

_before = 0.0
_running = 0


async def in_thread(work: Callable[[], T]) -> T:
    """Run a CPU-bound function in a thread and return its result; requests are served meanwhile.

    :raises Exception: whatever the function raises.
    """
    global _before, _running
    if not _running:
        _before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
    _running += 1
    try:
        return await anyio.to_thread.run_sync(work)
    finally:
        _running -= 1
        if not _running:
            sys.setswitchinterval(_before)
