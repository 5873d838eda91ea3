"""The counts of a worker as plain data, to be sent to another process and added up.

A metrics page shows the sum of all workers of an instance, including those that have ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pingap.observability.sums import GAUGES, Entry, Figures, no_figures, put
from pingap.upstream.metrics import clear_gauges, upstream_figures

if TYPE_CHECKING:
    from pingap.build.runtime import Runtime


class ChangedFigures:
    """Finds the counts of a worker that have changed since the last call."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], object] = {}
        self._gauges: set[tuple[str, ...]] = set()
        """The positions of plugin metrics, which may disappear."""

    def since_last(self, runtime: Runtime) -> Iterator[Entry | None]:
        """Yield each part that changed, and None for each that did not.

        The caller may stop at any of them and continue later.
        """
        for name, stats in runtime.stats.locations.items():
            path: tuple[str, ...] = ("locations", name)
            counted = stats.processing, stats.ended
            if self._known.get(path, (0, 0)) == counted:
                yield None
            else:
                self._known[path] = counted
                yield list(path), stats.figures()
        gauges, self._gauges = self._gauges, set()
        for path, value in _of_all_but_locations(runtime):
            if path[0] == GAUGES:
                self._gauges.add(path)
            if self._known.get(path) == value:
                yield None
            else:
                self._known[path] = value
                yield list(path), value
        for path in gauges - self._gauges:
            del self._known[path]
            yield list(path), None


def _of_all_but_locations(runtime: Runtime) -> Iterator[tuple[tuple[str, ...], Any]]:
    for (plugin, location), count in list(runtime.plugin_failures.counts.items()):
        yield ("failures", plugin, location), count
    for (server, plugin), count in list(runtime.stats.refused.items()):
        yield ("refused", server, plugin), count
    for server, handshakes in runtime.stats.handshakes.items():
        yield ("handshakes", server), handshakes.figures()
    yield from runtime.collectors.metrics.figures()
    for name, times in list(runtime.stats.upstream_times.items()):
        yield ("upstream_times", name), times.figures()
    for upstream in runtime.upstreams.values():
        yield ("upstreams", upstream.name), upstream_figures(upstream)
        for name, backends in runtime.health.counts_of(upstream).figures().items():
            yield ("health", name, upstream.name), backends.get(upstream.name, {})


def figures_of(runtime: Runtime) -> Figures:
    """Return all counts of this worker."""
    figures = no_figures()
    put(figures, filter(None, ChangedFigures().since_last(runtime)))
    return figures


def without_gauges(figures: Figures) -> Figures:
    """Return the figures of a worker that has ended, without values that describe a current state."""
    for location in figures["locations"].values():
        location["processing"] = 0
    for upstream in figures["upstreams"].values():
        clear_gauges(upstream)
    figures["health"].pop("healthy", None)
    figures["process"].clear()
    figures[GAUGES].clear()
    return figures
