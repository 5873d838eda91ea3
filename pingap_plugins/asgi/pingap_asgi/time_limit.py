"""The time limit of applications: ``asgi_read_timeout``.

A sweep checks all requests of a location, so that none of them needs a timer.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final

from pingap import OriginCall
from pingap_asgi.http import HttpCycle
from pingap_asgi.protocol import Message

_SHARE: Final = 10  # of the limit: how exact it is
_LONGEST_PAUSE: Final = 1.0


class TimedCycle(HttpCycle):
    """A request whose application must not keep the client waiting.

    :ivar since: when it began to (``time.monotonic``); infinite while it waits itself, for the body of the
        request or for a slow client.
    """

    __slots__ = ("call", "since", "timed_out")

    def __init__(self, call: OriginCall) -> None:
        super().__init__(call)
        self.call = call
        self.since = time.monotonic()
        self.timed_out = False

    async def receive(self) -> Message:
        """Receive; the clock stops only while there is more of the body."""
        if self._asked:
            return (
                await super().receive()
            )  # many applications wait here for the end while they work
        self.since = math.inf
        try:
            return await super().receive()
        finally:
            self.since = time.monotonic()

    async def send(self, message: Message) -> None:
        """Send; the clock begins again afterwards."""
        self.since = math.inf
        try:
            await super().send(message)
        finally:
            self.since = time.monotonic()


class TimeLimit:
    """Ends requests whose application takes too long.

    :param seconds: how long it may take for the next part of a response.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tasks: dict[TimedCycle, asyncio.Task[None]] = {}

    def add(self, cycle: TimedCycle, task: asyncio.Task[None]) -> None:
        """Watch a request, until its task ends.

        :param task: runs the application.
        """
        self._tasks[cycle] = task
        task.add_done_callback(lambda _: self._tasks.pop(cycle, None))

    async def watch(self) -> None:
        """Look at all requests from time to time, until cancelled."""
        pause = min(_LONGEST_PAUSE, self._seconds / _SHARE)
        while True:
            await asyncio.sleep(pause)
            self._sweep(time.monotonic())

    def _sweep(self, now: float) -> None:
        for cycle, task in list(self._tasks.items()):
            if cycle.call.is_over:  # what follows is work after the response
                del self._tasks[cycle]
            elif now - cycle.since > self._seconds:
                cycle.timed_out = True
                cycle.call.time_out()
                task.cancel()
