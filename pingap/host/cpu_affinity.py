"""Each worker on a processor of its own: ``basic.cpu_affinity``."""

from __future__ import annotations

import os
import sys


def pin(index: int) -> int | None:
    """Bind this process to one of the processors it may use; return the number of that one.

    Call it in the worker: the supervisor has to keep them all to pass them on.

    :param index: number of the worker, from 0; more workers than processors share them evenly.
    """
    if sys.platform != "linux":
        return None
    allowed = sorted(os.sched_getaffinity(0))
    chosen = allowed[index % len(allowed)]
    os.sched_setaffinity(0, {chosen})
    return chosen
