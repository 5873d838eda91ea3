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
    :param pid: its process ID.
    :param channel: to it.
    :param column: its own column of the shared state.
    """

    def __init__(self, index: int, pid: int, channel: Channel, column: int) -> None:
        self.index = index
        self.column = column
        self.pid = pid
        self.channel = channel
        self.began = self.heard = time.monotonic()
        self.started_at = time.time()
        self.ready = anyio.Event()
        """Set when it accepts connections or has ended."""
        self.ended = anyio.Event()
        self.sockets: frozenset[int] = frozenset()
        """Numbers of its listening sockets."""
        self.failure = ""
        """Its own message why it cannot serve."""
        self.status = 0
        """Its status from ``os.wait``."""
        self.requests = 0
        """Requests in progress at its last report."""
        self.figures: Figures = no_figures()
        """Its counts in its last report."""

    def on_end(self, status: int) -> None:
        """Record that the process is gone."""
        self.status = status
        self.ended.set()
        self.ready.set()

    def kill(self) -> None:
        """Kill it."""
        if not self.ended.is_set():
            os.kill(self.pid, signal.SIGKILL)

    @property
    def name(self) -> str:
        """Its name in the log."""
        return f"worker {self.index} (pid {self.pid})"

    @property
    def ending(self) -> str:
        """How it ended, as text."""
        return ending(self.status)
