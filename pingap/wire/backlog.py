"""Limits the work of each connection per turn of the event loop, so that none delays the others.

One read can contain thousands of requests or frames, and the event loop serves nothing else until they are
done. So a connection does one piece of work (a request, a frame, a TLS record) whenever data arrives, and
more only while this turn of the loop has time. The rest is done in the following turns, each connection in
its order. Until then it is not read, so that no more data accumulates.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from pingap.wire.write_batch import WriteBatch

SECONDS: Final = 0.002
"""Time per turn of the loop for all work beyond the first piece of each connection."""
PIECE: Final = 16 * 1024
"""Bytes that are examined at a time, when each of them could be a message."""
FULL_READ: Final = 240 * 1024
"""Bytes after which the event loop may continue to read the same socket before it serves others. libuv does
so up to 32 times when a read fills its buffer, which has 250 KB in uvloop."""
LAST_SECONDS: Final = 0.05
"""For data received before a connection to an upstream was lost: there are no further turns."""


def last_time() -> Callable[[], bool]:
    """Return a replacement for ``Backlog.has_time`` once a connection is lost."""
    until = time.monotonic() + LAST_SECONDS
    return lambda: time.monotonic() < until


class Worker(Protocol):
    """A connection that can have work left over."""

    def on_turn(self) -> None:
        """Continue, as long as ``Backlog.has_time``."""


class Backlog:
    """The connections of a worker that have work left over.

    :param writes: of the worker; responses are written before more work is done.
    """

    def __init__(self, writes: WriteBatch) -> None:
        self._writes = writes
        self._waiting: OrderedDict[Worker, None] = OrderedDict()
        self._until = 0.0
        self._in_turn = False  # the time of this turn is running

    def has_time(self) -> bool:
        """Return whether a connection may do another piece of work in this turn."""
        if self._in_turn:
            return time.monotonic() < self._until
        self._begin()
        return True

    def add(self, worker: Worker) -> None:
        """Call ``on_turn`` of a connection in one of the next turns, after those that already wait."""
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
        self._begin()  # first: a bug in one connection must not block the others forever
        self._writes.flush()
        for _ in range(len(waiting)):
            worker, _ = waiting.popitem(last=False)
            worker.on_turn()
            if time.monotonic() >= self._until:
                break

    def __repr__(self) -> str:
        return f"<Backlog of {len(self._waiting)} connections>"


class Leftover:
    """Bytes that were received and not processed yet."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def put(self, data: bytes) -> None:
        """Append bytes."""
        self._data = self._data[self._at :] + data if len(self) else data
        self._at = 0

    def take(self, size: int) -> bytes:
        """Remove up to this many bytes from the front and return them."""
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data
