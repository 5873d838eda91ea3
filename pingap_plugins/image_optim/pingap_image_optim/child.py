"""A process that converts images, one after the other, until its parent closes the connection.

A decoder that crashes, hangs or takes too much memory ends this process and nothing else. It gets images on
its standard input, a socket, and can write to no file.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from typing import Final

from pingap_image_optim.images import convert
from pingap_image_optim.jobs import LARGEST_HEAD, ClosedError, Job, receive, send

NICE: Final = 5
"""Converting images leaves the processor to the proxy, if both need it."""
GRACE: Final = 5.0
"""Seconds after its time limit at which a process ends itself, in case that its parent is gone."""
_MOST_FILES: Final = 64
_LARGEST: Final = 2**32 - 1  # the parent decides


def confine(memory: int) -> None:
    """Limit what this process can use.

    :param memory: bytes of address space.
    """
    os.nice(NICE)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _MOST_FILES,
    }
    if sys.platform == "linux":  # elsewhere it has no effect, or cannot be set
        limits[resource.RLIMIT_AS] = memory
    for limit, most in limits.items():
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    # What the parent ignores or blocks is inherited.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def serve(channel: socket.socket) -> None:
    """Convert images until there are no more."""
    while True:
        try:
            head, data = receive(channel, _LARGEST)
        except ClosedError:
            return
        job = Job.decode(head)
        signal.setitimer(signal.ITIMER_REAL, job.seconds + GRACE)
        reply = convert(data, job)
        signal.setitimer(signal.ITIMER_REAL, 0)
        head = f"{reply.outcome}\n{reply.detail}".encode(errors="replace")
        send(channel, head[:LARGEST_HEAD], reply.body)


def main() -> None:
    """Run the process: ``child.py BYTES_OF_MEMORY``."""
    confine(int(sys.argv[1]))
    with socket.socket(fileno=0) as channel:
        serve(channel)


if __name__ == "__main__":
    main()
