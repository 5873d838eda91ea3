"""The series of upstreams and their backends (observability.md 3.2).

Only what some configuration asks for has series: retries, ``enable_tracer``, ``enable_backend_stats``,
circuit breakers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pingap.observability.metrics import plain_counter
from pingap.upstream.stats import BackendFigures, figures

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from pingap.upstream.upstream import UpstreamRuntime


class UpstreamMetrics:
    """Makes the series of all upstreams.

    :param upstreams: those of the configuration.
    """

    def __init__(self, upstreams: Collection[UpstreamRuntime]) -> None:
        self._upstreams = upstreams

    def collect(self, server: str) -> Iterator[Metric]:
        """Yield the series, with a label for the server that shows them."""
        yield from self._retries(server)
        yield from self._connections(server)
        found = figures(self._upstreams)
        yield from _circuits(server, [one for one in found if one.circuit_state is not None])
        yield from _backends(server, [one for one in found if one.stats is not None])

    def _retries(self, server: str) -> Iterator[Metric]:
        retries = plain_counter("pingap_upstream_retries", "Attempts that were made again")
        refused = plain_counter(
            "pingap_upstream_retries_refused", "Attempts that the retry budget did not allow"
        )
        for upstream in self._upstreams:
            labels = {"server": server, "upstream": upstream.name}
            for reason, count in upstream.retries.items():
                retries.add_sample(retries.name, {**labels, "reason": reason}, count)
            if upstream.retry_budget.refused:
                refused.add_sample(refused.name, labels, upstream.retry_budget.refused)
        yield from (retries, refused)

    def _connections(self, server: str) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        names = ["server", "upstream"]
        connections = GaugeMetricFamily(
            "pingap_upstream_connections", "Open connections", labels=names
        )
        for upstream in self._upstreams:
            if upstream.is_traced:
                connections.add_metric([server, upstream.name], upstream.connections)
        yield connections


def _circuits(server: str, backends: list[BackendFigures]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    names = ["server", "upstream", "backend"]
    state = GaugeMetricFamily(
        "pingap_upstream_backend_circuit_state", "0 closed, 1 open, 2 half-open", labels=names
    )
    opened = plain_counter("pingap_backend_circuit_opened", "How often a circuit breaker opened")
    for one in backends:
        state.add_metric([server, one.upstream, one.address], one.circuit_state or 0)
        opened.add_sample(opened.name, _labels(server, one), one.circuit_opened)
    yield from (state, opened)


def _backends(server: str, backends: list[BackendFigures]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

    names = ["server", "upstream", "backend"]
    rate = GaugeMetricFamily(
        "pingap_upstream_backend_failure_rate", "Percent of the window", labels=names
    )
    lately = GaugeMetricFamily(
        "pingap_upstream_backend_requests", "Requests in the window", labels=names
    )
    in_flight = GaugeMetricFamily("pingap_backend_in_flight", "Requests in progress", labels=names)
    latency = HistogramMetricFamily(
        "pingap_backend_latency", "Seconds to the head of an answer", labels=names
    )
    average = GaugeMetricFamily(
        "pingap_backend_average_latency", "The same, of the latest answers", labels=names
    )
    requests = plain_counter("pingap_backend_requests", "Attempts that ended")
    failures = plain_counter("pingap_backend_failures", "Attempts that failed")
    for one in backends:
        stats, values, labels = one.stats, [server, one.upstream, one.address], _labels(server, one)
        assert stats is not None
        rate.add_metric(values, 100 * stats.lately.bad / max(1, stats.lately.events))
        lately.add_metric(values, stats.lately.events)
        in_flight.add_metric(values, one.in_flight)
        latency.add_metric(values, stats.latency.cumulative(), stats.latency.total)
        average.add_metric(values, stats.average_latency)
        requests.add_sample(requests.name, labels, stats.requests)
        failures.add_sample(failures.name, labels, stats.failures)
    yield from (rate, lately, in_flight, latency, average, requests, failures)


def _labels(server: str, one: BackendFigures) -> dict[str, str]:
    return {"server": server, "upstream": one.upstream, "backend": one.address}
