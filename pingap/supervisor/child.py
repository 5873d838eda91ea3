"""A worker as its supervisor sees it."""

from __future__ import annotations

import os
import signal
import time

import anyio

from pingap.observability.sums import Figures, no_figures
from pingap.supervisor.ending import ending
from pingap.worker.channel import Channel


class Child:
    """One worker process.

    :param index: its place among the workers, which its replacement gets.
    :param pid: its process id.
    :param channel: to it.
    :param column: of the shared state, which it has to itself.
    """

    def __init__(self, index: int, pid: int, channel: Channel, column: int) -> None:
        self.index = index
        self.column = column
        self.pid = pid
        self.channel = channel
        self.began = self.heard = time.monotonic()
        self.started_at = time.time()
        self.ready = anyio.Event()
        """It accepts connections, or has ended."""
        self.ended = anyio.Event()
        self.sockets: frozenset[int] = frozenset()
        """Numbers of the listening sockets that it has."""
        self.failure = ""
        """Why it cannot serve, in its own words."""
        self.status = 0
        """How it ended, as ``os.wait`` tells."""
        self.requests = 0
        """Requests under way when it was heard last."""
        self.figures: Figures = no_figures()
        """What it had counted when it told last."""

    def on_end(self, status: int) -> None:
        """Take note that the process is gone."""
        self.status = status
        self.ended.set()
        self.ready.set()

    def kill(self) -> None:
        """End it at once."""
        if not self.ended.is_set():
            os.kill(self.pid, signal.SIGKILL)

    @property
    def name(self) -> str:
        """How the log calls it."""
        return f"worker {self.index} (pid {self.pid})"

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        return ending(self.status)
