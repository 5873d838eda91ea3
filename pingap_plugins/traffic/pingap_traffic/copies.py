"""Copies of requests that wait to be sent: bounded in number and in memory, and nobody waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pingap import BackgroundTasks, BodyFilter, Headers, Request, RequestOutcome

OVERHEAD: Final = 2048
"""Bytes that a copy takes besides the text of its head and its body."""
COPIED: Final = "copied"


@dataclass(slots=True)
class Memory:
    """The memory that all copies of a worker may use.

    :param limit: bytes.
    :param used: bytes.
    """

    limit: int
    used: int = 0

    def take(self, size: int) -> bool:
        """Take memory; return False if there is too little."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True


class Copy:
    """The copy of a request: its head, and its body as it passes.

    :param memory: what it may use.
    :param max_body: maximum number of bytes of the body.
    :param has_body: whether a body follows.
    """

    __slots__ = ("_body", "_body_is_missing", "_left", "_memory", "_taken", "head", "result")

    head: Request | None
    result: str
    """``copied``, or the reason why there is no copy; empty while it is undecided."""

    def __init__(self, memory: Memory, max_body: int, *, has_body: bool) -> None:
        self._memory = memory
        self._left = max_body
        self._body_is_missing = has_body
        self._body = bytearray()  # a list of tiny chunks would take much more than their sum
        self._taken = 0
        self.head = None
        self.result = ""

    @property
    def is_ready(self) -> bool:
        """Whether it is complete and can be sent."""
        return not (self.result or self._body_is_missing or self.head is None)

    @property
    def body(self) -> bytes:
        """The body so far."""
        return bytes(self._body)

    def begin(self, head: Request) -> None:
        """Keep the head."""
        size = len(head.target) + sum(map(len, head.headers.lines))
        if self._take(OVERHEAD + size):
            self.head = head

    def feed(self, chunk: bytes) -> None:
        """Keep a piece of the body."""
        if self.result:
            return
        self._left -= len(chunk)
        if self._left < 0:
            self.drop("body")
        elif self._take(len(chunk)):
            self._body += chunk

    def end(self) -> None:
        """Record that the body is complete."""
        self._body_is_missing = False

    def drop(self, reason: str) -> None:
        """Give the copy up, unless that was done before, or it is being sent."""
        if not self.result:
            self.result = reason
            self.release()

    def release(self) -> None:
        """Give the memory back."""
        self._memory.used -= self._taken
        self._taken = 0
        self._body = bytearray()

    def _take(self, size: int) -> bool:
        if not self._memory.take(size):
            self.drop("memory")
            return False
        self._taken += size
        return True


class BodyCopier(BodyFilter):
    """Copies a body that passes.

    :param copy: the copy.
    :param on_end: called when it has the whole body.
    """

    def __init__(self, copy: Copy, on_end: Callable[[Copy], None]) -> None:
        self._copy = copy
        self._on_end = on_end

    def feed(self, chunk: bytes) -> bytes:
        """Copy a piece, and pass it on."""
        self._copy.feed(chunk)
        return chunk

    def end(self, trailers: Headers) -> bytes:
        """Record the end."""
        self._copy.end()
        self._on_end(self._copy)
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Give the copy up: its body is incomplete."""
        self._copy.drop("incomplete")


class Sending:
    """Sends copies, some of them at the same time, while others wait.

    :param tasks: runs the sending.
    :param send: sends one copy.
    :param most: how many are sent at the same time.
    :param size: how many may wait.
    """

    def __init__(
        self,
        tasks: BackgroundTasks,
        send: Callable[[Copy], Awaitable[None]],
        most: int,
        size: int,
    ) -> None:
        self._tasks = tasks
        self._send = send
        self._most = most
        self._size = size
        self._running = 0
        self._waiting: deque[Copy] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def put(self, copy: Copy) -> None:
        """Send a copy now or later, or drop it if too many wait."""
        if self._running < self._most:
            self._running += 1
            self._tasks.start_soon(self._serve, copy)
        elif len(self._waiting) < self._size:
            self._waiting.append(copy)
        else:
            copy.drop("queue")
            return
        copy.result = COPIED

    async def _serve(self, copy: Copy) -> None:
        """Send a copy, and then those that wait."""
        try:
            while True:
                try:
                    await self._send(copy)
                finally:
                    copy.release()
                if not self._waiting:
                    return
                copy = self._waiting.popleft()
        finally:
            self._running -= 1
