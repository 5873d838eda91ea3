"""The threads in which a disk store works, so that no disk ever holds up the event loop.

One thread looks entries up, one changes the database, one tidies up, and some move bodies. (Not the threads that the
rest of the worker shares: each has a connection to the database, which must be closed in it.)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Literal, TypeVar

BODY_THREADS: Final = 4
"""Threads that read and write bodies."""

Kind = Literal["finding", "changing", "tending", "bodies"]
T = TypeVar("T")


class Threads:
    """Threads of a store, started when they are needed, in the process that needs them."""

    def __init__(self) -> None:
        self._pid = 0
        self._pools: dict[Kind, ThreadPoolExecutor] = {}
        self.closed = False
        """Whether no thread is started any more."""

    def forked(self) -> bool:
        """Return whether this process is another one than before, and forget its threads if so."""
        if self._pid == os.getpid():
            return False
        was_used = bool(self._pools)
        self._pid, self._pools = os.getpid(), {}
        return was_used

    async def run(self, kind: Kind, call: Callable[..., T], *arguments: Any) -> T:
        """Run a function in a thread; it goes on if the caller is cancelled."""
        return await asyncio.wrap_future(self.start(kind, call, *arguments))

    def start(self, kind: Kind, call: Callable[..., T], *arguments: Any) -> Future[T]:
        """Begin to run a function in a thread.

        :raises RuntimeError: the threads are closed.
        """
        if self.closed:
            raise RuntimeError("the store is closed")
        if (pool := self._pools.get(kind)) is None:
            most = BODY_THREADS if kind == "bodies" else 1
            pool = self._pools[kind] = ThreadPoolExecutor(most, f"pingap-cache-{kind}")
        return pool.submit(call, *arguments)

    def start_last(self, kind: Kind, call: Callable[[], None]) -> None:
        """Run a function in a thread, or here if the threads are closed."""
        try:
            self.start(kind, call)
        except RuntimeError:
            call()

    async def close(self, last: Callable[[], None]) -> None:
        """Run a function as the last one in each thread of the database, and end the threads."""
        if self.closed:
            return
        kinds: tuple[Kind, ...] = ("finding", "changing", "tending")
        ends = [self.start(kind, last) for kind in kinds if kind in self._pools]
        self.closed = True
        for end in ends:
            with suppress(asyncio.CancelledError):
                await asyncio.wrap_future(end)
        for pool in self._pools.values():
            pool.shutdown(wait=False)
