"""The supervising process: reacts to signals and file changes while its workers serve."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus

from pingap.config import Snapshot
from pingap.config.storage.files import FileStorage
from pingap.config.storage.interface import ConfigStorage
from pingap.config.watch import ConfigurationWatch
from pingap.host.early_signals import release_signals
from pingap.host.services import keep_running
from pingap.host.systemd import Notifier
from pingap.observability.notifications import INFO
from pingap.supervisor.control import Control
from pingap.supervisor.operator_commands import OperatorCommands
from pingap.supervisor.options import ServeOptions
from pingap.supervisor.reload import Reloader
from pingap.supervisor.storage_watch import StorageWatch
from pingap.supervisor.succession import Succession
from pingap.supervisor.supervisor import Supervisor, ended_processes
from pingap.supervisor.upgrade import HandOverError, hand_over
from pingap.supervisor.waiter import is_sent_by_terminal

log = logging.getLogger("pingap")

_SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

_TURNS_OF_A_SIGNAL: Final = 8
"""Turns of the loop after which a signal has reached ``_obey``: three, and one for each other signal."""


FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Pauses in seconds before a reload with a temporary failure is repeated: doubled each time."""

_HANDING_OVER: Final = "another new process is already about to take over"


class Master:
    """Runs a supervisor.

    :param supervisor: its workers have not been started yet.
    :param options: of the command line.
    :param succession: starts the process that replaces this one.
    :param notifier: to systemd.
    :param watch: of all files of the configuration, as they were before they were read; None: not watched.
    :param storage: of the configuration.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        options: ServeOptions,
        succession: Succession,
        notifier: Notifier,
        watch: ConfigurationWatch | None,
        storage: ConfigStorage,
    ) -> None:
        self._supervisor = supervisor
        self._options = options
        self._succession = succession
        self._notifier = notifier
        self._watch = watch
        self._storage = storage
        self._reloader = Reloader(supervisor, options, storage, watch)
        control = Control(supervisor, self._reloader, notifier, self.refusal, self.upgrade)
        supervisor.answers |= control.answers
        self._commands = OperatorCommands(
            supervisor, self._reloader, options, control.figures, self
        )
        self._pause = FIRST_PAUSE
        self._draining = False
        self._started = anyio.Event()
        self._handing_over = False
        self._starting = 0
        """A process that was started here to take over, and does not serve yet."""
        self._ends_passed_on = 0
        """How often the process that took over was asked to end through this one."""
        self._failed: dict[int, int] = {}
        """Other child processes that have ended -> how."""
        self._tasks: TaskGroup

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until a signal ends it.

        :param ready: called once all workers accept connections.
        :raises StartError: a worker cannot serve.
        """
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            with anyio.open_signal_receiver(*_SIGNALS) as signals:
                await tasks.start(self._reap)
                tasks.start_soon(self._obey, signals)
                release_signals()  # those that arrived earlier
                try:
                    await self._supervisor.start(tasks)
                    ready()
                    self._started.set()
                    await self._reloader.record_start()
                except BaseException:
                    self._supervisor.kill()
                    raise
                tasks.start_soon(keep_running, self._supervisor.base.runtime.log_files.run)
                if (control := self._supervisor.base.control) is not None:
                    tasks.start_soon(keep_running, control.serve, self._commands.answer)
                if self._watch is not None:
                    tasks.start_soon(keep_running, self._watch_files, self._watch)
                    if not isinstance(self._storage, FileStorage):
                        tasks.start_soon(self._watch_storage)
                if (seconds := self._notifier.seconds_between_signs) is not None:
                    tasks.start_soon(keep_running, self._give_signs, seconds)
                await anyio.sleep_forever()

    async def _obey(self, signals: AsyncIterator[signal.Signals]) -> None:
        async for number in signals:
            if self._succession.pass_on(number):
                self._ends_passed_on += number in (signal.SIGTERM, signal.SIGINT)
                if self._ends_passed_on < 2:
                    continue  # the second one ends everything that is left here as well
            if number in (signal.SIGTERM, signal.SIGINT) and not self._started.is_set():
                self._tasks.cancel_scope.cancel()
            elif number in (signal.SIGTERM, signal.SIGINT):
                if self._draining:
                    log.warning("second %s: exiting immediately", number.name)
                    self._supervisor.tell("cut")
                else:
                    if self._starting and not is_sent_by_terminal(number):
                        with suppress(ProcessLookupError):
                            os.kill(self._starting, number)
                    self._tasks.start_soon(self._end)
            elif self._draining:
                continue
            elif number == signal.SIGHUP:
                self._tasks.start_soon(self._reload)
            elif number == signal.SIGUSR1:
                self._reopen_logs()
            else:
                self._tasks.start_soon(self._upgrade, number == signal.SIGUSR2)

    async def _reap(self, *, task_status: TaskStatus[None]) -> None:
        """Collect ended processes, including orphans that process 1 inherits."""
        with anyio.open_signal_receiver(signal.SIGCHLD) as signals:
            task_status.started()
            async for _ in signals:
                for pid, status in ended_processes():
                    if not self._supervisor.on_end(pid, status) and self._handing_over:
                        self._failed[pid] = status

    async def _give_signs(self, seconds: float) -> None:
        while True:
            self._notifier.alive()
            await anyio.sleep(seconds)

    # What commands ask for.

    def start(self, job: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Do something without waiting for its end."""
        self._tasks.start_soon(job)

    async def upgrade(self) -> str:
        """Start a process that takes over; return why it did not, empty if it did."""
        return await self._upgrade(True)

    async def reload(self) -> None:
        """Read the configuration again, and apply it."""
        await self._reload()

    async def stop(self, *, at_once: bool, now: bool) -> None:
        """End with the last request.

        :param at_once: see ``Supervisor.drain``.
        :param now: cut requests off.
        """
        if not self._draining:
            self._draining = True
            self._tasks.start_soon(partial(self._end, at_once=at_once))
            await (
                anyio.lowlevel.checkpoint()
            )  # the workers are told to drain before they are told to end
        if now:
            self._supervisor.tell("cut")

    # The end.

    async def _end(self, *, at_once: bool = True) -> None:
        """Drain, and end with the last request.

        :param at_once: no process takes over: see ``Supervisor.drain``.
        """
        self._draining = True
        if at_once:
            self._notifier.stopping("draining")
        log.info("draining")
        await self._supervisor.drain(at_once=at_once)
        self._succession.block_signals()
        for _ in range(_TURNS_OF_A_SIGNAL):  # earlier signals are still passed on
            await anyio.lowlevel.checkpoint()
        self._tasks.cancel_scope.cancel()

    async def _upgrade(self, start: bool) -> str:
        """Let another process take over; continue here if it does not serve.

        :param start: start that process; otherwise it has been started elsewhere.
        :returns: why none took over; empty if one did.
        """
        if self._handing_over:
            log.warning(_HANDING_OVER)
            return _HANDING_OVER
        self._handing_over = True
        await self._started.wait()
        path = self._supervisor.base.runtime.config.basic.upgrade_sock
        try:
            self._starting = successor = self._succession.start() if start else 0
            text = f"handing over to a new process{f' (pid {successor})' if start else ''}"
            log.info("%s", text)
            self._supervisor.notify("restart", text, level=INFO)
            await hand_over(
                self._supervisor.sockets, path, lambda: self._failed.get(successor, 0) != 0
            )
        except HandOverError as error:
            log.error("no new process took over; this one continues to serve: %s", error)  # noqa: TRY400
            text = "no new process took over; this one continues to serve"
            self._supervisor.notify("restart_fail", text, str(error))
            return str(error)
        finally:
            self._handing_over = False
            self._starting = 0
            self._failed.clear()
        log.info("a new process has taken over")
        if start:
            self._succession.on_success(successor)
        if not self._draining:
            self._draining = True
            self._tasks.start_soon(partial(self._end, at_once=False))
        return ""

    # Changes.

    def refusal(self) -> str:
        """Return why nothing can be changed now; empty if it can."""
        if not self._started.is_set():
            return "pingap is still starting"
        return "pingap is shutting down" if self._draining else ""

    def _reopen_logs(self) -> None:
        log.info("log files were reopened")
        self._supervisor.base.runtime.log_files.reopen()
        self._supervisor.tell("reopen")

    async def _reload(self, snapshot: Snapshot | None = None) -> None:
        """Read the configuration again, and apply it.

        :param snapshot: the configuration, if it has already been read.
        """
        await self._started.wait()
        self._notifier.reloading()
        try:
            restart = await self._reloader.reload(snapshot)
        except Exception:  # a bug, perhaps in a plugin: the workers continue to serve
            text = "the configuration stays as it was; the new one cannot be built"
            log.exception(text)
            self._supervisor.notify("reload_config_fail", text)
            return
        finally:
            self._notifier.ready()
            self._try_again()
        if restart and self._options.autorestart:
            log.info("a new process is started to apply the change")
            await self._upgrade(True)

    def _try_again(self) -> None:
        """Reload once more after a pause, if changes are watched and the failure may be temporary.

        Nothing else would start it, because the watched files need not change again.
        """
        if self._watch is None or not self._reloader.may_pass:
            self._pause = FIRST_PAUSE
            return
        log.warning("the new configuration is tried again in %g s", self._pause)
        self._tasks.start_soon(self._reload_after, self._pause, self._reloader.last)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    async def _reload_after(self, seconds: float, failed: object) -> None:
        await anyio.sleep(seconds)
        if self._reloader.last is failed and not self._draining:  # otherwise it has changed since
            await self._reload()

    async def _watch_files(self, watch: ConfigurationWatch) -> None:
        while not self._draining:
            await anyio.sleep(watch.seconds_to_wait(time.monotonic()))
            if not self._draining and (changed := watch.poll(time.monotonic())):
                log.info("changed: %s", ", ".join(changed[:8]))
                await self._reload()

    async def _watch_storage(self) -> None:
        def served() -> str:
            return self._supervisor.base.runtime.config.snapshot.version

        async def reload(snapshot: Snapshot) -> None:
            if not self._draining:
                await self._reload(snapshot)

        await StorageWatch(self._storage, served, reload).run()
