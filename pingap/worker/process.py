"""A worker process apart from serving: it receives messages of its supervisor and reports to it."""

from __future__ import annotations

import logging
import signal
from functools import partial
from socket import socket
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from pingap.build.listeners import with_listeners
from pingap.build.loading import parse_configuration
from pingap.build.runtime import Runtime
from pingap.config import Config, ConfigError, Snapshot
from pingap.host.services import attempt, keep_running
from pingap.observability.logs import set_log_level
from pingap.observability.sums import Figures, no_figures, put
from pingap.plugins.registry import PluginLoadError
from pingap.plugins.services import PluginStartError, leaves
from pingap.worker.channel import Channel, Message
from pingap.worker.event_loop import run_loop
from pingap.worker.instance import SupervisedInstance
from pingap.worker.listening import Listening
from pingap.worker.rebuild import Rebuild
from pingap.worker.reporter import Reporter
from pingap.worker.resources import raise_file_limit, settle_memory
from pingap.worker.upstream_views import upstream_states
from pingap.worker.worker import Worker

log = logging.getLogger("pingap")

BEAT_SECONDS: Final = 1.0
"""How often a worker reports that it is alive."""
OTHERS_SECONDS: Final = 5.0
"""How long a metrics page waits for the counts of the other workers."""


class WorkerProcess:
    """Runs a worker under the control of its supervisor.

    :param worker: the worker that serves.
    :param channel: to the supervisor.
    :param log_target: the value of ``--log``.
    """

    def __init__(self, worker: Worker, channel: Channel, log_target: str) -> None:
        self._worker = worker
        self._channel = channel
        self._log_target = log_target
        self._prepared: Runtime | None = None
        self._next_sockets: list[Listening] = []
        """The listening sockets to use once the prepared runtime serves."""
        self._passed: list[Listening] = []
        """Those of them that are new to this process."""
        self._preparing: anyio.CancelScope
        self._leaving: anyio.Event
        self._tasks: TaskGroup
        self._at_once = True
        self._draining: anyio.CancelScope
        self._asking: anyio.Lock
        self._reporter = Reporter(channel, lambda: worker.runtime)
        self._others = no_figures()

    def run(self) -> int:
        """Serve until asked to end; return the exit code."""
        code = 0
        try:
            run_loop(self._run)
        except* (PluginLoadError, PluginStartError) as errors:
            text = "; ".join(str(error) for error in leaves(errors))
            self._channel.send("failed", text=text)
            code = 1
        finally:
            self._worker.runtime.log_files.close()
        return code

    async def _run(self) -> None:
        self._leaving, self._draining = anyio.Event(), anyio.CancelScope()
        self._preparing = anyio.CancelScope()
        self._asking = anyio.Lock()
        self._worker.runtime.stats.ask_others = self._ask_others
        self._worker.bus.send = self._tell_others
        self._worker.instance = SupervisedInstance(
            lambda: self._worker.runtime, self._channel, self._log_target
        )
        raise_file_limit(self._worker.runtime.config)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._channel.run)
            tasks.start_soon(keep_running, self._beat)  # plugins may take long to start
            tasks.start_soon(keep_running, self._reporter.run)
            async with self._worker.serving():
                settle_memory()
                self._channel.send("ready")
                tasks.start_soon(self._listen)
                tasks.start_soon(self._watch_signal)
                await self._leaving.wait()
                log.debug("draining")
                with self._draining:
                    await self._worker.drain(at_once=self._at_once)
                await self._reporter.report(on_demand=True)  # while plugins can collect
            await self._reporter.report()
            tasks.cancel_scope.cancel()

    async def _watch_signal(self) -> None:
        """Drain when a signal asks this process to end."""
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                self._channel.send("leaving")
                self._leave(at_once=False)

    def _leave(self, *, at_once: bool) -> None:
        self._at_once = at_once
        self._leaving.set()
        self._preparing.cancel()

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            await self._obey(message)
            await anyio.lowlevel.checkpoint()  # several messages may have arrived at once
        log.warning("the supervisor is gone")
        self._leave(at_once=False)

    async def _obey(self, message: Message) -> None:
        kind = message["kind"]
        if kind == "drain":
            self._leave(at_once=message["at_once"])
        elif kind == "cut":
            self._draining.cancel()
        elif kind == "prepare":
            self._tasks.start_soon(self._prepare, message)
        elif kind == "swap":
            await self._swap()
        elif kind == "swapped":  # all earlier messages have been handled
            self._channel.reply(message)
        elif kind == "state":
            self._channel.reply(message, state=self._worker.state())
        elif kind == "upstreams":
            self._channel.reply(message, upstreams=upstream_states(self._worker.runtime))
        elif kind == "discard":
            self._preparing.cancel()
            self._worker.discard()
            self._prepared = None
            self._close_passed()
        elif kind == "reopen":
            self._worker.runtime.log_files.reopen()
        elif kind == "report":
            self._tasks.start_soon(attempt, self._answer_report, message)
        elif kind == "others":
            put(self._others, message["entries"])
        elif kind == "bus":
            self._worker.bus.deliver(message["key"], message["value"], retain=message["retain"])
        elif kind == "lead":
            self._worker.lead()
        else:
            raise AssertionError(f"the supervisor says {kind}")

    async def _prepare(self, message: Message) -> None:
        """Build the next runtime beside the current one, and report the result."""
        self._take_sockets(message)
        failure = ""
        load = partial(self._load, message["snapshot"])
        rebuild = Rebuild(self._worker.runtime, load, self._log_target)
        with anyio.CancelScope() as self._preparing:
            try:
                runtime = await rebuild.run()
                await self._worker.prepare(runtime)
            except (ConfigError, PluginLoadError, PluginStartError) as error:
                failure = str(error)
            except Exception as error:
                log.exception("the new configuration cannot be prepared")
                failure = f"{type(error).__name__}: {error}"
            else:
                self._prepared = runtime
        if rebuild.is_stuck and not self._leaving.is_set():
            log.error(
                "code of a plugin hangs while the configuration is built: the worker is replaced"
            )
            self._channel.send("leaving")
            self._leave(at_once=False)
        self._channel.reply(message, failure=failure, leaving=self._leaving.is_set())

    def _load(self, snapshot: str) -> Config:
        registry = self._worker.runtime.registry
        config = parse_configuration(Snapshot.from_bytes(snapshot.encode()), registry)
        return with_listeners(config, registry)

    def _take_sockets(self, message: Message) -> None:
        """Collect the sockets to accept from: existing ones, and those that were passed."""
        self._close_passed()
        passed = {
            number: socket(fileno=fd)
            for number, fd in zip(message["passed"], message.get("fds", ()), strict=True)
        }
        here = {one.number: one.sock for one in self._worker.sockets}
        self._next_sockets = [
            Listening(server, address, {**here, **passed}[number], None, is_shared, number=number)
            for number, server, address, is_shared in message["listeners"]
        ]
        self._passed = [one for one in self._next_sockets if one.number in passed]

    def _close_passed(self) -> None:
        for one in self._passed:
            one.sock.close()
        self._passed = []

    async def _swap(self) -> None:
        if self._prepared is None:  # the worker is ending
            self._close_passed()
            return
        prepared, self._prepared, self._passed = self._prepared, None, []
        raise_file_limit(prepared.config)
        set_log_level(prepared.config.basic.log_level)
        await self._worker.swap(prepared, self._next_sockets)

    async def _beat(self) -> None:
        """Report that the event loop is running."""
        while True:
            self._channel.send("beat", requests=self._worker.runtime.stats.processing)
            await anyio.sleep(BEAT_SECONDS)

    async def _answer_report(self, message: Message) -> None:
        await self._reporter.report(on_demand=True)
        self._channel.reply(message)

    def _tell_others(self, key: str, value: str, retain: bool) -> None:
        self._channel.send("bus", key=key, value=value, retain=retain)

    async def _ask_others(self) -> Figures:
        """Return the counts of all other workers."""
        await (
            self._reporter.report()
        )  # values shown on a page must not be lost if this process ends
        async with self._asking:
            self._others = no_figures()
            await self._channel.ask("others", OTHERS_SECONDS)
            return self._others
