"""The result of checking a configuration."""

from __future__ import annotations

from collections.abc import Iterable

from pingap.config import ConfigError
from pingap.plugins.base import Plugin
from pingap.testing.build import build_runtime
from pingap.testing.logs import Recorder


def configuration_problems(toml: str, *, categories: Iterable[type[Plugin]] = ()) -> list[str]:
    """Return what ``pingap -t`` would report, one line for each problem; empty if there is none.

    :param toml: the configuration; problems call it ``pingap.toml``.
    :param categories: plugin classes that need not be installed.
    """
    files = Recorder().files
    try:
        build_runtime(toml, categories, files)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    finally:
        files.close()
    return []
