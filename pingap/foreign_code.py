"""Running coroutines of plugins: whatever they raise, and even if they ignore that they are cancelled."""

from __future__ import annotations

import asyncio
from asyncio import _unregister_task
from collections.abc import Iterable
from typing import Any, Final

LEAVE_SECONDS: Final = 1.0
"""How long a task of a plugin may go on after it was cancelled, before nothing waits for it."""


def is_from_outside(error: BaseException) -> bool:
    """Tell whether an error means that the current task is to end, instead of that its code failed.

    A plugin may raise ``CancelledError`` as well: by awaiting something that was cancelled.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, GeneratorExit)


def as_exception(error: BaseException) -> Exception:
    """Return an error as one that ends no process and no task group: not ``SystemExit`` or the like."""
    if isinstance(error, Exception):
        return error
    text = f"it raised {type(error).__name__}: {error}"
    return RuntimeError(text).with_traceback(error.__traceback__)


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], seconds: float = LEAVE_SECONDS) -> int:
    """Cancel tasks; return when they have ended, or after so many seconds.

    What does not end is left behind: it runs on, but no longer keeps the loop from closing.

    :returns: how many were left behind.
    """
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    if not running:
        return 0
    _, stubborn = await asyncio.wait(running, timeout=seconds)
    for task in stubborn:
        _unregister_task(task)  # (asyncio waits for all it knows when a loop closes)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    return len(stubborn)
