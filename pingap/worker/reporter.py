"""Reports changed counts of a worker to the supervisor, a part in each turn of the loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread

from pingap.build.runtime import Runtime
from pingap.observability.process_figures import process_figures
from pingap.observability.sums import Entry
from pingap.worker.channel import Channel
from pingap.worker.figures import ChangedFigures

REPORT_SECONDS: Final = 1.0
"""How often counts are sent; newer ones are lost if the worker dies."""
SHARE: Final = 0.02
"""Maximum share of a worker's time for reports: with very many locations they are less frequent."""
SLICE_SECONDS: Final = 0.001
"""How long it may block the event loop at a time."""


class Reporter:
    """Sends changes of the figures as messages of the kind ``figures``.

    :param channel: to the supervisor.
    :param runtime: returns the runtime that the worker serves.
    """

    def __init__(self, channel: Channel, runtime: Callable[[], Runtime]) -> None:
        self._channel = channel
        self._runtime = runtime
        self._reported: Runtime | None = None
        self._changes = ChangedFigures()
        self._lock = anyio.Lock()

    async def run(self) -> None:
        """Report every second, or less often if that takes long."""
        while True:
            spent = await self.report()
            await anyio.sleep(max(REPORT_SECONDS, spent / SHARE))

    async def report(self, *, on_demand: bool = False) -> float:
        """Send everything that changed since the last report; return the seconds of work this took.

        :param on_demand: include figures that are only read for a metrics page.
        """
        async with self._lock:
            runtime = self._runtime()
            replaces = runtime is not self._reported
            if on_demand or (replaces and self._reported is not None):
                # Without this, collected metrics would be missing until a page is read.
                await runtime.collectors.run()
            if replaces:  # the figures of things that are no longer served are dropped
                self._reported, self._changes = runtime, ChangedFigures()
            changed: list[Entry] = []
            spent, began = 0.0, time.monotonic()
            for entry in self._changes.since_last(runtime):
                if entry is not None:
                    changed.append(entry)
                if time.monotonic() - began > SLICE_SECONDS:
                    self._send(changed, replaces=replaces)
                    changed, replaces = [], False
                    spent += time.monotonic() - began
                    await anyio.lowlevel.checkpoint()
                    began = time.monotonic()
            if on_demand:
                # In a thread, because the first call imports prometheus-client.
                figures = await anyio.to_thread.run_sync(process_figures)
                changed += [(["process", name], number) for name, number in figures.items()]
            self._send(changed, replaces=replaces)
            return spent + time.monotonic() - began

    def _send(self, entries: list[Entry], *, replaces: bool) -> None:
        if entries or replaces:
            self._channel.send("figures", entries=entries, replaces=replaces)
