"""The running pingap, with all its processes, as plugins see and control it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pingap.config.problem import Problem

if TYPE_CHECKING:
    from pingap.config import ConfigView, Snapshot


class ApplyError(Exception):
    """A configuration cannot be served; the one before still is.

    :param reason: the message.
    :param problems: what is wrong with the configuration; empty if it is something else, such as a
        plugin whose ``startup`` raised in a worker.
    """

    def __init__(self, reason: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(reason)
        self.problems = list(problems)


class RestartError(Exception):
    """No new process took over; the one that runs goes on. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFigures:
    """What one worker process does at this moment.

    :param pid: its process id.
    :param started_at: Unix seconds.
    :param memory: resident memory in bytes; None where the system does not tell.
    :param connections: clients that are connected.
    :param processing: requests in progress.
    :param accepted: requests that began since the worker started, of locations that are still served.
    :param leads: it does what one worker does for all (:meth:`Plugin.lead`).
    :param drains: it ends when its requests have ended.
    :param responds: False if it did not answer within 2 s. ``processing`` is what was known of it
        then, and ``connections`` and ``accepted`` are 0.
    """

    pid: int
    started_at: float
    memory: int | None = None
    connections: int = 0
    processing: int = 0
    accepted: int = 0
    leads: bool = False
    drains: bool = False
    responds: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadResult:
    """What became of a new configuration, read from files or applied by a plugin.

    :param at: Unix seconds.
    :param by: who applied it, such as ``worker 1 (pid 4711)``; empty if it was read from files.
    :param error: why it cannot be served, in several lines perhaps; empty if it is served.
    """

    at: float
    by: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFigures:
    """What all processes of an instance do at this moment.

    :param version: of pingap.
    :param pid: process id of the supervisor; of the only process if there is no supervisor.
    :param started_at: when that process started, in Unix seconds.
    :param memory: its resident memory in bytes; None where the system does not tell.
    :param workers: the workers, those that drain included.
    :param accepted: requests that began since the start, of locations that are still served; those of
        workers that have ended are included.
    :param last_reload: the last attempt to serve another configuration; None if there was none.
    :param needs_restart: keys whose values only take effect after a restart, such as
        ``basic.threads``.
    """

    version: str
    pid: int
    started_at: float
    memory: int | None
    workers: tuple[WorkerFigures, ...]
    accepted: int
    last_reload: ReloadResult | None = None
    needs_restart: tuple[str, ...] = ()

    @property
    def connections(self) -> int:
        """Clients that are connected, to all workers."""
        return sum(worker.connections for worker in self.workers)

    @property
    def processing(self) -> int:
        """Requests in progress, in all workers."""
        return sum(worker.processing for worker in self.workers)


class Instance(Protocol):
    """The running pingap, as :attr:`Worker.instance`; any worker may use it.

    .. versionadded:: 1.1
    """

    @property
    def config(self) -> ConfigView:
        """The configuration that this worker serves now."""

    @property
    def snapshot(self) -> Snapshot:
        """The texts of that configuration. They may hold secrets."""

    async def check(self, snapshot: Snapshot) -> list[Problem]:
        """Return all that ``pingap -t`` would find in a configuration.

        It runs in a process of its own, one at a time for each worker. It may take as long as
        ``basic.worker_timeout``, or 30 s if that is 0; then that is the problem.

        :returns: problems; or warnings (``is_warning``), if the configuration can be served.
        """

    async def apply(self, snapshot: Snapshot, *, by: str = "") -> list[str]:
        """Serve a configuration in all workers, as a reload does; return when all of them serve it.

        It is not written to any file: the next reload reads the files, and so does a restart. One
        configuration is applied at a time. If the caller is cancelled, it is applied all the same.

        :param by: who wants it, for the log: the name of a user, say.
        :returns: keys whose values only take effect after a restart, such as ``basic.threads``.
        :raises ApplyError: it cannot be served, and nothing has changed; or pingap starts or ends
            just now.
        """

    async def restart(self) -> None:
        """Let a new process with the same command line take over; return when it serves.

        No request is lost: this process ends when its requests have ended. The new one reads the
        configuration from the files.

        :raises RestartError: it could not serve, or there is no supervisor.
        """

    async def figures(self) -> InstanceFigures:
        """Return what all processes do at this moment.

        :raises TimeoutError: the supervisor does not answer within 10 s.
        """
