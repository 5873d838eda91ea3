"""The running pingap as plugins see it: the configuration of this worker, and requests to its supervisor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio

from pingap.build.runtime import Runtime
from pingap.config import ConfigView, Problem, Snapshot, format_size
from pingap.config.snapshot import read_problem
from pingap.plugins.instance import (
    ApplyError,
    InstanceFigures,
    ReloadResult,
    RestartError,
    WorkerFigures,
)
from pingap.worker.channel import Channel
from pingap.worker.check_process import check_in_process

SNAPSHOT_LIMIT: Final = 32 * 1024 * 1024
"""Maximum size of an applied configuration in bytes; the supervisor sends it to every worker."""
CHECK_SECONDS: Final = 30.0
"""Time limit of a check if ``basic.worker_timeout`` sets none."""
FIGURES_SECONDS: Final = 10.0
"""How long the supervisor may take to reply; it may be building a configuration."""
_GONE: Final = "the supervisor is gone"


class Served:
    """The configuration that this worker serves.

    :param runtime: returns the current runtime.
    """

    def __init__(self, runtime: Callable[[], Runtime]) -> None:
        self._runtime = runtime
        self._view: tuple[Runtime, ConfigView] | None = None

    @property
    def config(self) -> ConfigView:
        """The current configuration of this worker."""
        runtime = self._runtime()
        if self._view is None or self._view[0] is not runtime:
            self._view = (runtime, ConfigView.of(runtime.config))
        return self._view[1]

    @property
    def snapshot(self) -> Snapshot:
        """The texts of that configuration."""
        return self._runtime().config.snapshot


class SupervisedInstance(Served):
    """Implements ``pingap.Instance`` in a worker of a supervisor.

    :param runtime: returns the current runtime of the worker.
    :param channel: to the supervisor.
    :param log_target: the value of ``--log``.
    """

    def __init__(self, runtime: Callable[[], Runtime], channel: Channel, log_target: str) -> None:
        super().__init__(runtime)
        self._channel = channel
        self._log_target = log_target
        self._checking = anyio.Lock()

    async def check(self, snapshot: Snapshot) -> list[Problem]:
        """Return everything that ``pingap -t`` would report."""
        limit = self._runtime().config.basic.worker_timeout or CHECK_SECONDS
        async with self._checking:
            return await check_in_process(snapshot, self._log_target, limit)

    async def apply(self, snapshot: Snapshot, *, by: str = "") -> list[str]:
        """Serve a configuration in all workers.

        :raises ApplyError: it cannot be served.
        """
        data = snapshot.to_bytes()
        if len(data) > SNAPSHOT_LIMIT:
            raise ApplyError(f"it is larger than {format_size(SNAPSHOT_LIMIT)}")
        answer = await self._channel.ask("apply", math.inf, snapshot=data.decode(), by=by)
        if answer is None:
            raise ApplyError(_GONE)
        if answer["failure"]:
            raise ApplyError(answer["failure"], map(read_problem, answer["problems"]))
        return list(answer["restart"])

    async def restart(self) -> None:
        """Let a new process take over.

        :raises RestartError: no process took over.
        """
        answer = await self._channel.ask("restart", math.inf)
        if answer is None:
            raise RestartError(_GONE)
        if answer["failure"]:
            raise RestartError(answer["failure"])

    async def figures(self) -> InstanceFigures:
        """Return the current activity of all processes.

        :raises TimeoutError: the supervisor does not answer.
        """
        answer = await self._channel.ask("figures_of_all", FIGURES_SECONDS)
        if answer is None:
            raise TimeoutError(f"the supervisor did not answer within {FIGURES_SECONDS:g} s")
        return _read_figures(answer["figures"])


def _read_figures(data: Mapping[str, Any]) -> InstanceFigures:
    """Read figures from the output of ``dataclasses.asdict``."""
    last = data["last_reload"]
    return InstanceFigures(
        **{
            **data,
            "workers": tuple(WorkerFigures(**one) for one in data["workers"]),
            "last_reload": None if last is None else ReloadResult(**last),
            "needs_restart": tuple(data["needs_restart"]),
        }
    )
