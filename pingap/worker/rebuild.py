"""Builds the next runtime of a worker beside the current one."""

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
"""How long the thread may take to end once its result is no longer needed."""


class Rebuild:
    """Builds a runtime in a thread while requests are served.

    Unchanged parts are taken over. The garbage collector never examines the graph: neither the graph nor
    building it creates reference cycles.

    :param serving: the current runtime.
    :param load: returns the configuration; called in the thread.
    :param log_target: the value of ``--log``.
    """

    def __init__(self, serving: Runtime, load: Callable[[], Config], log_target: str) -> None:
        self._serving = serving
        self._load = load
        self._log_target = log_target
        self.is_stuck = False
        """It was cancelled, and its thread did not end: code of a plugin hangs."""

    async def run(self) -> Runtime:
        """Return the runtime built from the configuration.

        :raises ConfigError: with everything that cannot be built.
        """
        gc.disable()  # a collection would block the event loop in proportion to the size of the graph
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
    """Retrieve the error of an abandoned build; otherwise asyncio would log it."""
    if not building.cancelled():
        building.exception()
