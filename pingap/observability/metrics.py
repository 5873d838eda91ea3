"""Counters of the data path, and their page for Prometheus.

A request touches plain integers of its location; prometheus-client turns them into series only
when somebody reads the page. Names, labels and buckets are pingap's (observability.md 3.2).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pingap.host.threads import in_thread
from pingap.observability.histogram import Histogram, plain_counter
from pingap.observability.process_figures import process_figures, process_metrics
from pingap.observability.sums import add_nested
from pingap.observability.upstream_times import UpstreamTimes
from pingap.upstream.health.metrics import HealthCounts, health_metrics

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from pingap.http.context import RequestContext
    from pingap.observability.handshakes import HandshakeMetrics, HandshakeStats
    from pingap.observability.plugin_metrics import PluginMetrics
    from pingap.upstream.metrics import UpstreamMetrics
    from pingap.upstream.stats import BackendReport

RESPONSE_TIME_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PLUGIN_TIME_BUCKETS: Final = (0.00001, 0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5)
RECEIVED_BUCKETS: Final = (1, 5, 10, 50, 100, 1000)
SENT_BUCKETS: Final = (1, 5, 10, 50, 100, 1000, 10000)
_KB: Final = 1024
_SENT_BOUNDS: Final = tuple(bound * _KB for bound in SENT_BUCKETS)
_time_bucket: Final = partial(bisect_left, RESPONSE_TIME_BUCKETS)
_size_bucket: Final = partial(bisect_left, _SENT_BOUNDS)

MOST_WAITING: Final = 500
"""Requests of a location that are counted together."""


class LocationStats:
    """What is counted for one location.

    A request adds to one counter, chosen by its status and the buckets of its duration and size;
    series are worked out from those when somebody asks.
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
        """Those that ended and were the first of their connection."""
        self.response_seconds = 0.0
        self.sent_bytes = 0
        self.received_bytes = 0
        self.received = Histogram(RECEIVED_BUCKETS)
        """Of requests that had a body."""
        self.plugin_seconds: dict[str, Histogram] = {}
        """Plugin instance -> what it took, of requests whose time was taken."""
        self._kinds: defaultdict[tuple[int, int, int], int] = defaultdict(int)
        """Status, bucket of duration, bucket of size -> requests that ended so."""
        self._folded = 0
        """Requests in all numbers above; the others wait."""
        self._waiting: list[tuple[int, float, int]] = []
        """Status, duration and size: sorted into buckets many at a time, which costs less."""

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
        """Requests that ended on a connection that had served another one."""
        return self.ended - self.firsts

    def end(self, ctx: RequestContext) -> None:
        """Count a request that ended."""
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
        """Sort what waits into buckets; to be called in the event loop."""
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
        """Count what each plugin took of a request, in seconds."""
        for name, seconds in times.items():
            if name not in self.plugin_seconds:
                self.plugin_seconds[name] = Histogram(PLUGIN_TIME_BUCKETS)
            self.plugin_seconds[name].observe(seconds)

    def add(self, other: LocationStats) -> None:
        """Add the counts of another location, without what waits there (``fold``)."""
        self.processing += other.processing
        self._folded += other._folded
        self.firsts += other.firsts
        self.response_seconds += other.response_seconds
        self.sent_bytes += other.sent_bytes
        self.received_bytes += other.received_bytes
        self.received.add(other.received)
        # (A page is made in a thread: what the event loop counts meanwhile may add keys.)
        for name, histogram in list(other.plugin_seconds.items()):
            if name not in self.plugin_seconds:
                self.plugin_seconds[name] = Histogram(PLUGIN_TIME_BUCKETS)
            self.plugin_seconds[name].add(histogram)
        for kind, count in list(other._kinds.items()):
            self._kinds[kind] += count

    def figures(self) -> dict[str, Any]:
        """Return what was counted as plain data."""
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
        """Return what ``figures`` was made of."""
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
        """Sizes of request bodies, in KB, with those that had none."""
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
    """Figures of this worker since it began, summed up when they are asked for; or of all workers.

    :param locations: name -> counters, of all locations.
    """

    def __init__(self, locations: Mapping[str, LocationStats]) -> None:
        self.locations = locations
        self.handshakes: dict[str, HandshakeStats] = {}
        """Server -> what is counted of TLS handshakes."""
        self.upstream_times: defaultdict[str, UpstreamTimes] = defaultdict(UpstreamTimes)
        """Upstream -> what its requests took."""
        self.backends: Callable[[], Sequence[BackendReport]] = tuple
        """Returns what is known of all backends, upstream by upstream."""
        self.started_at = time.time()
        """Unix seconds."""
        self.ask_others: Callable[[], Awaitable[dict[str, Any]]] | None = None
        """Asks for what all other workers have counted, living and ended ones, as ``figures``
        (``pingap.worker.figures``); None if there are none."""

    def fold(self) -> None:
        """Have all locations sort into buckets what waits (``LocationStats.fold``)."""
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
        """Return how many requests of a location are in progress, and how many began."""
        stats = self.locations.get(name)
        return (0, 0) if stats is None else (stats.processing, stats.accepted)

    async def of_all_workers(self) -> WorkerStats:
        """Return the same figures of requests, summed up over all workers of the instance.

        Those of workers that have ended are included; what they had in progress is not.
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


class ServerMetrics:
    """A prometheus-client collector over the locations of one server.

    :param server: value of the label ``server``.
    :param locations: name -> counters.
    :param plugin_failures: (plugin, location) -> count, shared by all servers.
    :param plugins: the metrics that plugins have of their own, shared by all servers.
    :param health: tells what is known of backends; shared by all servers.
    :param upstreams: the metrics of upstreams, shared by all servers.
    :param handshakes: the metrics of TLS, where the server speaks it.
    """

    def __init__(
        self,
        server: str,
        locations: Mapping[str, LocationStats],
        plugin_failures: Mapping[tuple[str, str], int],
        plugins: PluginMetrics | None = None,
        health: Callable[[], HealthCounts] = HealthCounts,
        upstreams: UpstreamMetrics | None = None,
        handshakes: HandshakeMetrics | None = None,
    ) -> None:
        self._server = server
        self._locations = locations
        self._plugin_failures = plugin_failures
        self._plugins = plugins
        self._health = health
        self._upstreams = upstreams
        self._handshakes = handshakes
        self._others: Mapping[str, Mapping[str, Any]] = {}
        """Location -> ``figures`` of all other workers."""
        self._process: dict[str, float] = {}
        self._is_folded = False

    def plus(self, figures: Mapping[str, Any]) -> ServerMetrics:
        """Return the metrics with what other workers have counted (``figures``) added.

        The result may be turned into a page in a thread: what would take long with thousands of
        locations is left to that.
        """
        self._fold()
        failures = dict(self._plugin_failures)
        for plugin, counts in figures["failures"].items():
            for location, count in counts.items():
                failures[plugin, location] = failures.get((plugin, location), 0) + count
        plugins = self._plugins and self._plugins.plus(figures["plugins"])
        health = self._health()
        health.add(HealthCounts.of(figures["health"]))
        upstreams = self._upstreams and self._upstreams.plus(figures)
        tls = self._handshakes and self._handshakes.plus(figures["handshakes"].get(self._server))
        total = ServerMetrics(
            self._server, self._locations, failures, plugins, lambda: health, upstreams, tls
        )
        total._is_folded = True
        total._others = figures["locations"]
        total._process = process_figures()
        add_nested(total._process, figures["process"])
        return total

    def _fold(self) -> None:
        for stats in self._locations.values():
            stats.fold()

    def page(self) -> bytes:
        """Return the text exposition of all series."""
        # Imported on first use: it costs more to load than a request to serve.
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Yield all series (the interface of prometheus-client)."""
        if not self._is_folded:
            self._fold()
        others = {name: one for name, one in self._others.items() if name in self._locations}
        rows = add_locations(self._locations, others)
        total = LocationStats()
        for stats in rows.values():
            total.add(stats)
        yield self._plugin_times(rows)
        yield from _location_metrics(self._server, {**rows, "": total})
        yield from self._other_metrics(total)
        if self._handshakes is not None:
            yield from self._handshakes.collect(self._server)
        if self._upstreams is not None:
            yield from self._upstreams.collect(self._server)
        if self._plugins is not None:
            yield from self._plugins.collect(self._server)
        yield from health_metrics(self._server, self._health())
        yield from process_metrics(self._server, self._process or process_figures())

    def _plugin_times(self, rows: Mapping[str, LocationStats]) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        labels = ["server", "location", "plugin"]
        family = HistogramMetricFamily(
            "pingap_plugin_time", "Seconds, where plugin_timing is on", labels=labels
        )
        for location, stats in rows.items():
            for plugin, histogram in stats.plugin_seconds.items():
                values = [self._server, location, plugin]
                family.add_metric(values, histogram.cumulative(), histogram.total)
        return family

    def _other_metrics(self, total: LocationStats) -> Iterable[Metric]:
        reuses = plain_counter("pingap_connection_reuses", "Requests on a reused client connection")
        reuses.add_sample(reuses.name, {"server": self._server}, total.reused)
        failures = plain_counter("pingap_plugin_failures", "How often a plugin failed")
        for (plugin, location), count in self._plugin_failures.items():
            labels = {"server": self._server, "plugin": plugin, "location": location}
            failures.add_sample(failures.name, labels, count)
        return (reuses, failures)


