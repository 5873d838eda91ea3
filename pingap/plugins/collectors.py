"""Metrics of plugin instances, including those that are collected when a page is read."""

from __future__ import annotations

import inspect

import anyio.lowlevel

from pingap.http.errors import PluginError
from pingap.observability.metric_families import PluginMetrics
from pingap.observability.plugin_failures import PluginFailures
from pingap.plugins.base import Plugin
from pingap.plugins.chains import Instance
from pingap.plugins.checks import place_of_function


class Collectors:
    """Finds the metrics of instances, and those that they collect.

    :param failures: where an instance that raises is reported.
    """

    def __init__(self, failures: PluginFailures) -> None:
        self.metrics = PluginMetrics()
        """All collected metrics, as of the last collection."""
        self._failures = failures
        self._instances: list[Instance] = []
        """Those that collect."""

    def add(self, instance: Instance) -> None:
        """Add the metrics that an instance keeps, and note whether it collects others.

        :raises ValueError: a metric that cannot be counted, or an async ``collect``.
        """
        self.metrics.add(instance.name, instance.plugin)
        collect = type(instance.plugin).collect
        if collect is Plugin.collect:
            return
        if inspect.iscoroutinefunction(collect) or inspect.isasyncgenfunction(collect):
            raise ValueError(f"{collect.__qualname__} is async; it must be a plain method")
        self._instances.append(instance)
        self.metrics.let_collect(instance.name)

    async def run(self) -> None:
        """Call ``collect`` of all instances, one in each turn of the event loop."""
        for instance in self._instances:
            self._collect(instance)
            await anyio.lowlevel.checkpoint()

    def _collect(self, instance: Instance) -> None:
        collect = instance.plugin.collect
        try:
            self.metrics.replace(instance.name, collect())
        except BaseException as error:
            failure = PluginError(instance.name, "collect", place_of_function(collect))
            failure.__cause__ = error
            self._failures.report(failure, "")
