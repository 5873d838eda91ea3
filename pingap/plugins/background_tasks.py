"""Background tasks of plugins, which do not cancel one another, and services, which are restarted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from types import TracebackType
from typing import Any, Final, NoReturn

import anyio
from anyio.abc import TaskGroup, TaskStatus

from pingap.plugins.foreign_code import end_tasks, is_from_outside

FIRST_PAUSE: Final = 1.0
"""Seconds before a failed service is restarted for the first time; doubled each time."""
LONGEST_PAUSE: Final = 60.0
"""Longest pause, in seconds. If a service has run for longer than this, the pauses start again with the
first."""

Report = Callable[[BaseException, str], None]
"""Receives the exception of a task and the name of the task."""


class BackgroundTasks(TaskGroup):
    """The background tasks of one plugin, passed to :meth:`Plugin.startup`; an anyio task group.

    Unlike in other task groups, an exception in one task does not cancel the others: it is counted, and
    logged with the name of the plugin. All tasks are cancelled after ``shutdown``.

    :param name: name of the plugin instance.
    :param report: called with every exception.
    """

    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report = report
        self._running: set[asyncio.Task[Any]] = set()
        self._ended = False
        self.cancel_scope = _Scope(self._cancel)
        """Its ``cancel()`` cancels all tasks."""

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: object = None, context: Context | None = None
    ) -> Any:
        """Start a task that runs a coroutine.

        :param coro: the coroutine to run.
        :param name: name of the task in the log; by default that of the coroutine.
        :param context: the context to run in; by default a copy of the current one.
        :returns: an asyncio task.
        :raises RuntimeError: called after ``shutdown``.
        """

        async def run() -> Any:
            return await coro

        try:
            return self._create(self._run(run, (), _named(coro, name)), name, context)
        except RuntimeError:
            coro.close()
            raise

    def start_soon(  # type: ignore[override, misc]  # final in anyio, and returns a handle
        self, func: Callable[..., Awaitable[Any]], *args: Any, name: object = None
    ) -> None:
        """Start a task.

        :param func: async function to run, with ``args``.
        :param name: name of the task in the log; by default that of the function.
        :raises RuntimeError: called after ``shutdown``.
        """
        self._create(self._run(func, args, _named(func, name)), name)

    def start_service(
        self, func: Callable[..., Awaitable[Any]], *args: Any, name: object = None
    ) -> None:
        """Start a task that is restarted after a pause whenever it raises an exception.

        The first pause is 1 s, and each one after it is twice as long, up to 60 s. A service that returns is
        not restarted.

        :param func: async function to run, with ``args``.
        :param name: name of the task in the log; by default that of the function.
        :raises RuntimeError: called after ``shutdown``.
        """
        self._create(self._serve(func, args, _named(func, name)), name)

    async def start(  # type: ignore[override]
        self, func: Callable[..., Awaitable[Any]], *args: Any, name: object = None
    ) -> Any:
        """Start a task, wait for its call of ``task_status.started()``, and return the value passed there.

        :raises Exception: the exception that the task raised before that call.
        :raises RuntimeError: the task ended before that call, or called after ``shutdown``.
        """
        status = _Status()
        task = self._create(self._run(func, args, _named(func, name), status), name)
        try:
            await status.decided.wait()
        except BaseException:
            task.cancel()
            raise
        if status.error is not None:
            raise status.error
        return status.value

    async def end(self) -> int:
        """Cancel all tasks; return the number of tasks that ignored this and were abandoned."""
        self._ended = True
        return await end_tasks(self._running)

    def _create(
        self, coroutine: Coroutine[Any, Any, Any], name: object, context: Context | None = None
    ) -> asyncio.Task[Any]:
        if self._ended:
            coroutine.close()
            raise RuntimeError(f"the background tasks of plugin {self._name} have ended")
        task = asyncio.create_task(coroutine, name=str(name or self._name), context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _serve(
        self, func: Callable[..., Awaitable[Any]], args: tuple[Any, ...], name: str
    ) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            if await self._run(func, args, name):
                return
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _run(
        self,
        func: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        name: str,
        status: _Status | None = None,
    ) -> bool:
        """Run a task; return whether it ended without being cancelled."""
        try:
            await (func(*args) if status is None else func(*args, task_status=status))
        except BaseException as error:
            if status is not None and not status.decided.is_set():
                status.fail(error)
            elif is_from_outside(error):
                raise
            else:
                self._report(error, name)
            return False
        if status is not None and not status.decided.is_set():
            status.fail(RuntimeError(f"{name} ended without task_status.started()"))
        return True

    def _cancel(self) -> None:
        for task in self._running:
            task.cancel()

    async def __aenter__(self) -> NoReturn:
        raise RuntimeError("pingap itself enters and exits the background tasks of a plugin")

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        return False


class _Status(TaskStatus[Any]):
    """The value that a task passes to ``started()``, or the reason why it never will."""

    def __init__(self) -> None:
        self.decided = asyncio.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def started(self, value: Any = None) -> None:
        if self.decided.is_set():
            raise RuntimeError("called 'started' twice on the same task status")
        self.value = value
        self.decided.set()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.decided.set()


class _Scope(anyio.CancelScope):
    """The cancel scope of all tasks of a plugin; only ``cancel()`` is supported."""

    def __new__(cls, *_: object) -> _Scope:
        return object.__new__(cls)

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._called = False

    def cancel(self, *_: object, **__: object) -> None:
        """Cancel all running tasks."""
        self._called = True
        self._cancel()

    @property
    def cancel_called(self) -> bool:
        return self._called


def _named(func: Any, name: object) -> str:
    return str(name or getattr(func, "__qualname__", "") or repr(func))
