"""Work that connections leave over, so that none of them keeps the others waiting.

One read may hold thousands of requests or frames, and the event loop serves nobody else until they
are done. So a connection does one piece of work (a request, a frame, a TLS record) whenever something
comes, and more only while this turn of the loop has time. What is left over is served in the following
turns, each connection in its order; meanwhile it is not read, so that no more piles up.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from pingap.wire.write_batch import WriteBatch

SECONDS: Final = 0.002
"""Of each turn of the loop, for all work beyond the first piece of each connection."""
PIECE: Final = 16 * 1024
"""Bytes that are looked at in one go, where each of them may be a message of its own."""
FULL_READ: Final = 240 * 1024
"""Bytes after which the event loop may read on from the same socket before it looks at others.
(libuv does so, up to 32 times, when a read fills its buffer, which for uvloop has 250 KB.)"""
LAST_SECONDS: Final = 0.05
"""For what came before a connection to an upstream was lost: no turn follows for it."""


def last_time() -> Callable[[], bool]:
    """Return what takes the place of ``Backlog.has_time`` once a connection is lost."""
    until = time.monotonic() + LAST_SECONDS
    return lambda: time.monotonic() < until


class Worker(Protocol):
    """A connection that may leave work over."""

    def on_turn(self) -> None:
        """Go on, as long as ``Backlog.has_time``."""


class Backlog:
    """The connections of a worker that have work left over.

    :param writes: of the worker; what was answered leaves before more work is done.
    """

    def __init__(self, writes: WriteBatch) -> None:
        self._writes = writes
        self._waiting: OrderedDict[Worker, None] = OrderedDict()
        self._until = 0.0
        self._in_turn = False  # the time of this turn runs

    def has_time(self) -> bool:
        """Tell whether a connection may do another piece of work in this turn."""
        if self._in_turn:
            return time.monotonic() < self._until
        self._begin()
        return True

    def add(self, worker: Worker) -> None:
        """Call ``on_turn`` of a connection in one of the next turns, after those that wait already."""
        self._waiting[worker] = None
        if not self._in_turn:
            self._begin()

    def _begin(self) -> None:
        self._in_turn = True
        self._until = time.monotonic() + SECONDS
        asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._in_turn = False
        waiting = self._waiting
        if not waiting:
            return
        self._begin()  # first: a defect of one connection must not keep the others waiting for ever
        self._writes.flush()
        for _ in range(len(waiting)):
            worker, _ = waiting.popitem(last=False)
            worker.on_turn()
            if time.monotonic() >= self._until:
                break

    def __repr__(self) -> str:
        return f"<Backlog of {len(self._waiting)} connections>"


class Leftover:
    """Bytes that were received and not looked at yet."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def put(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._data = self._data[self._at :] + data if len(self) else data
        self._at = 0

    def take(self, size: int) -> bytes:
        """Remove so many bytes from the front, or as many as there are, and return them."""
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data
