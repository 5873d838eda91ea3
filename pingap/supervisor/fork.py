"""Forks a worker from a supervisor whose event loop is running.

The child has none of the supervisor's loop, signal handlers and context. It never closes that loop, whose
list of watched files in the kernel it shares with its parent; it exits with ``os._exit``.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Final, NoReturn

log = logging.getLogger("pingap")

_OURS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
)
_FOR_THE_PARENT: Final = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that a terminal sends to the whole process group; only the parent acts on them."""
CRASHED: Final = 70
"""Exit code of a child that raised (``EX_SOFTWARE``)."""


async def fork(main: Callable[[], int]) -> int:
    """Fork; return the child's process ID.

    In the child, ``main`` is called, and its result becomes the exit code.

    :raises OSError: the system has no resources for another process.
    """
    loop = asyncio.get_running_loop()
    forked: asyncio.Future[int] = loop.create_future()

    def do() -> None:
        try:
            forked.set_result(_fork(main))
        except OSError as error:
            forked.set_exception(error)

    # From a callback, not from a task, because the child would believe that it runs inside the task; and
    # in an empty context, which does not refer to a running event loop.
    loop.call_soon(do, context=contextvars.Context())
    return await forked


def _fork(main: Callable[[], int]) -> int:
    # A signal for the child must not reach handlers that write to the parent's loop.
    old_mask: set[int] = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    try:
        if pid := os.fork():
            return pid
        _be_child(main, old_mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def _be_child(main: Callable[[], int], mask: set[int]) -> NoReturn:
    code = CRASHED
    try:
        signal.set_wakeup_fd(-1)
        for number in _OURS:
            ignored = number in _FOR_THE_PARENT
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = main()
    except BaseException:
        log.critical("this worker raised an exception and exits", exc_info=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
