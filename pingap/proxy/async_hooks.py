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
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from pingap.http.errors import ClientGone
from pingap.plugins.foreign_code import LEAVE_SECONDS, as_exception, end_tasks
from pingap.wire.deadlines import Deadlines

_NOTHING: Final = object()


class Outcome:
    """What becomes of something that is awaited.

    :param awaitable: what is awaited.
    :param wake: called when it is done, unless it was done at once.
    :param tasks: those it belongs to.
    """

    # What most outcomes never change costs them nothing: it is kept by the class.
    _task: asyncio.Task[None] | None = None
    _reason: Exception | None = None
    _yielded: Any = _NOTHING
    """What it waits for, as long as its task was not given it."""
    limit: float | None = None
    """Seconds that it may take."""
    deadline = math.inf
    done = False
    value: Any = None
    error: Exception | None = None
    discard: Callable[[Any], None] | None = None
    """Called with a value that came when nobody waited for it any more."""

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
        """End it; ``error`` will be the reason, at the latest after ``LEAVE_SECONDS``."""
        if self._reason is None and self._task is not None:
            self._reason = reason
            self._tasks.set_deadline(self, LEAVE_SECONDS)
            # Not from within: it may be the very code that runs now that leads here.
            asyncio.get_running_loop().call_soon(self._task.cancel)

    def restart_limit(self) -> None:
        """Let it have all of its time again, if that is limited."""
        if self.limit is not None and self._reason is None:
            self._tasks.set_deadline(self, self.limit)

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = math.inf
        if self._reason is None and self._tasks.is_excused(self._task):
            self.restart_limit()
        elif self._reason is None:
            self.cancel(TimeoutError("it took longer than its timeout"))
        elif not self.done:  # it ignores that it was cancelled: the request does not wait for it
            self.done, self.error = True, self._reason
            self._wake()

    def begin(self) -> None:
        """Run it up to where it first waits."""
        try:
            self._yielded = self._context.run(self._coroutine.send, None)
        except BaseException as error:
            self._note(error)

    def send(self) -> Any:
        """Go on, in its task; return what that has to wait for.

        :raises StopIteration: it has ended.
        """
        yielded, self._yielded = self._yielded, _NOTHING
        return self._step(self._coroutine.send, None) if yielded is _NOTHING else yielded

    def throw(self, error: BaseException) -> Any:
        """Raise an error where it waits; returns and raises as ``send``."""
        yielded, self._yielded = self._yielded, _NOTHING
        is_cancelled = isinstance(error, asyncio.CancelledError)
        # As a task does it: what is awaited is cancelled first, and tells by itself.
        if is_cancelled and isinstance(yielded, asyncio.Future) and yielded.cancel(*error.args):
            return yielded
        return self._step(self._coroutine.throw, error)

    def _step(self, go_on: Callable[[Any], Any], argument: Any) -> Any:
        try:
            return self._context.run(go_on, argument)
        except BaseException as error:
            left = self.done
            self._note(error)
            if error is argument:
                error.__traceback__ = None  # or it and these frames would keep each other
            self._tasks.forget(self)
        if not left:
            self._wake()
        raise StopIteration

    def _note(self, error: BaseException) -> None:
        """Take note of how the coroutine ended; a hook that was stopped did not return None."""
        if self.done:
            if isinstance(error, StopIteration) and self.discard is not None:
                self.discard(error.value)
            return
        self.done = True
        if isinstance(error, StopIteration):
            # Also if it was cancelled too late: the caller may have to close what was made.
            self.value, self.error = error.value, self._reason
        elif isinstance(error, asyncio.CancelledError):
            cancelled = RuntimeError("what it awaited was cancelled")
            self.error = self._reason or cancelled.with_traceback(error.__traceback__)
        else:
            self.error = self._reason or as_exception(error)


