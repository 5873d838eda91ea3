"""Ends workers with their supervisor: nothing else would stop them, and they hold the sockets."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> bool:
    """Let the kernel send a signal to this process when its parent ends; return whether it will.

    Only Linux supports this; elsewhere a worker notices that its control channel is closed. The kernel resets
    it when the process changes its user, so call this after ``switch_to``, in every worker. "Parent" is the
    thread that forked: the supervisor must fork in a thread that lives as long as itself.

    :param parent: process ID of the parent, taken before the fork. If that process has already ended, the
        signal is sent at once.
    """
    if sys.platform != "linux":
        return False
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number)) != 0:
        return False
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
    return True
