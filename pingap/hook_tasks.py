"""What a request awaits of plugins: run at once, and in a task from where it first has to wait.

Most async hooks end without waiting: a cache has the answer, a rule does not apply. A task for each
would cost more than what they do. So a coroutine is begun right away, in the name of a task that was
made before and waits for something to run (``asyncio._enter_task``, which asyncio documents for other
implementations of tasks). If it ends, the task waits on; if not, the task goes on with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
import types
from asyncio import _enter_task, _leave_task, current_task
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from pingap.errors import ClientGone
from pingap.net.deadlines import Deadlines


class Outcome:
    """What becomes of something that is awaited.

    :param awaitable: what is awaited.
    :param wake: called when it is done, unless it was done at once.
    :param tasks: those it belongs to.
    """

    # What most outcomes never change costs them nothing: it is kept by the class.
    _task: asyncio.Task[None] | None = None
    _reason: Exception | None = None
    _yielded: Any = None
    deadline = math.inf
    done = False
    value: Any = None
    error: Exception | None = None

    def __init__(
        self, awaitable: Awaitable[Any], wake: Callable[[], None], tasks: HookTasks
    ) -> None:
        self._coroutine: Coroutine[Any, Any, Any] = (
            awaitable if isinstance(awaitable, types.CoroutineType) else _await(awaitable)
        )
        self._context = contextvars.copy_context()
        self._wake = wake
        self._tasks = tasks

    def cancel(self, reason: Exception) -> None:
        """End it; ``error`` will be the reason."""
        if self._reason is None and self._task is not None:
            self._reason = reason
            # Not before the task has gone on with it: cancelled earlier, it would run nothing.
            asyncio.get_running_loop().call_soon(self._task.cancel)

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = math.inf
        self.cancel(TimeoutError("it took longer than its timeout"))

    def begin(self) -> None:
        """Run it up to where it first waits."""
        try:
            self._yielded = self._context.run(self._coroutine.send, None)
        except BaseException as error:
            self._note(error)

    async def finish(self) -> None:
        """Go on from there, in its task."""
        try:
            await self._go_on()
        finally:
            self._tasks.forget(self)
            self._wake()

    @types.coroutine
    def _go_on(self) -> Generator[Any, Any, None]:
        """Pass on what the coroutine yields to the task, and what comes back."""
        run, coroutine, yielded = self._context.run, self._coroutine, self._yielded
        try:
            while True:
                try:
                    value = yield yielded
                except BaseException as error:
                    yielded = run(coroutine.throw, error)
                else:
                    yielded = run(coroutine.send, value)
        except BaseException as error:  # how the coroutine ended
            self._note(error)

    def _note(self, error: BaseException) -> None:
        """Take note of how the coroutine ended."""
        self.done = True
        if isinstance(error, StopIteration):
            # Also if it was cancelled too late: the caller may have to close what was made.
            self.value, self.error = error.value, self._reason
        elif isinstance(error, asyncio.CancelledError):
            self.error = self._reason or RuntimeError("what it awaited was cancelled")
        elif isinstance(error, Exception):
            self.error = self._reason or error
        else:
            # Not "answered None": a guard that was stopped must not let a request pass.
            self.error = ClientGone()
            raise error


async def _await(awaitable: Awaitable[Any]) -> Any:
    if not isinstance(awaitable, Awaitable):  # a plain call that returned what it should not
        raise TypeError(f"it returned {type(awaitable).__name__}, which its phase does not take")
    return await awaitable


class _Runner:
    """A task that waits for something to run."""

    __slots__ = ("_outcome", "_ready", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._outcome: Outcome | None = None
        self._ready = loop.create_future()
        self.task = loop.create_task(self._run())

    def give(self, outcome: Outcome) -> None:
        """Let it go on with what has begun."""
        self._outcome = outcome
        self._ready.set_result(None)

    async def _run(self) -> None:
        await self._ready
        assert self._outcome is not None
        await self._outcome.finish()


class HookTasks:
    """The running tasks of a worker.

    :param deadlines: watches their time limits.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._running: dict[Outcome, asyncio.Task[None]] = {}
        self._waiting: _Runner | None = None

    def start(
        self, awaitable: Awaitable[Any], wake: Callable[[], None], limit: float | None = None
    ) -> Outcome:
        """Begin to await something.

        :param wake: called when it is done, unless it is done when this returns.
        :param limit: seconds after which it is cancelled.
        """
        outcome = Outcome(awaitable, wake, self)
        loop = asyncio.get_running_loop()
        runner = self._waiting
        if runner is None:
            runner = self._waiting = _Runner(loop)
        _in_the_name_of(runner.task, loop, outcome.begin)
        if not outcome.done:
            self._waiting = None
            outcome._task = self._running[outcome] = runner.task
            runner.give(outcome)
            if limit is not None:
                outcome.deadline = time.monotonic() + limit
                self._deadlines.watch(outcome)
        return outcome

    def forget(self, outcome: Outcome) -> None:
        """Take note that something has ended."""
        self._running.pop(outcome, None)
        self._deadlines.forget(outcome)

    async def end(self) -> None:
        """Cancel everything, and return when it has ended."""
        while self._running:
            tasks = list(self._running.values())
            for outcome in list(self._running):
                outcome.cancel(ClientGone())
            await asyncio.wait(tasks)
        if self._waiting is not None:
            task, self._waiting = self._waiting.task, None
            task.cancel()
            await asyncio.wait([task])


def _in_the_name_of(
    task: asyncio.Task[None], loop: asyncio.AbstractEventLoop, run: Callable[[], None]
) -> None:
    """Run something for which ``asyncio.current_task`` is a task, whoever calls."""
    if (caller := current_task(loop)) is not None:
        _leave_task(loop, caller)
    _enter_task(loop, task)
    try:
        run()
    finally:
        _leave_task(loop, task)
        if caller is not None:
            _enter_task(loop, caller)
