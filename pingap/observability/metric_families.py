"""The metrics of all plugins, by name: the series of the page, and the counts of other workers.

A plugin keeps its metrics as attributes, which the core finds when it builds an instance, or creates some
when the page is read. A series is identified by its plugin, the shape of its metric and its labels, so that
those of several workers can be added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pingap.observability.plugin_metrics import Gauge, Metric, metric_of
from pingap.observability.sums import GAUGES

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

MOST_COLLECTED: Final = 1000
"""Maximum number of metrics that an instance may collect."""


class PluginMetrics:
    """The metrics of all plugin instances, by name."""

    def __init__(self) -> None:
        self._families: dict[str, dict[str, Metric]] = {}
        """Name -> plugin instance -> metric."""
        self._collected: dict[str, dict[str, Metric]] = {}
        """Plugin instance -> name -> metric, of collected metrics."""

    def add(self, instance: str, plugin: object) -> None:
        """Add the metrics that an instance keeps as attributes.

        :raises ValueError: one that would be counted twice, or does not match others of its name.
        """
        for cls in type(plugin).__mro__:
            for name, value in vars(cls).items():
                if isinstance(value, Metric):
                    raise ValueError(  # noqa: TRY004 - the value is wrong here, not its type
                        f"{cls.__name__}.{name}: all instances would share this metric; "
                        "make it in __init__"
                    )
        metrics = {id(one): one for one in vars(plugin).values() if isinstance(one, Metric)}
        # An attribute may also be what ``labels`` of another one has returned.
        series = {id(one) for metric in metrics.values() for one in metric.series}
        for identity, metric in metrics.items():
            if identity not in series:
                self._add(instance, metric)

    def _add(self, instance: str, metric: Metric) -> None:
        family = self._families.setdefault(metric.name, {})
        for other, present in family.items():
            if other == instance:
                raise ValueError(f"it has two metrics called {metric.name}")
            if present is metric:
                raise ValueError(
                    f"it shares the metric {metric.name} with plugin {other}; make it in __init__"
                )
            if not metric.resembles(present):
                raise ValueError(
                    f"its metric {metric.name} has another type, other labels, other buckets or "
                    f"another merge than that of plugin {other}"
                )
        family[instance] = metric

    # Metrics that plugins make when the page is read.

    def let_collect(self, instance: str) -> None:
        """Note that an instance collects metrics."""
        self._collected[instance] = {}

    def replace(self, instance: str, metrics: Iterable[object]) -> None:
        """Replace the metrics that an instance has collected.

        Counters and histograms that are missing this time keep their values: a sum over all workers that
        decreases would look like a restart. Missing gauges disappear. If an error is raised, the metrics
        collected before it are used.

        :raises TypeError: an object that is not a metric.
        :raises ValueError: one that does not match others of its name, or too many.
        :raises Exception: any exception raised while the metrics are created.
        """
        known = self._collected[instance]
        for name in [name for name, metric in known.items() if isinstance(metric, Gauge)]:
            self._forget(instance, name)
        new: set[str] = set()
        for metric in metrics:
            if not isinstance(metric, Metric):
                raise TypeError(f"it collected {metric!r:.40}, which is not a metric")
            if metric.name in new:
                raise ValueError(f"it collected two metrics called {metric.name}")
            new.add(metric.name)
            if metric.name in known:
                self._forget(instance, metric.name)
            elif len(known) >= MOST_COLLECTED:
                raise ValueError(f"it collected more than {MOST_COLLECTED} metrics")
            self._add(instance, metric)
            known[metric.name] = metric

    def _forget(self, instance: str, name: str) -> None:
        del self._collected[instance][name]
        family = self._families[name]
        del family[instance]
        if not family:
            del self._families[name]

    # Those of several workers.

    def figures(self) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        """Yield the counts as plain data: the keys that lead to them (``sums``), and series."""
        for metrics in list(self._families.values()):
            for instance, metric in list(metrics.items()):
                section = (GAUGES, metric.merge) if isinstance(metric, Gauge) else ("plugins",)
                yield (*section, instance, metric.shape), metric.figures()

    def plus(self, figures: Mapping[str, Any]) -> PluginMetrics:
        """Return metrics with these counts plus the ``figures`` of other workers."""
        total = PluginMetrics()
        for name, metrics in self._families.items():
            total._families[name] = {instance: one.copy() for instance, one in metrics.items()}
        for part in (figures["plugins"], *figures[GAUGES].values()):
            for instance, shapes in part.items():
                for shape, series in shapes.items():
                    total._count_in(instance, shape, series, or_add=instance in self._collected)
        return total

    def _count_in(
        self, instance: str, shape: str, series: Mapping[str, Any], *, or_add: bool
    ) -> None:
        """Add series of another worker.

        :param or_add: add metrics that do not exist here, because not every worker collects the same ones.
            Otherwise they belong to an earlier configuration, like those of another shape.
        """
        other = metric_of(shape)
        family = self._families.setdefault(other.name, {})
        if not all(metric.resembles(other) for metric in family.values()):
            return
        if (metric := family.get(instance)) is not None:
            metric.count_in(series)
        elif or_add:
            other.count_in(series)
            family[instance] = other

    def collect(self, server: str) -> Iterator[Family]:
        """Yield all series for the page of a server."""
        from prometheus_client.core import Metric as Family

        for metrics in filter(None, self._families.values()):
            first = next(iter(metrics.values()))
            family = Family(first.name, first.description, first.kind)
            for instance, metric in metrics.items():
                metric.add_to(family, {"server": server, "plugin": instance})
            yield family
