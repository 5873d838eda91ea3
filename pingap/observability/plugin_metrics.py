"""Metrics of plugins: plain numbers during a request, series when the page is read.

The counts of a metric can be sent to another process as plain data, and added up there
(``metric_families``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from pingap.observability.histogram import Histogram as Buckets
from pingap.observability.sums import MERGES

if TYPE_CHECKING:
    from typing import Self

    from prometheus_client.core import Metric as Family


MOST_SERIES: Final = 1000
"""Maximum number of label combinations of one metric of an instance."""
OTHER: Final = "(other)"
"""The value of all labels beyond that number."""

Merge: TypeAlias = Literal["sum", "max", "min"]
"""How the values of several workers are merged."""
DEFAULT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_UNLABELLED: Final = "[]"
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS: Final = ("pingap_http_", "pingap_connection_", "pingap_plugin_")
"""Prefixes of names that belong to the core."""
_OUR_LABELS: Final = ("server", "plugin", "le")


class Metric:
    """Base of counters, gauges and histograms.

    :param name: as on the page; ``_total`` is appended to the name of a counter.
    :param description: one line about the measured value.
    :param labels: names of labels. With labels, values are only recorded through ``labels(...)``.
    :raises ValueError: a name that Prometheus does not allow, or that belongs to the core.
    """

    __slots__ = ("_series", "_shape", "description", "label_names", "name")

    kind: ClassVar[str]
    """The type in Prometheus."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        if isinstance(labels, str):  # its letters would be taken for names
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
        self._shape = ""

    def labels(self, *values: str) -> Self:
        """Return the metric for these label values, in the order of the label names.

        Keep the result if the values are known beforehand: ``self.too_long = refused.labels("too long")``. At
        most 1000 combinations are kept; further ones are counted together under ``(other)``.

        :raises ValueError: the number of values differs from the number of labels.
        """
        series = self._series.get(values)
        return self._add(values) if series is None else series

    @property
    def series(self) -> Iterable[Self]:
        """The metrics that ``labels`` has returned."""
        return self._series.values()

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
        """Return a new metric for one combination of labels."""
        return type(self)(self.name, self.description, **self._options())

    def _options(self) -> dict[str, Any]:
        """Return the arguments of its class besides name, description and labels."""
        return {}

    def _must_be_labelled(self) -> TypeError:
        names = ", ".join(self.label_names)
        return TypeError(f"metric {self.name} has labels: use labels({names})")

    def add_to(self, family: Family, labels: Mapping[str, str]) -> None:
        """Add all series to a family of prometheus-client.

        :param labels: labels in addition to the metric's own.
        """
        if not self.label_names:
            self._add_sample(family, labels)
        for values, series in self._series.items():
            own = zip(self.label_names, values, strict=True)
            series._add_sample(family, {**labels, **dict(own)})

    def _add_sample(self, family: Family, labels: Mapping[str, str]) -> None:
        """Add the sample without labels."""
        raise NotImplementedError

    def figures(self) -> dict[str, Any]:
        """Return the counts as plain data: values of the labels, as JSON -> figures."""
        series = [] if self.label_names else [(_UNLABELLED, self)]
        series += [(json.dumps(values), one) for values, one in self._series.items()]
        found = {key: one._figures() for key, one in series}
        return {key: figures for key, figures in found.items() if figures is not None}

    def count_in(self, figures: Mapping[str, Any]) -> None:
        """Add the ``figures`` of a similar metric."""
        for key, counts in figures.items():
            values = tuple(json.loads(key))
            (self.labels(*values) if values else self)._add_figures(counts)

    def copy(self) -> Metric:
        """Return a metric with the same counts."""
        same = metric_of(self.shape)
        same.count_in(self.figures())
        return same

    @property
    def shape(self) -> str:
        """Everything needed to create a metric like this one (``metric_of``); equal for equal shapes."""
        if not self._shape:
            about = [self.kind, self.name, self.description, self.label_names, self._options()]
            self._shape = json.dumps(about)
        return self._shape

    def _figures(self) -> Any:
        """Return the value without labels; None: there is nothing to show."""
        raise NotImplementedError

    def _add_figures(self, figures: Any) -> None:
        raise NotImplementedError

    def resembles(self, other: Metric) -> bool:
        """Return whether series of both can share one name."""
        return (
            self.kind == other.kind
            and self.label_names == other.label_names
            and self._options() == other._options()
        )


