"""The event loop of a worker: uvloop if available."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

try:
    import uvloop  # noqa: F401
except ImportError:  # not available on this platform: plain asyncio works too, but slower
    _UVLOOP = False
else:
    _UVLOOP = True

T = TypeVar("T")


def run_loop(main: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function to its end, on the event loop of a worker."""
    return anyio.run(main, backend="asyncio", backend_options={"use_uvloop": _UVLOOP})
