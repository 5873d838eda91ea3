"""Awaits of plugins during a request: each in its own task, with its time limit."""

from __future__ import annotations

import asyncio
import math
import time
from asyncio import current_task
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pingap.http.errors import ClientGone
from pingap.plugins.foreign_code import LEAVE_SECONDS, as_exception, end_tasks, is_from_outside
from pingap.wire.deadlines import Deadlines


class Outcome:
    """The outcome of an await.

    :param wake: called when it is done.
    :param tasks: the tasks it belongs to.
    :param limit: time limit in seconds.
    """

    # Attributes that most outcomes never change are kept by the class, at no cost.
    _reason: Exception | None = None
    deadline = math.inf
    done = False
    value: Any = None
    error: Exception | None = None
    discard: Callable[[Any], None] | None = None
    """Called with a value that came too late, when nothing waits for it any more."""
    task: asyncio.Task[None]

    def __init__(self, wake: Callable[[], None], tasks: HookTasks, limit: float | None) -> None:
        self._wake = wake
        self._tasks = tasks
        self.limit = limit
        self.result: list[Any] = []
        """The value, once there is one."""

    def cancel(self, reason: Exception) -> None:
        """Cancel it; ``error`` will be the reason, at the latest after ``LEAVE_SECONDS``."""
        if self._reason is None and not self.done:
            self._reason = reason
            self._tasks.set_deadline(self, LEAVE_SECONDS)
            # Deferred, because the call may come from the very code that is running.
            asyncio.get_running_loop().call_soon(self.task.cancel)

    def restart_limit(self) -> None:
        """Restart its time limit, if it has one."""
        if self.limit is not None and self._reason is None:
            self._tasks.set_deadline(self, self.limit)

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = math.inf
        if self._reason is None and self._tasks.is_excused(self.task):
            self.restart_limit()
        elif self._reason is None:
            self.cancel(TimeoutError("it took longer than its timeout"))
        elif not self.done:  # it ignores its cancellation, so the request does not wait for it
            self.done, self.error = True, self._reason
            self._wake()

    def on_end(self, task: asyncio.Task[None]) -> None:
        """Record how the task ended; a cancelled hook did not return None."""
        self._tasks.forget(self)
        if self.done:
            if self.result and self.discard is not None:
                self.discard(self.result[0])
            return
        self.done = True
        if self.result:
            # Also if it was cancelled too late: the caller may have to close the result.
            self.value, self.error = self.result[0], self._reason
        else:
            failure = None if task.cancelled() else task.exception()
            self.error = self._reason or as_exception(failure or _cancelled())
        self._wake()


async def _run(awaitable: Awaitable[Any], result: list[Any]) -> None:
    """Await an object of a plugin, which may raise anything; run by its task.

    It does not refer to the outcome, because the traceback of an error would keep the outcome alive, and the
    outcome the error.

    :param result: receives the value.
    :raises Exception: the exception of the plugin, or a replacement if that would end the process.
    """
    if not isinstance(awaitable, Awaitable):  # a plain call with an invalid result
        raise TypeError(f"it returned {type(awaitable).__name__}, which its phase does not accept")
    try:
        result.append(await awaitable)
    except (Exception, GeneratorExit):
        raise
    except asyncio.CancelledError as error:
        if is_from_outside(error):
            raise
        raise _cancelled().with_traceback(error.__traceback__) from None
    except BaseException as error:
        raise as_exception(error) from error


def _cancelled() -> RuntimeError:
    return RuntimeError("what it awaited was cancelled")


class HookTasks:
    """The running tasks of a worker.

    :param deadlines: watches their time limits.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._running: dict[asyncio.Task[None], Outcome] = {}
        self._excused: set[asyncio.Task[None] | None] = set()

    def start(
        self, awaitable: Awaitable[Any], wake: Callable[[], None], limit: float | None = None
    ) -> Outcome:
        """Start an await, in the next turn of the loop.

        :param wake: called when it is done.
        :param limit: seconds after which it is cancelled.
        """
        outcome = Outcome(wake, self, limit)
        task = outcome.task = asyncio.get_running_loop().create_task(
            _run(awaitable, outcome.result)
        )
        task.add_done_callback(outcome.on_end)
        self._running[task] = outcome
        if limit is not None:
            self.set_deadline(outcome, limit)
        return outcome

    @contextmanager
    def without_limit(self) -> Iterator[None]:
        """Suspend the time limit of the current hook while it waits for the client.

        Afterwards the limit starts again.
        """
        task = current_task()
        self._excused.add(task)
        try:
            yield
        finally:
            self._excused.discard(task)
            if task is not None and (outcome := self._running.get(task)) is not None:
                outcome.restart_limit()

    def is_excused(self, task: asyncio.Task[None] | None) -> bool:
        """Return whether a task is inside ``without_limit``."""
        return task in self._excused

    def set_deadline(self, outcome: Outcome, seconds: float) -> None:
        """Notify an outcome when this many seconds have passed."""
        outcome.deadline = time.monotonic() + seconds
        self._deadlines.watch(outcome)

    def forget(self, outcome: Outcome) -> None:
        """Remove an outcome that has ended."""
        del self._running[outcome.task]
        self._deadlines.forget(outcome)

    async def end(self) -> None:
        """Cancel everything; return when it has ended, or has ignored that for ``LEAVE_SECONDS``."""
        until = time.monotonic() + LEAVE_SECONDS
        while self._running and (left := until - time.monotonic()) > 0:
            tasks = list(self._running)
            for outcome in list(self._running.values()):
                outcome.cancel(ClientGone())
            await asyncio.wait(tasks, timeout=left)
        await end_tasks(self._running)
