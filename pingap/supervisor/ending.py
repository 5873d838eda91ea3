"""Describes how a process ended."""

from __future__ import annotations

import os
import signal


def ending(status: int) -> str:
    """Return how a process ended, in words that follow "worker 12": ``was killed by SIGKILL``.

    :param status: as returned by ``os.wait``.
    """
    if os.WIFEXITED(status):
        return f"exited with code {os.WEXITSTATUS(status)}"
    core = " (core dumped)" if os.WCOREDUMP(status) else ""
    return f"was killed by {_signal_name(os.WTERMSIG(status))}{core}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal; only two of them have names
        return f"signal {number}"
