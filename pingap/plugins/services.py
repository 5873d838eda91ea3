"""Plugin instances that do work at the start, at the end, or in the background."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pingap.http.errors import PluginError
from pingap.observability.plugin_failures import PluginFailures, place_of
from pingap.plugins.background_tasks import BackgroundTasks
from pingap.plugins.base import Plugin
from pingap.plugins.chains import Instance
from pingap.plugins.checks import place_of_function
from pingap.plugins.foreign_code import end_tasks, is_from_outside
from pingap.plugins.worker import Worker

log = logging.getLogger("pingap")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors inside an exception group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


class PluginStartError(Exception):
    """A plugin's ``startup`` raised; the message names the instance and the error."""


class PluginTasks:
    """Runs ``startup`` and ``shutdown`` of instances, each in a task of its own.

    :param failures: where errors in the background are reported.
    :param worker_for: returns the ``Worker`` that is passed to an instance.
    """

    def __init__(self, failures: PluginFailures, worker_for: Callable[[Instance], Worker]) -> None:
        self._failures = failures
        self._worker_for = worker_for
        self._leads = False
        self._lives: dict[Plugin, _Life] = {}
        self._ending: set[_Life] = set()

    async def start(self, instances: Iterable[Instance]) -> None:
        """Call ``startup`` of every instance that is not running, one after the other.

        :raises PluginStartError: one of them raised.
        """
        for instance in instances:
            cls = type(instance.plugin)
            if not _has_a_life(cls):
                continue
            if instance.plugin in self._lives:
                continue
            life = _Life(instance, self._failures, self._worker_for(instance))
            await life.started()
            self._lives[instance.plugin] = life
            if self._leads:
                life.lead()

    def stop(self, keep: Iterable[Instance] = ()) -> None:
        """Let instances run ``shutdown`` and end their tasks.

        :param keep: those that continue.
        """
        kept = {instance.plugin for instance in keep}
        for plugin in self._lives.keys() - kept:
            life = self._lives.pop(plugin)
            life.stop.set()
            self._ending.add(life)
            life.task.add_done_callback(partial(self._forget, life))

    def lead(self) -> None:
        """Start ``lead`` of the instances: the work that one worker does for all."""
        self._leads = True
        for life in self._lives.values():
            life.lead()

    async def follow(self) -> None:
        """Leave that work to another worker from now on."""
        self._leads = False
        for life in list(self._lives.values()):
            await life.follow()

    async def ended(self) -> None:
        """Return when every instance that was stopped has ended."""
        if self._ending:
            await asyncio.wait([life.task for life in self._ending])

    async def cut(self) -> None:
        """Abandon the remaining instances, even if they ignore cancellation."""
        lives = list(self._ending)
        await end_tasks(life.task for life in lives)
        for life in lives:
            await life.end_tasks()

    def _forget(self, life: _Life, _: object) -> None:
        self._ending.discard(life)


def _has_a_life(cls: type[Plugin]) -> bool:
    names = ("startup", "lead", "shutdown")
    return any(getattr(cls, name) is not getattr(Plugin, name) for name in names)


class _Life:
    """One instance from its ``startup`` to its ``shutdown``, which run in the same task.

    :param instance: the instance to start.
    :param failures: where its errors are reported.
    :param worker: passed to it.
    """

    def __init__(self, instance: Instance, failures: PluginFailures, worker: Worker) -> None:
        self._instance = instance
        self._worker = worker
        self._leading: BackgroundTasks | None = None
        self._failures = failures
        self._tasks = BackgroundTasks(instance.name, self._report_task)
        self._started = asyncio.Event()
        self._error: BaseException | None = None
        self.stop = asyncio.Event()
        """Set when it should end."""
        self.task = asyncio.create_task(self._run(), name=f"plugin {instance.name}")

    async def started(self) -> None:
        """Return once ``startup`` has finished.

        :raises PluginStartError: ``startup`` raised.
        """
        try:
            await self._started.wait()
        except BaseException:
            await end_tasks([self.task])
            raise
        if (error := self._error) is not None:
            reason = "; ".join(_reason(one) for one in leaves(error))
            text = f"plugin {self._instance.name} cannot start: {reason}"
            raise PluginStartError(text) from error

    async def _run(self) -> None:
        plugin = self._instance.plugin
        try:
            if takes_worker(plugin.startup):
                await plugin.startup(self._tasks, self._worker)
            else:
                await plugin.startup(self._tasks)  # type: ignore[call-arg]  # contract 1.0
        except BaseException as error:
            self._error = error
        else:
            self._started.set()
            await self._until_stopped()
            await self.follow()
            await self._shut_down(plugin.shutdown)
        await self.end_tasks()
        self._started.set()

    def lead(self) -> None:
        """Run ``lead`` of the instance, if it has one."""
        plugin = self._instance.plugin
        if type(plugin).lead is Plugin.lead or self._leading is not None or self.stop.is_set():
            return
        self._leading = BackgroundTasks(self._instance.name, self._report_task)
        self._leading.start_service(plugin.lead, self._leading, self._worker)

    async def follow(self) -> None:
        """Cancel ``lead`` and its tasks."""
        leading, self._leading = self._leading, None
        if leading is not None:
            await self._end(leading)

    async def end_tasks(self) -> None:
        """End its background tasks, and report those that do not end."""
        await self.follow()
        await self._end(self._tasks)

    async def _end(self, tasks: BackgroundTasks) -> None:
        if stubborn := await tasks.end():
            text = "plugin %s: %d background tasks ignored cancellation"
            log.warning(text, self._instance.name, stubborn)

    async def _until_stopped(self) -> None:
        try:
            await self.stop.wait()
        except asyncio.CancelledError as error:
            # For example by a task group that ``startup`` entered. ``shutdown`` may exit it and give the
            # reason.
            if not self.stop.is_set():
                self._report(error, "the background")

    async def _shut_down(self, shutdown: Callable[[], object]) -> None:
        try:
            await self._instance.plugin.shutdown()
        except BaseException as error:
            if is_from_outside(error) and self.stop.is_set():
                log.warning("plugin %s: shutdown took too long", self._instance.name)
            else:
                self._report(error, "shutdown", place_of_function(shutdown))

    def _report_task(self, error: BaseException, name: str) -> None:
        self._report(error, f"the background task {name}")

    def _report(self, error: BaseException, where: str, place: str = "") -> None:
        failure = PluginError(self._instance.name, where, place)
        failure.__cause__ = error
        self._failures.report(failure, "")


def takes_worker(startup: Callable[..., object]) -> bool:
    """Return whether a ``startup`` has the second parameter (contract 1.1)."""
    kinds = [one.kind for one in inspect.signature(startup).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return True
    return kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) > 1


def _reason(error: BaseException) -> str:
    """Describe an error, with its place if the error alone says too little."""
    if type(error) in (RuntimeError, ValueError, OSError) and str(error):
        return str(error)
    name = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    place = place_of(error)
    return f"{name} ({place})" if place else name
