"""Builds a runtime graph from TOML and plugin classes, like the command line but in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from pingap.build.additions import with_additions
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import Config, parse
from pingap.observability.log_files import LogFiles
from pingap.plugins.base import Plugin
from pingap.plugins.registry import GROUP

METRICS_PATH: Final = "/.pingap.testing/metrics"
"""Path of the metrics page for servers that configure none."""


def build_runtime(toml: str, categories: Iterable[type[Plugin]], log_files: LogFiles) -> Runtime:
    """Build the runtime of a proxy.

    :param categories: plugin classes in addition to the installed ones.
    :raises ConfigError: with everything that is wrong.
    """
    registry = installed_registry(_installed(tuple(sys.path)))
    for cls in dict.fromkeys(categories):
        registry.offer(cls)
    config = parse(toml, "pingap.toml", claims=registry.claims)
    return build(adjusted(with_additions(config, registry)), registry, log_files=log_files)


def adjusted(config: Config) -> Config:
    """Adapt a configuration for tests: there is a metrics page, and backends are not checked."""
    for name, settings in config.servers.items():
        if not settings.prometheus_metrics:
            update = {"prometheus_metrics": METRICS_PATH}
            config.servers[name] = settings.model_copy(update=update)
    for name, upstream in config.upstreams.items():
        if "health_check" not in upstream.model_fields_set:  # tests count connections and requests
            config.upstreams[name] = upstream.model_copy(update={"health_check": "none"})
    return config


@lru_cache(maxsize=8)
def _installed(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points below a ``sys.path``; cached, because finding them takes as long as the rest."""
    return tuple(entry_points(group=GROUP))
