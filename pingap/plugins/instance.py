"""The running pingap, with all its processes, as plugins see and control it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pingap.config.problem import Problem

if TYPE_CHECKING:
    from pingap.config import ConfigView, Snapshot


class ApplyError(Exception):
    """A configuration cannot be served; the previous one still is.

    :param reason: the message.
    :param problems: errors in the configuration; empty if the cause is something else, such as a plugin
        whose ``startup`` raised in a worker.
    """

    def __init__(self, reason: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(reason)
        self.problems = list(problems)


class RestartError(Exception):
    """No new process took over; the running one continues. The message gives the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFigures:
    """The current activity of one worker process.

    :param pid: its process id.
    :param started_at: Unix seconds.
    :param memory: resident memory in bytes; None where the system does not report it.
    :param connections: clients that are connected.
    :param processing: requests in progress.
    :param accepted: requests that began since the worker started, at locations that are still served.
    :param leads: it does the work that one worker does for all (:meth:`Plugin.lead`).
    :param drains: it ends when its requests have ended.
    :param responds: False if it did not answer within 2 s. ``processing`` is then the last known value,
        and ``connections`` and ``accepted`` are 0.
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
    """The outcome of a new configuration, read from files or applied by a plugin.

    :param at: Unix seconds.
    :param by: who applied it, such as ``worker 1 (pid 4711)``; empty if it was read from files.
    :param error: why it cannot be served, possibly in several lines; empty if it is served.
    """

    at: float
    by: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFigures:
    """The current activity of all processes of an instance.

    :param version: of pingap.
    :param pid: process ID of the supervisor, or of the only process if there is no supervisor.
    :param started_at: when that process started, in Unix seconds.
    :param memory: its resident memory in bytes; None where the system does not report it.
    :param workers: the workers, including those that drain.
    :param accepted: requests that began since the start, at locations that are still served, including
        those of workers that have ended.
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
        """The texts of that configuration. They may contain secrets."""

    async def check(self, snapshot: Snapshot) -> list[Problem]:
        """Return everything that ``pingap -t`` would report about a configuration.

        It runs in a process of its own, one at a time for each worker. If it takes longer than
        ``basic.worker_timeout``, or than 30 s if that is 0, this is the reported problem.

        :returns: problems; or warnings (``is_warning``), if the configuration can be served.
        """

    async def apply(self, snapshot: Snapshot, *, by: str = "") -> list[str]:
        """Serve a configuration in all workers, as a reload does; return when all of them serve it.

        It is not written to any file: the next reload reads the files, and so does a restart. One
        configuration is applied at a time. If the caller is cancelled, it is applied nevertheless.

        :param by: who applies it, for the log, such as the name of a user.
        :returns: keys whose values only take effect after a restart, such as ``basic.threads``.
        :raises ApplyError: it cannot be served and nothing has changed, or pingap is starting or stopping.
        """

    async def restart(self) -> None:
        """Let a new process with the same command line take over; return when it serves.

        No request is lost: this process ends when its requests have ended. The new one reads the
        configuration from the files.

        :raises RestartError: it could not serve, or there is no supervisor.
        """

    async def figures(self) -> InstanceFigures:
        """Return the current activity of all processes.

        :raises TimeoutError: the supervisor does not answer within 10 s.
        """
