"""Metrics of plugins: plain numbers on a request, series when somebody reads the page.

A plugin keeps its metrics as attributes; the core finds them there when it builds an instance. A
series is known by its name, its plugin and its labels, so that those of several workers can be
added up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pingap.observability.histogram import Histogram as Buckets

if TYPE_CHECKING:
    from typing import Self

    from prometheus_client.core import Metric as Family


MOST_SERIES: Final = 1000
"""Combinations of label values that one metric of an instance may have."""
OTHER: Final = "(other)"
"""The value of all labels of what comes beyond."""

DEFAULT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_UNLABELLED: Final = "[]"
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS: Final = ("pingap_http_", "pingap_connection_", "pingap_plugin_")
"""How names begin that belong to the core."""
_OUR_LABELS: Final = ("server", "plugin", "le")


class Metric:
    """What a counter and a histogram have in common.

    :param name: as on the page; a counter gets ``_total`` at its end.
    :param description: one line about what is measured.
    :param labels: names of labels. With labels, only ``labels(...)`` of it counts.
    :raises ValueError: a name that Prometheus does not know, or that belongs to the core.
    """

    __slots__ = ("_series", "description", "label_names", "name")

    kind: ClassVar[str]
    """The type that Prometheus gives it."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        if isinstance(labels, str):  # whose letters would be taken for names
            raise TypeError(f"metric {name}: labels is a tuple: ({labels!r},)")
        for one in (name, *labels):
            if not _NAME.fullmatch(one):
                raise ValueError(f"metric {name}: {one!r} is not a name (letters, digits and _)")
        if name.startswith(_OURS):
            raise ValueError(f"metric {name}: names that begin so belong to pingap itself")
        for one in labels:
            if one in _OUR_LABELS or one.startswith("__"):
                raise ValueError(f"metric {name}: the label {one!r} belongs to pingap itself")
        self.name = name
        self.description = description
        self.label_names = tuple(labels)
        self._series: dict[tuple[str, ...], Self] = {}

    def labels(self, *values: str) -> Self:
        """Return what counts for these values of the labels, in the order of their names.

        Whoever knows them beforehand keeps it: ``self.too_long = refused.labels("too long")``. Not
        more than 1000 combinations are kept; those beyond count together under ``(other)``.

        :raises ValueError: another number of values than there are labels.
        """
        series = self._series.get(values)
        return self._add(values) if series is None else series

    def _add(self, values: tuple[str, ...]) -> Self:
        if len(values) != len(self.label_names) or not values:
            names = ", ".join(self.label_names) or "none"
            raise ValueError(f"metric {self.name}: {len(values)} values for its labels ({names})")
        if not all(isinstance(value, str) for value in values):
            raise TypeError(f"metric {self.name}: the values of labels are text, not {values!r}")
        if len(self._series) >= MOST_SERIES:
            values = (OTHER,) * len(values)
            if values in self._series:
                return self._series[values]
        series = self._series[values] = self._unlabelled()
        return series

    def _unlabelled(self) -> Self:
        """Return a new metric that counts for one combination of labels."""
        raise NotImplementedError

    def _must_be_labelled(self) -> TypeError:
        names = ", ".join(self.label_names)
        return TypeError(f"metric {self.name} has labels: use labels({names})")

    def add_to(self, family: Family, labels: Mapping[str, str]) -> None:
        """Add all series to what prometheus-client calls a family.

        :param labels: those beside the metric's own.
        """
        if not self.label_names:
            self._add_sample(family, labels)
        for values, series in self._series.items():
            own = zip(self.label_names, values, strict=True)
            series._add_sample(family, {**labels, **dict(own)})

    def _add_sample(self, family: Family, labels: Mapping[str, str]) -> None:
        """Add what was counted without labels."""
        raise NotImplementedError

    def figures(self) -> dict[str, Any]:
        """Return what was counted as plain data: values of the labels, as JSON -> figures."""
        found = {} if self.label_names else {_UNLABELLED: self._figures()}
        for values, series in self._series.items():
            found[json.dumps(values)] = series._figures()
        return found

    def plus(self, figures: Mapping[str, Any]) -> Self:
        """Return a new metric with this one's counts and those of ``figures`` of its like."""
        total = self._alike()
        for part in (self.figures(), figures):
            for key, counts in part.items():
                values = tuple(json.loads(key))
                (total.labels(*values) if values else total)._add_figures(counts)
        return total

    def _alike(self) -> Self:
        """Return a new metric with the same name and labels that has counted nothing."""
        return type(self)(self.name, self.description, self.label_names)

    def _figures(self) -> Any:
        raise NotImplementedError

    def _add_figures(self, figures: Any) -> None:
        raise NotImplementedError

    def resembles(self, other: Metric) -> bool:
        """Tell whether series of both can stand under one name."""
        return type(self) is type(other) and self.label_names == other.label_names


