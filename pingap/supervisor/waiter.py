"""The remainder of a foreground process after another process has replaced it.

A shell, a container or whatever started pingap waits for that process and sends it signals. So it stays,
as a small program of its own: it passes signals on to the process that serves and exits when that one
does, with its exit code. When that process is replaced in its turn, it sends the new process ID over a
pipe.

Run as a script, without the package: ``python -I -S waiter.py <pid> <fd of the pipe>``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Final, NoReturn

VARIABLE: Final = "PINGAP_WAITER_FD"
"""Contains the writing end of the pipe, for the process that serves."""

PASSED_ON: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals for the process that serves; blocked while this process becomes a waiter."""
_LOOK_SECONDS: Final = 1.0
_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h


def become_waiter(pid: int, fd: int) -> NoReturn:
    """Turn this process into one that waits for another.

    :param pid: of the process that serves, a child of this one.
    :param fd: the reading end of the pipe.
    """
    os.set_inheritable(fd, True)
    command = [sys.executable, "-I", "-S", __file__, str(pid), str(fd)]
    os.execv(sys.executable, command)  # noqa: S606 - our own file


def tell_waiter(fd: int, pid: int) -> None:
    """Notify the waiter of this process that another process serves now."""
    with suppress(OSError):
        os.write(fd, b"%d\n" % pid)


def is_sent_by_terminal(number: int) -> bool:
    """Return whether a terminal sends the signal to the whole group, so that all processes already have it."""
    return number in (signal.SIGINT, signal.SIGQUIT) and os.isatty(0)


class _Waiter:
    def __init__(self, pid: int, fd: int) -> None:
        self._pid = pid
        self._fd = fd
        os.set_blocking(fd, False)

    def run(self) -> int:
        """Return the exit code of the last process that served."""
        adopt_orphans()
        for number in PASSED_ON:
            signal.signal(number, self._pass_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        while True:
            try:
                pid, status = os.wait()
            except ChildProcessError:  # the system cannot adopt orphans
                return self._watch()
            if pid == self._pid and not self._has_successor():
                return os.waitstatus_to_exitcode(status) % 256

    def _watch(self) -> int:
        """Return once the serving process is gone; its exit code is unknown."""
        while self._has_successor() or _exists(self._pid):
            time.sleep(_LOOK_SECONDS)
        return 0

    def _pass_on(self, number: int, _frame: object) -> None:
        if is_sent_by_terminal(number):
            return
        self._has_successor()
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def _has_successor(self) -> bool:
        """Read which process has replaced the serving one, if any."""
        self._pid, before = last_told(self._fd) or self._pid, self._pid
        return self._pid != before


def last_told(fd: int) -> int:
    """Return the process that was last announced by ``tell_waiter``; 0 if none was.

    :param fd: must be non-blocking.
    """
    try:
        told = os.read(fd, 4096).split()
    except OSError:  # nothing to read
        return 0
    return int(told[-1]) if told else 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def adopt_orphans() -> None:
    """Adopt orphaned descendants (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(_Waiter(int(sys.argv[1]), int(sys.argv[2])).run())
