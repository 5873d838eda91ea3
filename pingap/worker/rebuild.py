"""Building the next runtime of a worker beside the one that serves."""

from __future__ import annotations

import gc
from collections.abc import Callable

from pingap.build.graph import build
from pingap.build.runtime import Runtime
from pingap.config import Config
from pingap.host.threads import in_thread


async def rebuild(serving: Runtime, load: Callable[[], Config], log_target: str) -> Runtime:
    """Return what a configuration becomes; what has not changed is taken over.

    It is built in a thread, and requests go on meanwhile. The garbage collector never looks at it:
    neither the graph nor its building makes reference cycles.

    :param serving: the runtime that serves now.
    :param load: returns the configuration; called in the thread.
    :param log_target: what ``--log`` says.
    :raises ConfigError: with everything that cannot be built.
    """

    def work() -> Runtime:
        return build(load(), serving.registry, log_target, previous=serving)

    gc.disable()  # a collection would stall the event loop for as long as the graph is large
    try:
        return await in_thread(work)
    finally:
        gc.freeze()
        gc.enable()
