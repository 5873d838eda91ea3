"""Running coroutines of plugins safely: exceptions are contained, and ignored cancellation is limited."""

from __future__ import annotations

import asyncio
from asyncio import _unregister_task
from collections.abc import Iterable
from typing import Any, Final

LEAVE_SECONDS: Final = 1.0
"""Seconds that pingap waits for a cancelled task of a plugin before it abandons the task."""


def is_from_outside(error: BaseException) -> bool:
    """Return whether an exception means that the current task was cancelled, not that its code failed.

    A plugin can also raise ``CancelledError`` by awaiting something that was cancelled.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, GeneratorExit)


def as_exception(error: BaseException) -> Exception:
    """Wrap ``SystemExit`` and similar in an exception that ends neither the process nor a task group."""
    if isinstance(error, Exception):
        return error
    text = f"it raised {type(error).__name__}: {error}"
    return RuntimeError(text).with_traceback(error.__traceback__)


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], seconds: float = LEAVE_SECONDS) -> int:
    """Cancel tasks and wait for them, but no longer than ``seconds``.

    Tasks that do not end are abandoned: they keep running, but do not prevent the loop from closing.

    :returns: number of abandoned tasks.
    """
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    if not running:
        return 0
    _, stubborn = await asyncio.wait(running, timeout=seconds)
    for task in stubborn:
        _unregister_task(task)  # asyncio waits for all registered tasks when a loop closes
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    return len(stubborn)
