"""The running pingap without a supervisor, such as a single worker in the process of a test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import anyio

from pingap._version import __version__
from pingap.build.check import check
from pingap.build.loading import load_configuration
from pingap.build.machine import refuse, start_problems
from pingap.build.runtime import Runtime
from pingap.config import Config, ConfigError, Problem, Snapshot
from pingap.config.restart import needs_restart
from pingap.host.memory import resident_memory
from pingap.host.threads import in_thread
from pingap.plugins.instance import (
    ApplyError,
    InstanceFigures,
    ReloadResult,
    RestartError,
    WorkerFigures,
)
from pingap.plugins.registry import PluginLoadError
from pingap.plugins.services import PluginStartError
from pingap.worker.instance import Served
from pingap.worker.listening import ListenError, Listening
from pingap.worker.rebuild import Rebuild
from pingap.worker.relisten import relisten


class Swappable(Protocol):
    """A worker whose configuration can be changed."""

    runtime: Runtime

    @property
    def sockets(self) -> list[Listening]:
        """Its listening sockets."""

    @property
    def connections(self) -> int:
        """Number of connected clients."""

    @property
    def leads(self) -> bool:
        """Whether it does the work that one worker does for all."""

    async def prepare(self, runtime: Runtime) -> None:
        """Start the new parts of a runtime."""

    def discard(self) -> None:
        """Discard a prepared runtime."""

    async def swap(self, runtime: Runtime, sockets: Iterable[Listening] | None = None) -> None:
        """Serve a prepared runtime."""


class LoneInstance(Served):
    """Implements ``pingap.Instance`` without a supervisor.

    :param worker: the only worker.
    :param adjusted: modifies a loaded configuration before it is built.
    """

    def __init__(
        self, worker: Swappable, adjusted: Callable[[Config], Config] = lambda config: config
    ) -> None:
        super().__init__(lambda: worker.runtime)
        self._worker = worker
        self._adjusted = adjusted
        self._lock = anyio.Lock()
        self._at_start = worker.runtime.config
        self._last: ReloadResult | None = None

    async def check(self, snapshot: Snapshot) -> list[Problem]:
        """Return everything that ``pingap -t`` would report; in a thread, since plugins need not be installed."""
        return await in_thread(lambda: check(snapshot, self._worker.runtime.registry))

    async def apply(self, snapshot: Snapshot, *, by: str = "") -> list[str]:
        """Serve a configuration.

        :raises ApplyError: it cannot be served.
        """
        with anyio.CancelScope(shield=True):
            async with self._lock:
                error = ""
                try:
                    await self._change(snapshot)
                except ApplyError as failure:
                    error = str(failure)
                    raise
                finally:
                    self._last = ReloadResult(at=time.time(), by=by or "this process", error=error)
        return self._keys_that_wait()

    async def _change(self, snapshot: Snapshot) -> None:
        worker = self._worker

        def load() -> Config:
            config = load_configuration(snapshot, worker.runtime.registry)
            refuse(start_problems(config))
            return self._adjusted(config)

        try:
            runtime = await Rebuild(worker.runtime, load, "").run()
            listeners = relisten(runtime.config, 1, worker.sockets, most=1)
        except (ConfigError, ListenError) as error:
            worker.discard()
            raise ApplyError(str(error), error.problems) from None
        try:
            await worker.prepare(runtime)
        except BaseException as error:
            listeners.discard()
            if isinstance(error, PluginLoadError | PluginStartError):
                raise ApplyError(str(error)) from error
            raise
        listeners.take_effect(runtime.config)
        for one in listeners.removed:
            one.remove_file()
        await worker.swap(runtime, listeners.sockets)
        for one in listeners.removed:
            one.sock.close()

    def _keys_that_wait(self) -> list[str]:
        return needs_restart(self._at_start, self._worker.runtime.config)

    async def restart(self) -> None:
        """Fail.

        :raises RestartError: always.
        """
        raise RestartError("pingap is not run by a supervisor here")

    async def figures(self) -> InstanceFigures:
        """Return the current activity of this process."""
        worker, stats = self._worker, self._worker.runtime.stats
        pid, memory = os.getpid(), resident_memory(os.getpid())
        figures = WorkerFigures(
            pid=pid,
            started_at=stats.started_at,
            memory=memory,
            connections=worker.connections,
            processing=stats.processing,
            accepted=stats.accepted,
            leads=worker.leads,
        )
        return InstanceFigures(
            version=__version__,
            pid=pid,
            started_at=stats.started_at,
            memory=memory,
            workers=(figures,),
            accepted=stats.accepted,
            last_reload=self._last,
            needs_restart=tuple(self._keys_that_wait()),
        )
