"""Plugin instances with something to do at start, at the end, or in between."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import anyio
from anyio.abc import TaskGroup, TaskStatus

from pingap.chains import Instance
from pingap.plugin import Plugin

log = logging.getLogger("pingap")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors inside of an exception group, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


class PluginStartError(Exception):
    """A plugin's ``startup`` raised; the message names the instance and the error."""


class PluginTasks:
    """Runs ``startup`` and ``shutdown`` of instances, each in a task group of its own.

    :param tasks: the task group in which all of them live.
    """

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._stops: dict[Plugin, anyio.Event] = {}
        """Running plugin -> what ends it."""
        self._ended = anyio.Event()

    async def start(self, instances: Iterable[Instance]) -> None:
        """Call ``startup`` of every instance that does not run, one after the other.

        :raises PluginStartError: one of them raised.
        """
        for instance in instances:
            cls = type(instance.plugin)
            if cls.startup is Plugin.startup and cls.shutdown is Plugin.shutdown:
                continue
            if instance.plugin in self._stops:
                continue
            try:
                await self._tasks.start(self._run, instance)
            except Exception as error:
                reason = "; ".join(str(one) for one in leaves(error))
                raise PluginStartError(f"plugin {instance.name} cannot start: {reason}") from error

    def stop(self, keep: Iterable[Instance] = ()) -> None:
        """Let instances run their ``shutdown`` and end their tasks.

        :param keep: those that go on.
        """
        kept = {instance.plugin for instance in keep}
        for plugin, stop in self._stops.items():
            if plugin not in kept:
                stop.set()

    async def ended(self) -> None:
        """Return when every instance has ended."""
        while self._stops:
            self._ended = anyio.Event()
            await self._ended.wait()

    async def _run(self, instance: Instance, *, task_status: TaskStatus[None]) -> None:
        plugin, started = instance.plugin, False
        stop = self._stops[plugin] = anyio.Event()
        try:
            async with anyio.create_task_group() as own:
                await plugin.startup(own)
                started = True
                task_status.started()
                await stop.wait()
                await plugin.shutdown()
                own.cancel_scope.cancel()
        except Exception:
            if not started:
                raise
            log.exception("plugin %s failed in the background", instance.name)
        finally:
            del self._stops[plugin]
            self._ended.set()