def _location_metrics(server: str, rows: Mapping[str, LocationStats]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    names = ["server", "location"]
    requests = CounterMetricFamily("pingap_http_requests", "Requests", labels=names)
    current = GaugeMetricFamily(
        "pingap_http_requests_current", "Requests in progress", labels=names
    )
    codes = plain_counter("pingap_http_responses_codes", "Responses by class of status")
    times = HistogramMetricFamily("pingap_http_response_time", "Seconds", labels=names)
    received = HistogramMetricFamily("pingap_http_received", "Body KB received", labels=names)
    sent = HistogramMetricFamily("pingap_http_sent", "Body KB sent", labels=names)
    received_bytes = plain_counter("pingap_http_received_bytes", "Body bytes received")
    sent_bytes = plain_counter("pingap_http_sent_bytes", "Body bytes sent")
    for location, stats in rows.items():
        values = [server, location]
        labels = {"server": server, "location": location}
        requests.add_metric(values, stats.accepted)
        current.add_metric(values, stats.processing)
        for digit, count in enumerate(stats.codes):
            code = f"{digit}xx" if digit else "unknown"
            codes.add_sample(codes.name, {**labels, "code": code}, count)
        for family, histogram in (
            (times, stats.response_time),
            (received, stats.received_by_all),
            (sent, stats.sent),
        ):
            family.add_metric(values, histogram.cumulative(), histogram.total)
        received_bytes.add_sample(received_bytes.name, labels, stats.received_bytes)
        sent_bytes.add_sample(sent_bytes.name, labels, stats.sent_bytes)
    yield from (requests, current, codes, times, received, received_bytes, sent, sent_bytes)
