"""A process that converts images, as its parent sees it. Its methods block: they are called in threads."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import Final

from pingap_image_optim.jobs import CRASH, TIMEOUT, ClosedError, Job, Reply, receive, send

MOST_IMAGES: Final = 500
"""Images after which a process is replaced, so that what a decoder leaks does not add up."""
_KEPT_VARIABLES: Final = (
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
)
"""Of the environment. Others may be secrets, which a process that decodes any image need not know."""
_CRASH_SECONDS: Final = 1.0
"""Seconds that a process has to end by itself once it has closed the connection."""


class Converter:
    """One process and the connection to it.

    :param memory: bytes of address space that it may use.
    :raises OSError: it cannot be started.
    """

    def __init__(self, memory: int) -> None:
        self.images = 0
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "pingap_image_optim.child", str(memory)]
        environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        with theirs:
            try:
                self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603  # no part of it comes from outside
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    cwd="/",
                    process_group=0,  # Ctrl-C is for the proxy, which then ends this process
                )
            except BaseException:
                ours.close()
                raise
        self._channel = ours

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def is_worn(self) -> bool:
        """Whether it should be replaced."""
        return self.images >= MOST_IMAGES

    def convert(self, job: Job, data: bytes) -> Reply:
        """Return what became of an image; the process is unusable after ``crash`` and ``timeout``."""
        self.images += 1
        deadline = time.monotonic() + job.seconds
        try:
            send(self._channel, job.encode(), data, deadline)
            head, body = receive(self._channel, len(data), deadline)
        except TimeoutError:
            self.close()
            return Reply(TIMEOUT, detail=f"it took longer than {job.seconds:g} s")
        except (OSError, ClosedError, ValueError):
            return Reply(CRASH, detail=self.close(_CRASH_SECONDS))
        outcome, _, detail = head.decode().partition("\n")
        return Reply(outcome, body, detail)

    def kill(self) -> None:
        """End the process at once; may be called while another thread waits for it."""
        self._process.kill()

    def close(self, seconds: float = 0.0) -> str:
        """End the process, and return how it ended.

        :param seconds: that it has to end by itself.
        """
        self._channel.close()
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name
