"""Counters of the data path.

A request increments plain integers of its location; they become series when the metrics page is read
(``proxy.exposition``).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pingap.host.threads import in_thread
from pingap.observability.histogram import Histogram
from pingap.observability.upstream_times import UpstreamTimes

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.observability.handshakes import HandshakeStats

RESPONSE_TIME_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PLUGIN_TIME_BUCKETS: Final = (0.00001, 0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
RECEIVED_BUCKETS: Final = (1, 5, 10, 50, 100, 1000)
SENT_BUCKETS: Final = (1, 5, 10, 50, 100, 1000, 10000)
_KB: Final = 1024
_SENT_BOUNDS: Final = tuple(bound * _KB for bound in SENT_BUCKETS)
_time_bucket: Final = partial(bisect_left, RESPONSE_TIME_BUCKETS)
_size_bucket: Final = partial(bisect_left, _SENT_BOUNDS)

MOST_WAITING: Final = 500
"""Number of requests of a location that are counted in one batch."""


class LocationStats:
    """The counts of one location.

    A request increments one counter, chosen by its status and the buckets of its duration and size; series
    are computed from those on demand.
    """

    __slots__ = (
        "_folded",
        "_kinds",
        "_waiting",
        "firsts",
        "plugin_seconds",
        "processing",
        "received",
        "received_bytes",
        "response_seconds",
        "sent_bytes",
    )

    def __init__(self) -> None:
        self.processing = 0
        """Requests in progress; counted up when one begins."""
        self.firsts = 0
        """Ended requests that were the first on their connection."""
        self.response_seconds = 0.0
        self.sent_bytes = 0
        self.received_bytes = 0
        self.received = Histogram(RECEIVED_BUCKETS)
        """Sizes of request bodies, of requests that had one."""
        self.plugin_seconds: dict[str, Histogram] = {}
        """Plugin instance -> its times, of requests whose plugins were timed."""
        self._kinds: defaultdict[tuple[int, int, int], int] = defaultdict(int)
        """Status, bucket of duration, bucket of size -> number of ended requests."""
        self._folded = 0
        """Requests included in the numbers above; the others are waiting."""
        self._waiting: list[tuple[int, float, int]] = []
        """Status, duration and size of waiting requests: sorting many into buckets at a time costs less."""

    @property
    def ended(self) -> int:
        """Requests that ended."""
        return self._folded + len(self._waiting)

    @property
    def accepted(self) -> int:
        """Requests that began."""
        return self.processing + self.ended

    @property
    def reused(self) -> int:
        """Ended requests on a connection that had served another one."""
        return self.ended - self.firsts

    def end(self, ctx: RequestContext) -> None:
        """Count an ended request."""
        self.processing -= 1
        waiting = self._waiting
        waiting.append((ctx.status, ctx.ended_at - ctx.began_at, ctx.body_bytes_sent))
        if len(waiting) == MOST_WAITING:
            self.fold()
        if ctx.connection.requests == 1:
            self.firsts += 1
        if received := ctx.body_bytes_received:
            self.received_bytes += received
            self.received.observe(received / _KB)

    def fold(self) -> None:
        """Sort waiting requests into buckets; must be called in the event loop."""
        if not self._waiting:
            return
        statuses, seconds, sizes = zip(*self._waiting, strict=True)
        self._folded += len(statuses)
        self._waiting.clear()
        self.response_seconds += sum(seconds)
        self.sent_bytes += sum(sizes)
        kinds = Counter(
            zip(statuses, map(_time_bucket, seconds), map(_size_bucket, sizes), strict=True)
        )
        for kind, count in kinds.items():
            self._kinds[kind] += count

    def observe_plugins(self, times: Mapping[str, float]) -> None:
        """Count the time that each plugin took of a request, in seconds."""
        for name, seconds in times.items():
            if name not in self.plugin_seconds:
                self.plugin_seconds[name] = Histogram(PLUGIN_TIME_BUCKETS)
            self.plugin_seconds[name].observe(seconds)

    def add(self, other: LocationStats) -> None:
        """Add the counts of another location, without its waiting requests (``fold``)."""
        self.processing += other.processing
        self._folded += other._folded
        self.firsts += other.firsts
        self.response_seconds += other.response_seconds
        self.sent_bytes += other.sent_bytes
        self.received_bytes += other.received_bytes
        self.received.add(other.received)
        # A page is made in a thread, while the event loop may add keys.
        for name, histogram in list(other.plugin_seconds.items()):
            if name not in self.plugin_seconds:
                self.plugin_seconds[name] = Histogram(PLUGIN_TIME_BUCKETS)
            self.plugin_seconds[name].add(histogram)
        for kind, count in list(other._kinds.items()):
            self._kinds[kind] += count

    def figures(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        self.fold()
        return {
            "processing": self.processing,
            "firsts": self.firsts,
            "response_seconds": self.response_seconds,
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
            "received": self.received.figures(),
            "plugin_seconds": {
                name: histogram.figures() for name, histogram in self.plugin_seconds.items()
            },
            "kinds": {
                f"{status},{seconds},{size}": count
                for (status, seconds, size), count in self._kinds.items()
            },
        }

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> LocationStats:
        """Return an object with the counts of ``figures``."""
        stats = cls()
        for name in ("processing", "firsts", "response_seconds", "sent_bytes", "received_bytes"):
            setattr(stats, name, figures[name])
        stats.received.add_figures(figures["received"])
        for name, counts in figures["plugin_seconds"].items():
            stats.plugin_seconds[name] = Histogram(PLUGIN_TIME_BUCKETS)
            stats.plugin_seconds[name].add_figures(counts)
        for kind, count in figures["kinds"].items():
            status, seconds, size = map(int, kind.split(","))
            stats._kinds[status, seconds, size] = count
            stats._folded += count
        return stats

    @property
    def codes(self) -> list[int]:
        """Responses by the first digit of their status; the first is for no status at all."""
        counts = [0] * 6
        for (status, _, _), count in self._kinds.items():
            counts[status // 100 if status < 600 else 0] += count
        return counts

    @property
    def response_time(self) -> Histogram:
        """Durations in seconds."""
        return self._histogram(1, RESPONSE_TIME_BUCKETS, self.response_seconds)

    @property
    def sent(self) -> Histogram:
        """Sizes of response bodies, in KB."""
        return self._histogram(2, SENT_BUCKETS, self.sent_bytes / _KB)

    @property
    def received_by_all(self) -> Histogram:
        """Sizes of request bodies, in KB, including requests without a body."""
        histogram = Histogram(RECEIVED_BUCKETS)
        histogram.add(self.received)
        histogram.counts[0] += self.ended - sum(self.received.counts)
        return histogram

    def _histogram(self, part: int, bounds: tuple[float, ...], total: float) -> Histogram:
        histogram = Histogram(bounds)
        histogram.total = total
        for kind, count in self._kinds.items():
            histogram.counts[kind[part]] += count
        return histogram


class WorkerStats:
    """Figures of this worker since its start, summed up on demand; or of all workers.

    :param locations: name -> counters, of all locations.
    """

    def __init__(self, locations: Mapping[str, LocationStats]) -> None:
        self.locations = locations
        self.handshakes: dict[str, HandshakeStats] = {}
        """Server -> counts of its TLS handshakes."""
        self.refused: Counter[tuple[str, str]] = Counter()
        """(server, plugin) -> connections that the plugin refused."""
        self.upstream_times: defaultdict[str, UpstreamTimes] = defaultdict(UpstreamTimes)
        """Upstream -> times of its requests."""
        self.backends: Callable[[], Sequence[Any]] = tuple
        """Returns the state of all backends, upstream by upstream."""
        self.started_at = time.time()
        """Unix seconds."""
        self.ask_others: Callable[[], Awaitable[dict[str, Any]]] | None = None
        """Requests the counts of all other workers, running or ended, as ``figures``
        (``pingap.worker.figures``); None if there are none."""

    def fold(self) -> None:
        """Sort the waiting requests of all locations into buckets (``LocationStats.fold``)."""
        for stats in self.locations.values():
            stats.fold()

    @property
    def processing(self) -> int:
        """Requests in progress."""
        return sum(stats.processing for stats in self.locations.values())

    @property
    def accepted(self) -> int:
        """Requests that matched a location."""
        return sum(stats.accepted for stats in self.locations.values())

    def location(self, name: str) -> tuple[int, int]:
        """Return how many requests of a location are in progress, and how many have begun."""
        stats = self.locations.get(name)
        return (0, 0) if stats is None else (stats.processing, stats.accepted)

    async def of_all_workers(self) -> WorkerStats:
        """Return the same figures of requests, summed up over all workers of the instance.

        Workers that have ended are included, except for their requests in progress.
        """
        if self.ask_others is None:
            return self
        figures = await self.ask_others()
        self.fold()
        own = dict(self.locations)
        return WorkerStats(await in_thread(partial(add_locations, own, figures["locations"])))


def add_locations(
    own: Mapping[str, LocationStats], others: Mapping[str, Mapping[str, Any]]
) -> dict[str, LocationStats]:
    """Return the sums of this worker's counters and the ``figures`` of other workers, by name."""
    sums = {name: LocationStats.of(one) for name, one in others.items()}
    for name, stats in own.items():
        sums.setdefault(name, LocationStats()).add(stats)
    return sums