class Counter(Metric):
    """A number that only grows, shown on the metrics pages of all servers.

    Made in ``__init__`` of a plugin and kept as an attribute of it::

        self.refused = Counter("header_limit_refused", "Requests that were refused")

    and incremented in a phase: ``self.refused.inc()``. On the page it is
    ``header_limit_refused_total{server="web",plugin="<name of the instance>"}``. Use it in the worker's
    thread only: code in another thread returns the amount to be counted.
    """

    __slots__ = ("value",)

    kind = "counter"
    value: float
    """The count. A counter with labels has none."""

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

    def _add_sample(self, family: Family, labels: Mapping[str, str]) -> None:
        family.add_sample(f"{self.name}_total", dict(labels), self.value)

    def _figures(self) -> float:
        return self.value

    def _add_figures(self, figures: float) -> None:
        self.value += figures


class Gauge(Metric):
    """A number that goes up and down, shown on the metrics pages of all servers.

    Create and keep it like a :class:`pingap.Counter`. Each worker has its own value, and the page shows a
    single value for all running workers.

    :param merge: how the values of all workers are merged: ``sum``, ``max`` or ``min``. Workers that have not
        set a gauge are ignored for ``max`` and ``min``.
    :raises ValueError: a name with the suffix of a counter, or an unknown ``merge``.
    """

    __slots__ = ("_value", "merge")

    kind = "gauge"

    def __init__(
        self,
        name: str,
        description: str,
        labels: Sequence[str] = (),
        *,
        merge: Merge = "sum",
    ) -> None:
        super().__init__(name, description, labels)
        if name.endswith("_total"):
            raise ValueError(f"metric {name}: only names of counters end with _total")
        if merge not in MERGES:
            raise ValueError(f"metric {name}: merge is {merge!r}, expected {' or '.join(MERGES)}")
        self.merge = merge
        if not labels:
            self._value: float | None = 0.0 if merge == "sum" else None

    @property
    def value(self) -> float:
        """The value in this worker; 0 before it was set. A gauge with labels has none."""
        if self.label_names:
            raise self._must_be_labelled()
        return self._value or 0.0

    def set(self, value: float) -> None:
        """Set it.

        :raises TypeError: it has labels.
        """
        if self.label_names:
            raise self._must_be_labelled()
        self._value = float(value)

    def inc(self, amount: float = 1) -> None:
        """Add to it.

        :raises TypeError: it has labels.
        """
        if self.label_names:
            raise self._must_be_labelled()
        self._value = (self._value or 0.0) + amount

    def dec(self, amount: float = 1) -> None:
        """Subtract from it.

        :raises TypeError: it has labels.
        """
        self.inc(-amount)

    def _options(self) -> dict[str, Any]:
        return {"merge": self.merge}

    def _add_sample(self, family: Family, labels: Mapping[str, str]) -> None:
        if self._value is not None:
            family.add_sample(self.name, dict(labels), self._value)

    def _figures(self) -> float | None:
        return self._value

    def _add_figures(self, figures: float) -> None:
        before = self._value
        self._value = figures if before is None else MERGES[self.merge](before, figures)


class Histogram(Metric):
    """Counts of values by size, shown on the metrics pages of all servers.

    Create and keep it like a :class:`pingap.Counter`; ``observe`` counts a value.

    :param buckets: upper bounds, ascending; values above the last are counted as well. The default suits
        seconds.
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

    def _options(self) -> dict[str, Any]:
        return {"buckets": self.buckets}

    def _add_sample(self, family: Family, labels: Mapping[str, str]) -> None:
        for bound, count in (rows := self._buckets.cumulative()):
            family.add_sample(f"{self.name}_bucket", {**labels, "le": bound}, count)
        family.add_sample(f"{self.name}_count", dict(labels), rows[-1][1])
        family.add_sample(f"{self.name}_sum", dict(labels), self._buckets.total)

    def _figures(self) -> list[float]:
        return self._buckets.figures()

    def _add_figures(self, figures: Sequence[float]) -> None:
        self._buckets.add_figures(figures)


_KINDS: Final[dict[str, type[Metric]]] = {one.kind: one for one in (Counter, Gauge, Histogram)}


def metric_of(shape: str) -> Metric:
    """Return a new metric of a ``shape``; it has counted nothing."""
    kind, name, description, labels, options = json.loads(shape)
    return _KINDS[kind](name, description, labels, **options)
