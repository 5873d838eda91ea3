"""What is counted, under the names of pingap (observability.md, 3.2) and some more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pingap import Counter, Gauge, Histogram, Metric
from pingap_cache.answers import STATUSES
from pingap_cache.stores.interface import StoreFigures

BYPASS: Final = "bypass"
UNCACHEABLE: Final = "uncacheable"
_READ: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
_WRITE: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_LOCK: Final = (0.01, 0.05, 0.1, 1.0, 3.0)


class Numbers:
    """The metrics of one cache. ``of_plugin`` are attributes of the plugin, so that they are shown."""

    def __init__(self) -> None:
        self.requests = Counter(
            "pingap_cache_requests", "Requests by how the cache dealt with them", ("status",)
        )
        self.lookup = Histogram(
            "pingap_cache_lookup_time", "Seconds of lookups that went to a disk", buckets=_READ
        )
        self.lock = Histogram(
            "pingap_cache_lock_time", "Seconds for which requests waited for another", buckets=_LOCK
        )
        self.read = Histogram(
            "pingap_cache_storage_read_time", "Seconds of reads of the store", buckets=_READ
        )
        self.write = Histogram(
            "pingap_cache_storage_write_time", "Seconds of writes to the store", buckets=_WRITE
        )
        self._counts = {
            status: self.requests.labels(status) for status in (*STATUSES, BYPASS, UNCACHEABLE)
        }
        self.hits = self._counts["hit"]

    def count(self, status: str) -> None:
        """Count a request."""
        self._counts[status].inc()

    def counts(self) -> dict[str, int]:
        """Return how many requests had each status."""
        return {status: int(counter.value) for status, counter in self._counts.items()}


def figures_as_metrics(figures: Mapping[str, StoreFigures]) -> Iterable[Metric]:
    """Yield the numbers of stores.

    :param figures: kind of store (``memory``, ``disk``) -> its numbers. All workers see the same disk.
    """
    for kind, found in figures.items():
        shared = "max" if kind == "disk" else "sum"
        for name, text in _GAUGES.items():
            value = getattr(found, name)
            if value is not None:
                gauge = Gauge(f"pingap_cache_{kind}_{name}", text, merge=shared)  # type: ignore[arg-type]
                gauge.set(value)
                yield gauge
        for name, text in _COUNTERS.items():
            counter = Counter(f"pingap_cache_{kind}_{name}", text)
            counter.inc(getattr(found, name))
            yield counter
    for name in ("reading", "writing"):
        now = Gauge(f"pingap_cache_{name}", f"Entries that a cache is {name} at this moment")
        now.set(sum(getattr(one, name) for one in figures.values()))
        yield now


_GAUGES: Final = {
    "entries": "Entries that are stored",
    "bytes": "Bytes that they take",
    "limit": "Bytes that they may take",
}
_COUNTERS: Final = {
    "evictions": "Entries that were removed to make room",
    "corrupt": "Entries that were found damaged",
    "failures": "Calls that failed because of the medium",
}
