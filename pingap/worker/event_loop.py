"""The event loop of a worker: uvloop where there is one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

try:
    import uvloop  # noqa: F401
except ImportError:  # not on this platform: plain asyncio serves, more slowly
    _UVLOOP = False
else:
    _UVLOOP = True

T = TypeVar("T")


def run_loop(main: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function to its end, on the loop for moving requests."""
    return anyio.run(main, backend="asyncio", backend_options={"use_uvloop": _UVLOOP})
