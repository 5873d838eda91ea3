"""The building blocks of all counters of the data path."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Histogram:
    """Counts of values by upper bound.

    :param bounds: ascending; a last bucket without bound is added.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Add the counts of another histogram with the same bounds."""
        self.counts = [
            mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)
        ]
        self.total += other.total

    def figures(self) -> list[float]:
        """Return the counts, followed by the total."""
        return [*self.counts, self.total]

    def add_figures(self, figures: Sequence[float]) -> None:
        """Add the ``figures`` of a histogram with the same bounds."""
        *counts, total = figures
        self.counts = [mine + int(theirs) for mine, theirs in zip(self.counts, counts, strict=True)]
        self.total += total

    def cumulative(self) -> list[tuple[str, float]]:
        """Return pairs of upper bound and cumulative count, as Prometheus requires."""
        running = 0
        rows = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            rows.append(("+Inf" if bound == float("inf") else str(float(bound)), float(running)))
        return rows


def plain_counter(name: str, text: str) -> Metric:
    """Return a counter that keeps its name: not all counters of pingap 0.13.9 end with ``_total``.

    prometheus-client would add the suffix to metrics that it knows as counters.
    """
    from prometheus_client.core import Metric

    return Metric(name, text, "unknown")
