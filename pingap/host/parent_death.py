"""A worker must not outlive its supervisor: nobody would stop it, and it holds the sockets."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> bool:
    """Let the kernel send a signal to this process when its parent ends; tell whether it will.

    Only Linux can do that; elsewhere a worker sees the end of its control channel. The kernel
    forgets it when the process changes its user, so call this after ``switch_to``, in every worker.
    "Parent" is the thread that forked: the supervisor must do it in one that lives as long as it.

    :param parent: process id of the parent, noted before the fork. If that process has ended already,
        the signal is sent at once.
    """
    if sys.platform != "linux":
        return False
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number)) != 0:
        return False
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
    return True
