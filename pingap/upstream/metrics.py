"""The series of upstreams and their backends (observability.md 3.2).

Series exist only for configured features: retries, ``enable_tracer``, ``enable_backend_stats``, circuit
breakers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pingap.observability.histogram import Histogram, plain_counter
from pingap.observability.sums import add_nested, no_figures
from pingap.observability.upstream_times import UpstreamTimes, upstream_time_metrics
from pingap.upstream.stats import LATENCY_BUCKETS, BackendReport, report_on

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from pingap.upstream.upstream import UpstreamRuntime

UpstreamFigures: TypeAlias = dict[str, Any]
"""``retries`` (reason -> count), ``refused``, ``current`` (requests in progress), ``connections`` (if
traced), and ``backends``: address -> counts."""


_Figures: TypeAlias = (
    "tuple[dict[str, UpstreamFigures], dict[str, dict[str, Any]], Sequence[BackendReport]]"
)
"""The sums of all workers by upstream, those of times, and the state of all backends."""


def upstream_figures(upstream: UpstreamRuntime) -> UpstreamFigures:
    """Return the counts of this worker for an upstream, as numbers that can be added up."""
    figures = {
        "retries": dict(upstream.retries),
        "refused": upstream.retry_budget.refused,
        "current": sum(peer.in_flight for peer in upstream.peers),
        "backends": {
            report.address: _counts(report)
            for report in report_on((upstream,))
            if report.stats is not None or report.circuit_state is not None
        },
    }
    if upstream.is_traced:
        figures["connections"] = upstream.connections
    return figures


def _counts(report: BackendReport) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    if report.circuit_state is not None:
        counts["opened"] = report.circuit_opened
    if (stats := report.stats) is not None:
        counts |= {
            "requests": stats.requests,
            "failures": stats.failures,
            "in_flight": report.in_flight,
            "lately": [stats.lately.events, stats.lately.bad],
            "latency": stats.latency.figures(),
        }
    return counts


def clear_gauges(upstream: dict[str, Any]) -> None:
    """Remove the values from the figures of an upstream that ended with its worker."""
    upstream.pop("connections", None)
    upstream["current"] = 0
    for backend in upstream["backends"].values():
        if "requests" in backend:
            backend["in_flight"], backend["lately"] = 0, [0, 0]


class UpstreamMetrics:
    """Makes the series of all upstreams.

    :param upstreams: those of the configuration.
    :param times: the times of requests, by upstream name.
    """

    def __init__(
        self, upstreams: Collection[UpstreamRuntime], times: Mapping[str, UpstreamTimes]
    ) -> None:
        self._upstreams = upstreams
        self._times = times
        self._taken: _Figures | None = None

    def plus(self, figures: Mapping[str, Any]) -> UpstreamMetrics:
        """Return the current metrics, including the counts of other workers."""
        total = UpstreamMetrics(self._upstreams, self._times)
        total._taken = self._take(figures)
        return total

    def _take(self, figures: Mapping[str, Any]) -> _Figures:
        total = {upstream.name: upstream_figures(upstream) for upstream in self._upstreams}
        times = {name: self._times[name].figures() for name in total if name in self._times}
        for own, others in ((total, figures["upstreams"]), (times, figures["upstream_times"])):
            add_nested(own, {name: others[name] for name in total if name in others})
        return total, times, report_on(self._upstreams)

    def collect(self, server: str) -> Iterator[Metric]:
        """Yield the series, with a label for the server that shows them."""
        total, times, reports = self._taken or self._take(no_figures())
        yield from upstream_time_metrics(server, times)
        yield from _retries(server, total)
        yield from _connections(server, total)
        yield _circuit_states(server, reports)
        yield from _backends(server, total)


def _circuit_states(server: str, reports: Sequence[BackendReport]) -> Metric:
    """Return the states in this worker: the others follow."""
    state = _gauge("pingap_upstream_backend_circuit_state", "0 closed, 1 open, 2 half-open")
    for one in reports:
        if one.circuit_state is not None:
            labels = _labels(server, one.upstream, one.address)
            state.add_sample(state.name, labels, one.circuit_state)
    return state


def _gauge(name: str, text: str) -> Metric:
    from prometheus_client.core import Metric

    return Metric(name, text, "gauge")


def _labels(server: str, upstream: str, backend: str) -> dict[str, str]:
    return {"server": server, "upstream": upstream, "backend": backend}


def _retries(server: str, total: Mapping[str, UpstreamFigures]) -> Iterator[Metric]:
    retries = plain_counter("pingap_upstream_retries", "Attempts that were made again")
    refused = plain_counter(
        "pingap_upstream_retries_refused", "Attempts that the retry budget did not allow"
    )
    for name, upstream in total.items():
        labels = {"server": server, "upstream": name}
        for reason, count in upstream["retries"].items():
            retries.add_sample(retries.name, {**labels, "reason": reason}, count)
        if upstream["refused"]:
            refused.add_sample(refused.name, labels, upstream["refused"])
    yield from (retries, refused)


def _connections(server: str, total: Mapping[str, UpstreamFigures]) -> Iterator[Metric]:
    connections = _gauge("pingap_upstream_connections", "Open connections")
    current = _gauge("pingap_upstream_connections_current", "Requests in progress")
    for name, upstream in total.items():
        labels = {"server": server, "upstream": name}
        current.add_sample(current.name, labels, upstream["current"])
        if "connections" in upstream:
            connections.add_sample(connections.name, labels, upstream["connections"])
    yield from (connections, current)


def _backends(server: str, total: Mapping[str, UpstreamFigures]) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily

    opened = plain_counter("pingap_backend_circuit_opened", "How often a circuit breaker opened")
    requests = plain_counter("pingap_backend_requests", "Attempts that ended")
    failures = plain_counter("pingap_backend_failures", "Attempts that failed")
    rate = _gauge("pingap_upstream_backend_failure_rate", "Percent of the window")
    lately = _gauge("pingap_upstream_backend_requests", "Requests in the window")
    in_flight = _gauge("pingap_backend_in_flight", "Requests in progress")
    names = ["server", "upstream", "backend"]
    latency = HistogramMetricFamily(
        "pingap_backend_latency", "Seconds to the head of a response", labels=names
    )
    for name, upstream in total.items():
        for address, counts in upstream["backends"].items():
            labels = _labels(server, name, address)
            if "opened" in counts:
                opened.add_sample(opened.name, labels, counts["opened"])
            if "requests" not in counts:
                continue
            events, bad = counts["lately"]
            rate.add_sample(rate.name, labels, 100 * bad / max(1, events))
            lately.add_sample(lately.name, labels, events)
            in_flight.add_sample(in_flight.name, labels, counts["in_flight"])
            requests.add_sample(requests.name, labels, counts["requests"])
            failures.add_sample(failures.name, labels, counts["failures"])
            histogram = Histogram(LATENCY_BUCKETS)
            histogram.add_figures(counts["latency"])
            latency.add_metric([*labels.values()], histogram.cumulative(), histogram.total)
    yield from (opened, requests, failures, rate, lately, in_flight, latency)
