"""A clock that tests can move: the time of the module ``time`` runs ahead of real time in this process."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from pingap.observability.timestamps import forget_local_time
from pingap.testing import worker_thread

_REAL: Final = (time.time, time.time_ns, time.monotonic, time.monotonic_ns)


class Clock:
    """Moves ``time.time``, ``time.time_ns``, ``time.monotonic`` and ``time.monotonic_ns`` ahead.

    They are moved for the whole process: for pingap, for plugins and for the test. Time also passes normally.
    Not moved are ``time.perf_counter``, ``time.localtime()`` and ``datetime.now()`` without an explicit time,
    functions that a module imported by name earlier (``from time import time``), sleeps (``time.sleep``,
    ``anyio.sleep``), time limits of event loop and sockets (``anyio.fail_after``), and other processes.
    """

    def __init__(self) -> None:
        self._ahead = 0

    def advance(self, seconds: float) -> None:
        """Move the time, and let every running proxy handle time limits that have passed.

        Data that clients and upstreams sent before is handled at the old time. When this returns, connections
        and requests that waited too long have been ended.

        :raises ValueError: a negative time.
        """
        if seconds < 0:
            raise ValueError("the clock goes forward only")
        for thread in worker_thread.running():
            thread.settle()
        self._ahead += round(seconds * 1e9)
        for thread in worker_thread.running():
            thread.sweep()
            thread.settle()

    def __enter__(self) -> Self:
        wall, wall_ns, steady, steady_ns = _REAL
        time.time = lambda: wall() + self._ahead / 1e9
        time.time_ns = lambda: wall_ns() + self._ahead
        time.monotonic = lambda: steady() + self._ahead / 1e9
        time.monotonic_ns = lambda: steady_ns() + self._ahead
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        time.time, time.time_ns, time.monotonic, time.monotonic_ns = _REAL
        forget_local_time()
