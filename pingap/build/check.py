"""Finds everything wrong with a configuration, without serving, opening or writing anything."""

from __future__ import annotations

from dataclasses import replace

from pingap.build.graph import build
from pingap.build.loading import load_configuration
from pingap.build.machine import start_problems
from pingap.config import ConfigError, Problem, Snapshot
from pingap.config.problem import in_file_order
from pingap.observability.log_files import LogFiles
from pingap.plugins.registry import Registry


def check(snapshot: Snapshot, registry: Registry, log_target: str = "") -> list[Problem]:
    """Return the errors of a configuration; if there are none, its warnings.

    Plugins are built and not started.

    :param log_target: the value of ``--log``.
    """
    try:
        config = load_configuration(snapshot, registry)
    except ConfigError as error:
        return error.problems
    problems = start_problems(config)
    try:
        runtime = build(config, registry, log_target, LogFiles(opens=False))
    except ConfigError as error:
        problems += error.problems
    if problems:
        return in_file_order(problems)
    return [replace(one, is_warning=True) for one in (*config.warnings, *runtime.warnings)]
