"""What a worker has counted, as plain data: to be sent to another process and added up.

A metrics page shows all workers of an instance, those that have ended included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pingap.health.metrics import HealthCounts
from pingap.observability.handshakes import add_handshakes
from pingap.observability.metrics import LocationStats
from pingap.observability.sums import add_nested
from pingap.observability.upstream_metrics import clear_gauges, upstream_figures

if TYPE_CHECKING:
    from pingap.builder import Runtime

Figures: TypeAlias = dict[str, Any]
"""``locations``: name -> figures of a location; ``failures``: plugin, location and count;
``handshakes``: server -> figures; ``plugins``: instance -> metric -> series; ``health``: figures of ``HealthCounts``; ``upstreams``:
see ``upstream_figures``."""


def figures_of(runtime: Runtime) -> Figures:
    """Return what this worker has counted."""
    failures = runtime.plugin_failures.counts
    return {
        "locations": _of_locations(runtime.stats.locations),
        "failures": [[*key, count] for key, count in failures.items()],
        "handshakes": {
            name: handshakes.figures() for name, handshakes in runtime.stats.handshakes.items()
        },
        "plugins": runtime.plugin_metrics.figures(),
        "upstreams": upstream_figures(runtime.upstreams.values()),
        "health": runtime.health.counts().figures(),
    }


def _of_locations(locations: Mapping[str, LocationStats]) -> dict[str, Any]:
    """Return the figures of locations by name."""
    return {name: stats.figures() for name, stats in locations.items()}


def add_figures(parts: Iterable[Figures]) -> Figures:
    """Return the sum of what several workers have counted."""
    parts = list(parts)
    locations: dict[str, LocationStats] = {}
    failures: dict[tuple[str, str], int] = {}
    plugins: dict[str, dict[str, Any]] = {}
    upstreams: dict[str, dict[str, Any]] = {}
    health = HealthCounts()
    for part in parts:
        for name, figures in part["locations"].items():
            locations.setdefault(name, LocationStats()).add(LocationStats.of(figures))
        for plugin, location, count in part["failures"]:
            key = plugin, location
            failures[key] = failures.get(key, 0) + count
        add_nested(plugins, part["plugins"])
        add_nested(upstreams, part["upstreams"])
        health.add(HealthCounts.of(part["health"]))
    return {
        "locations": _of_locations(locations),
        "failures": [[*key, count] for key, count in failures.items()],
        "handshakes": add_handshakes(part["handshakes"] for part in parts),
        "plugins": plugins,
        "upstreams": upstreams,
        "health": health.figures(),
    }


def without_gauges(figures: Figures) -> Figures:
    """Return the figures of a worker that has ended: nothing is in progress or known there."""
    for location in figures["locations"].values():
        location["processing"] = 0
    for upstream in figures["upstreams"].values():
        clear_gauges(upstream)
    figures["health"]["healthy"] = []
    return figures
