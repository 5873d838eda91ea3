"""Python work that takes long, in a thread beside the event loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TypeVar

import anyio.to_thread

T = TypeVar("T")

SWITCH_SECONDS: Final = 0.0005
"""How long the thread may keep the interpreter while a request waits; by default 5 ms."""

_before = 0.0
_running = 0


async def in_thread(work: Callable[[], T]) -> T:
    """Run a function that computes in a thread, and return its result; requests go on meanwhile.

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
