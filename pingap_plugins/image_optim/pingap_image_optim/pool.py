"""The processes of one plugin instance in one worker: few at a time, replaced when they fail."""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import Final

import anyio
import anyio.to_thread

from pingap import BackgroundTasks
from pingap_image_optim.converter import Converter
from pingap_image_optim.jobs import BUSY, CRASH, TIMEOUT, Job, Reply

WAITING_PER_PROCESS: Final = 16
"""Images that may wait for each process; others stay as they are."""
REMEMBERED_SECONDS: Final = 600.0
"""How long an image is not tried again that has crashed a process or took too long."""
MOST_REMEMBERED: Final = 1000
_QUICK: Final = 256 * 1024
"""Bytes that are hashed in the event loop."""


class Pool:
    """Converts images in processes.

    Equal images that are asked for at the same time are converted once.

    :param processes: how many.
    :param memory: bytes of address space of each.
    """

    def __init__(self, processes: int, memory: int) -> None:
        self._memory = memory
        self._most = processes * (1 + WAITING_PER_PROCESS)
        self._threads = anyio.CapacityLimiter(processes)
        self._tasks: BackgroundTasks | None = None
        self._works: dict[bytes, Work] = {}
        self._failures: dict[bytes, tuple[float, str]] = {}
        self._idle: list[Converter] = []
        self._running: set[Converter] = set()

    def open(self, tasks: BackgroundTasks) -> None:
        """Convert images from now on.

        :param tasks: that run as long as the plugin does.
        """
        self._tasks = tasks

    def close(self) -> None:
        """End all processes: at once those that wait; the threads of the others see it."""
        self._tasks = None
        for converter in list(self._running):
            converter.kill()
        while self._idle:
            self._idle.pop().close()

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that wait for images."""
        return [one.pid for one in self._idle]

    async def convert(self, job: Job, data: bytes) -> Reply:
        """Return what became of an image, or why it stays as it is; ``job.seconds`` after the call at the latest."""
        key = await _key(job, data)
        if (failure := self._remembered(key)) is not None:
            return Reply(failure)
        work = self._works.get(key)
        if work is None:
            if self._tasks is None or len(self._works) >= self._most:
                return Reply(BUSY)
            work = self._works[key] = Work(job, data)
            self._tasks.start_soon(self._run, key, work)
        work.waiting += 1
        try:
            with anyio.move_on_after(job.seconds):
                await work.done.wait()
        finally:
            work.waiting -= 1
        # (Without a reply, others were before it for all that time, or this one has hung.)
        return work.reply or Reply(TIMEOUT if work.began else BUSY)

    async def _run(self, key: bytes, work: Work) -> None:
        try:
            work.reply = await anyio.to_thread.run_sync(self._convert, work, limiter=self._threads)
        finally:
            del self._works[key]
            work.done.set()
        if work.reply.outcome in (CRASH, TIMEOUT) and work.began:
            self._remember(key, work.reply.outcome)

    def _convert(self, work: Work) -> Reply:
        """Convert an image, in a thread."""
        if not work.waiting or self._tasks is None:
            return Reply(BUSY)
        try:
            converter = self._idle.pop() if self._idle else Converter(self._memory)
        except OSError as error:
            return Reply(CRASH, detail=f"no process: {error}")
        work.began = True
        self._running.add(converter)
        try:
            reply = converter.convert(work.job, work.data)
        finally:
            self._running.discard(converter)
        if reply.outcome not in (CRASH, TIMEOUT):
            self._put_back(converter)
        return reply

    def _put_back(self, converter: Converter) -> None:
        if converter.is_worn or self._tasks is None:
            converter.close()
            return
        self._idle.append(converter)
        if self._tasks is None:  # it was closed just now
            self.close()

    def _remembered(self, key: bytes) -> str | None:
        until, outcome = self._failures.get(key, (0.0, ""))
        if until > time.monotonic():
            return outcome
        self._failures.pop(key, None)
        return None

    def _remember(self, key: bytes, outcome: str) -> None:
        while len(self._failures) >= MOST_REMEMBERED:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = (time.monotonic() + REMEMBERED_SECONDS, outcome)


class Work:
    """One image that is being converted, or waits for that."""

    def __init__(self, job: Job, data: bytes) -> None:
        self.job = job
        self.data = data
        self.waiting = 0
        """How many wait for it."""
        self.began = False
        self.done = anyio.Event()
        self.reply: Reply | None = None


async def _key(job: Job, data: bytes) -> bytes:
    """Return what equal images with equal jobs have in common."""

    def digest() -> bytes:
        return blake2b(job.encode() + b"\0" + data, digest_size=20).digest()

    return digest() if len(data) <= _QUICK else await anyio.to_thread.run_sync(digest)
