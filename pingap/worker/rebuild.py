"""Building the next runtime of a worker beside the one that serves."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

import anyio

from pingap.build.graph import build
from pingap.build.runtime import Runtime
from pingap.config import Config
from pingap.host.threads import in_thread

LEAVE_SECONDS: Final = 5.0
"""How long the thread may take to end once its result is not wanted any more."""


class Rebuild:
    """Builds a runtime in a thread, and requests go on meanwhile.

    What has not changed is taken over. The garbage collector never looks at it: neither the graph nor its
    building makes reference cycles.

    :param serving: the runtime that serves now.
    :param load: returns the configuration; called in the thread.
    :param log_target: what ``--log`` says.
    """

    def __init__(self, serving: Runtime, load: Callable[[], Config], log_target: str) -> None:
        self._serving = serving
        self._load = load
        self._log_target = log_target
        self.is_stuck = False
        """It was cancelled, and its thread did not end: code of a plugin hangs there."""

    async def run(self) -> Runtime:
        """Return what the configuration becomes.

        :raises ConfigError: with everything that cannot be built.
        """
        gc.disable()  # a collection would stall the event loop for as long as the graph is large
        building = asyncio.ensure_future(in_thread(self._build))
        try:
            return await asyncio.shield(building)
        except asyncio.CancelledError:
            with anyio.move_on_after(LEAVE_SECONDS, shield=True):
                await asyncio.wait([building])
            self.is_stuck = not building.done()
            building.add_done_callback(_forget_error)
            raise
        finally:
            gc.freeze()
            gc.enable()

    def _build(self) -> Runtime:
        return build(self._load(), self._serving.registry, self._log_target, previous=self._serving)


def _forget_error(building: asyncio.Future[Runtime]) -> None:
    """Know the error of a build that nobody wants, or asyncio would log it."""
    if not building.cancelled():
        building.exception()
