"""Children that have ended, and how."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """A child that has ended.

    :param pid: its process id.
    :param status: how it ended, as ``wait`` tells it.
    """

    pid: int
    status: int

    @property
    def cleanly(self) -> bool:
        """Whether it exited with 0."""
        return self.status == 0

    def __str__(self) -> str:
        """Say how, in words that follow "worker 12": ``was killed by SIGKILL``."""
        if os.WIFEXITED(self.status):
            return f"exited with {os.WEXITSTATUS(self.status)}"
        core = " (core dumped)" if os.WCOREDUMP(self.status) else ""
        return f"was killed by {_signal_name(os.WTERMSIG(self.status))}{core}"


def reap() -> list[Ended]:
    """Return all children that have ended since the last call; waits for none.

    As process 1 of a container this process inherits the orphans of all others, so it takes whatever
    there is. For that reason nothing else in it may wait for children of its own (``subprocess``).
    """
    ended: list[Ended] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # there are none at all
            return ended
        if not pid:
            return ended
        ended.append(Ended(pid, status))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals between the named ones
        return f"signal {number}"