class Counter(Metric):
    """A number that only grows, shown on the metrics pages of all servers.

    Made in ``__init__`` of a plugin and kept as an attribute of it::

        self.refused = Counter("header_limit_refused", "Requests that were refused")

    and counted in a phase: ``self.refused.inc()``. The page has it as
    ``header_limit_refused_total{server="web",plugin="<name of the instance>"}``. Counts belong to
    the worker's thread: what runs in another one returns what is to be counted.
    """

    __slots__ = ("value",)

    kind = "counter"
    value: float
    """What was counted. A counter with labels has none."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name.removesuffix("_total"), description, labels)
        if not labels:
            self.value = 0

    def inc(self, amount: float = 1) -> None:
        """Add to it.

        :param amount: not less than 0.
        :raises TypeError: it has labels.
        """
        try:
            self.value += amount
        except AttributeError:
            raise self._must_be_labelled() from None

    def _unlabelled(self) -> Self:
        return type(self)(self.name, self.description)

    def _add_sample(self, family: Family, labels: Mapping[str, str]) -> None:
        family.add_sample(f"{self.name}_total", dict(labels), self.value)

    def _figures(self) -> float:
        return self.value

    def _add_figures(self, figures: float) -> None:
        self.value += figures


class Histogram(Metric):
    """Counts of values by size, shown on the metrics pages of all servers.

    Made and kept as a :class:`pingap.Counter` is; ``observe`` counts a value.

    :param buckets: upper bounds, ascending; values above the last are counted as well. Those that
        are there by default suit seconds.
    """

    __slots__ = ("_buckets", "buckets")

    kind = "histogram"

    def __init__(
        self,
        name: str,
        description: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] = DEFAULT_BUCKETS,
    ) -> None:
        super().__init__(name, description, labels)
        self.buckets = tuple(buckets)
        if not self.buckets or list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"metric {name}: buckets must ascend, found {list(buckets)}")
        if not labels:
            self._buckets = Buckets(self.buckets)

    def observe(self, value: float) -> None:
        """Count a value.

        :raises TypeError: it has labels.
        """
        try:
            self._buckets.observe(value)
        except AttributeError:
            raise self._must_be_labelled() from None

    def resembles(self, other: Metric) -> bool:
        """Tell whether the buckets are the same, too."""
        return (
            super().resembles(other)
            and isinstance(other, Histogram)
            and self.buckets == other.buckets
        )

    def _unlabelled(self) -> Self:
        return type(self)(self.name, self.description, buckets=self.buckets)

    def _add_sample(self, family: Family, labels: Mapping[str, str]) -> None:
        for bound, count in (rows := self._buckets.cumulative()):
            family.add_sample(f"{self.name}_bucket", {**labels, "le": bound}, count)
        family.add_sample(f"{self.name}_count", dict(labels), rows[-1][1])
        family.add_sample(f"{self.name}_sum", dict(labels), self._buckets.total)

    def _alike(self) -> Self:
        return type(self)(self.name, self.description, self.label_names, buckets=self.buckets)

    def _figures(self) -> list[float]:
        return self._buckets.figures()

    def _add_figures(self, figures: Sequence[float]) -> None:
        self._buckets.add_figures(figures)


class PluginMetrics:
    """The metrics of all plugin instances, by name."""

    def __init__(self) -> None:
        self._families: dict[str, dict[str, Metric]] = {}

    def add(self, instance: str, plugin: object) -> None:
        """Take in the metrics that an instance keeps as attributes.

        :raises ValueError: one that would be counted twice, or fits no other of its name.
        """
        for cls in type(plugin).__mro__:
            for name, value in vars(cls).items():
                if isinstance(value, Metric):
                    raise ValueError(  # noqa: TRY004 - the value is wrong here, not its type
                        f"{cls.__name__}.{name}: all instances would share this metric; "
                        "make it in __init__"
                    )
        for metric in {id(one): one for one in vars(plugin).values()}.values():
            if isinstance(metric, Metric):
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
                    f"its metric {metric.name} has another type, other labels or other buckets "
                    f"than that of plugin {other}"
                )
        family[instance] = metric

    def figures(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield what was counted as plain data: metric, instance, series."""
        for name, metrics in self._families.items():
            for instance, metric in metrics.items():
                yield name, instance, metric.figures()

    def plus(self, figures: Mapping[str, Any]) -> PluginMetrics:
        """Return metrics with these counts and those of ``figures``, of another worker."""
        total = PluginMetrics()
        for name, metrics in self._families.items():
            others = figures.get(name, {})
            total._families[name] = {
                instance: metric.plus(others.get(instance, {}))
                for instance, metric in metrics.items()
            }
        return total

    def collect(self, server: str) -> Iterator[Family]:
        """Yield all series for the page of a server."""
        from prometheus_client.core import Metric as Family

        for metrics in self._families.values():
            first = next(iter(metrics.values()))
            family = Family(first.name, first.description, first.kind)
            for instance, metric in metrics.items():
                metric.add_to(family, {"server": server, "plugin": instance})
            yield family
