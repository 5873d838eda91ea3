"""What a request awaits of plugins, each in a task of its own, with a time limit.

A task is made for each call and nothing else: a task group and a cancel scope would cost more than
most async hooks do. All tasks of a worker are known here, so that none outlives it.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pingap.errors import ClientGone
from pingap.net.deadlines import Deadlines

# A hook that awaits nothing ends before ``start`` returns. Before Python 3.12 it takes a turn of
# the event loop.
_EAGER: Final[dict[str, Any]] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Outcome:
    """What becomes of something that runs in a task.

    :param awaitable: what is awaited.
    :param wake: called when it is done.
    :param tasks: those it belongs to.
    """

    __slots__ = (
        "_awaitable",
        "_reason",
        "_task",
        "_tasks",
        "_wake",
        "deadline",
        "done",
        "error",
        "value",
    )

    def __init__(
        self, awaitable: Awaitable[Any], wake: Callable[[], None], tasks: HookTasks
    ) -> None:
        self._awaitable = awaitable
        self._wake = wake
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._reason: Exception | None = None
        self.deadline = math.inf
        self.value: Any = None
        # Cancelled is not "answered None": a guard that was stopped must not let a request pass.
        self.error: Exception | None = ClientGone()
        self.done = False

    def cancel(self, reason: Exception) -> None:
        """End it; ``error`` will be the reason."""
        if self._reason is None and self._task is not None:
            self._reason = reason
            # A task that is cancelled before its first step runs nothing, not even its end.
            self._task.add_done_callback(self._ended)
            self._task.cancel()

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = math.inf
        self.cancel(TimeoutError("it took longer than its timeout"))

    async def run(self) -> None:
        """Await it, in a task."""
        try:
            self.value = await self._awaitable
            self.error = None
        except asyncio.CancelledError:
            self.error = self._reason or RuntimeError("what it awaited was cancelled")
        except Exception as error:
            self.error = self._reason or error
        finally:
            self._end()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self.done:
            self.error = self._reason
            if asyncio.iscoroutine(self._awaitable):
                self._awaitable.close()
            self._end()

    def _end(self) -> None:
        self.done = True
        self._tasks.forget(self)
        self._wake()


class HookTasks:
    """The running tasks of a worker.

    :param deadlines: watches their time limits.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._running: dict[Outcome, asyncio.Task[None]] = {}

    def start(
        self, awaitable: Awaitable[Any], wake: Callable[[], None], limit: float | None = None
    ) -> Outcome:
        """Await something in a task.

        :param wake: called when it is done; maybe before this returns.
        :param limit: seconds after which it is cancelled.
        """
        outcome = Outcome(awaitable, wake, self)
        loop = asyncio.get_running_loop()
        task = asyncio.Task(outcome.run(), loop=loop, **_EAGER)
        if not outcome.done:
            outcome._task = self._running[outcome] = task
            if limit is not None:
                outcome.deadline = time.monotonic() + limit
                self._deadlines.watch(outcome)
        return outcome

    def forget(self, outcome: Outcome) -> None:
        """Take note that a task has ended."""
        if self._running.pop(outcome, None) is not None and outcome.deadline < math.inf:
            self._deadlines.forget(outcome)

    async def end(self) -> None:
        """Cancel everything, and return when it has ended."""
        while self._running:
            tasks = list(self._running.values())
            for outcome in list(self._running):
                outcome.cancel(ClientGone())
            await asyncio.wait(tasks)
