"""The Prometheus page: series created from counters when the page is read.

Names, labels and buckets are those of pingap 0.13.9 (observability.md 3.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint

from pingap.host.threads import in_thread
from pingap.observability.counters import LocationStats, add_locations
from pingap.observability.histogram import plain_counter
from pingap.observability.process_figures import process_figures, process_metrics
from pingap.observability.sums import add_nested, no_figures
from pingap.upstream.health.metrics import HealthCounts, health_metrics

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from pingap.http.ports import Statistics
    from pingap.observability.handshakes import HandshakeMetrics
    from pingap.observability.metric_families import PluginMetrics
    from pingap.upstream.metrics import UpstreamMetrics


class ServerMetrics:
    """A prometheus-client collector over the locations of one server.

    :param server: value of the label ``server``.
    :param locations: name -> counters.
    :param plugin_failures: (plugin, location) -> count, shared by all servers.
    :param plugins: the plugins' own metrics, shared by all servers.
    :param health: returns the health of backends; shared by all servers.
    :param upstreams: the metrics of upstreams, shared by all servers.
    :param handshakes: the TLS metrics, if the server uses it.
    :param collect_plugins: makes plugins collect metrics into ``plugins``.
    :param refused: (server, plugin) -> number of refused connections, of all servers.
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
        collect_plugins: Callable[[], Awaitable[None]] = checkpoint,
        refused: Mapping[tuple[str, str], int] = MappingProxyType({}),
    ) -> None:
        self._server = server
        self._locations = locations
        self._plugin_failures = plugin_failures
        self._plugins = plugins
        self._health = health
        self._upstreams = upstreams
        self._handshakes = handshakes
        self._collect_plugins = collect_plugins
        self._refused = refused
        self._others: Mapping[str, Mapping[str, Any]] = {}
        """Location -> ``figures`` of all other workers."""
        self._process: dict[str, float] = {}
        self._is_folded = False

    def plus(self, figures: Mapping[str, Any]) -> ServerMetrics:
        """Return the metrics including the counts (``figures``) of other workers.

        The result can be turned into a page in a thread, which does the work that would take long with
        thousands of locations.
        """
        self._fold()
        failures = dict(self._plugin_failures)
        for plugin, counts in figures["failures"].items():
            for location, count in counts.items():
                failures[plugin, location] = failures.get((plugin, location), 0) + count
        plugins = self._plugins and self._plugins.plus(figures)
        health = self._health()
        health.add(HealthCounts.of(figures["health"]))
        upstreams = self._upstreams and self._upstreams.plus(figures)
        tls = self._handshakes and self._handshakes.plus(figures["handshakes"].get(self._server))
        total = ServerMetrics(
            self._server, self._locations, failures, plugins, lambda: health, upstreams, tls
        )
        refused = Counter(self._refused)
        for plugin, count in figures["refused"].get(self._server, {}).items():
            refused[self._server, plugin] += count
        total._refused = refused
        total._is_folded = True
        total._others = figures["locations"]
        total._process = process_figures()
        add_nested(total._process, figures["process"])
        return total

    async def page_of_all(self, stats: Statistics) -> bytes:
        """Return the page of all workers together.

        :param stats: of the worker that received the request.
        """
        await self._collect_plugins()
        figures = no_figures() if stats.ask_others is None else await stats.ask_others()
        return await in_thread(self.plus(figures).page)

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
        refused = plain_counter(
            "pingap_connections_refused", "Connections that a plugin refused before they were read"
        )
        for (server, plugin), count in self._refused.items():
            if server == self._server:
                refused.add_sample(refused.name, {"server": server, "plugin": plugin}, count)
        return (reuses, failures, refused)


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