async def _await(awaitable: Awaitable[Any]) -> Any:
    if not isinstance(awaitable, Awaitable):  # a plain call that returned what it should not
        raise TypeError(f"it returned {type(awaitable).__name__}, which its phase does not take")
    return await awaitable


class _Runner(Coroutine[Any, None, None]):
    """What the task runs that waits for an outcome to go on with.

    (Not a function: one that is cancelled before its first step ends without any, and a time limit
    within a hook that has passed at once cancels the task before that.)

    :param loop: of the task.
    """

    # What ``inspect.getcoroutinestate`` asks for, and anyio with it.
    cr_running = False
    cr_suspended = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._outcome: Outcome | None = None
        self._ready = loop.create_future()
        self.task = loop.create_task(self)

    def give(self, outcome: Outcome) -> None:
        """Let it go on with what has begun."""
        self._outcome = outcome
        if not self._ready.done():  # (cancelled, if the hook cancelled its own task)
            self._ready.set_result(None)

    def send(self, _: None) -> Any:
        if self._outcome is None:
            return next(self._ready.__await__())
        return self._go_on(self._outcome.send)

    def throw(self, error: BaseException, *_: object) -> Any:  # type: ignore[override]
        if self._outcome is None:
            raise error
        return self._go_on(partial(self._outcome.throw, error))

    def _go_on(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except (
            BaseException
        ):  # it has ended: task and runner would keep each other, and the request
            self._outcome = None
            del self.task
            raise

    def close(self) -> None:
        """Nothing: what it waits for is forgotten with it."""

    def __await__(self) -> Generator[Any, None, None]:
        raise TypeError("only a task runs this")


class HookTasks:
    """The running tasks of a worker.

    :param deadlines: watches their time limits.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._running: dict[asyncio.Task[None], Outcome] = {}
        self._excused: set[asyncio.Task[Any] | None] = set()
        self._waiting: list[_Runner] = []  # more than one where what began led to another beginning

    def start(
        self, awaitable: Awaitable[Any], wake: Callable[[], None], limit: float | None = None
    ) -> Outcome:
        """Begin to await something.

        :param wake: called when it is done, unless it is done when this returns.
        :param limit: seconds after which it is cancelled.
        """
        outcome = Outcome(awaitable, wake, self)
        loop = asyncio.get_running_loop()
        runner = self._waiting.pop() if self._waiting else _Runner(loop)
        if runner.task.cancelling():  # (a hook before may have cancelled it)
            runner = _Runner(loop)
        _in_the_name_of(runner.task, loop, outcome.begin)
        if outcome.done:
            self._waiting.append(runner)
        else:
            outcome._task = runner.task
            self._running[runner.task] = outcome
            runner.give(outcome)
            outcome.limit = limit
            outcome.restart_limit()
        return outcome

    @contextmanager
    def without_limit(self) -> Iterator[None]:
        """Stop the clock of the hook that runs now: what it waits for is the client's doing.

        All of its time begins again afterwards.
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
        """Return whether a task is inside of ``without_limit``."""
        return task in self._excused

    def set_deadline(self, outcome: Outcome, seconds: float) -> None:
        """Let an outcome know when so many seconds have passed."""
        outcome.deadline = time.monotonic() + seconds
        self._deadlines.watch(outcome)

    def forget(self, outcome: Outcome) -> None:
        """Take note that something has ended."""
        if outcome._task is not None:
            self._running.pop(outcome._task, None)
            outcome._task = None
        self._deadlines.forget(outcome)

    async def end(self) -> None:
        """Cancel everything; return when it has ended, or ignored that for ``LEAVE_SECONDS``."""
        until = time.monotonic() + LEAVE_SECONDS
        while self._running and (left := until - time.monotonic()) > 0:
            tasks = list(self._running)
            for outcome in list(self._running.values()):
                outcome.cancel(ClientGone())
            await asyncio.wait(tasks, timeout=left)
        await end_tasks(self._running)
        waiting, self._waiting = self._waiting, []
        await end_tasks([runner.task for runner in waiting])


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
