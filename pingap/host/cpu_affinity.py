"""Binds each worker to its own processor: ``basic.cpu_affinity``."""

from __future__ import annotations

import os
import sys


def pin(index: int) -> int | None:
    """Bind this process to one of the processors it may use; return its number.

    Call it in the worker: the supervisor must keep all of them to pass them on.

    :param index: number of the worker, from 0; more workers than processors share them evenly.
    """
    if sys.platform != "linux":
        return None
    allowed = sorted(os.sched_getaffinity(0))
    chosen = allowed[index % len(allowed)]
    os.sched_setaffinity(0, {chosen})
    return chosen
