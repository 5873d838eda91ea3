"""Counters of a location, and their page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import Connection, RequestContext, WorkerStats
from pingap.observability.counters import (
    RECEIVED_BUCKETS,
    RESPONSE_TIME_BUCKETS,
    SENT_BUCKETS,
    Histogram,
    LocationStats,
)
from pingap.proxy.exposition import ServerMetrics


def ended(
    status: int, seconds: float, sent: int = 0, received: int = 0, nth: int = 1
) -> RequestContext:
    connection = Connection(1, ("", 0), ("", 0))
    connection.requests = nth
    ctx = RequestContext(connection, 100.0)
    ctx.ended_at, ctx.status = 100.0 + seconds, status
    ctx.body_bytes_sent, ctx.body_bytes_received = sent, received
    return ctx


def test_buckets_are_those_of_pingap() -> None:
    assert RESPONSE_TIME_BUCKETS == (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    assert RECEIVED_BUCKETS == (1, 5, 10, 50, 100, 1000)
    assert SENT_BUCKETS == (1, 5, 10, 50, 100, 1000, 10000)


def test_histogram_counts_up_to_and_including_a_bound() -> None:
    histogram = Histogram((1, 5))
    for value in (0, 1, 1.01, 5, 6):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 2), ("5.0", 4), ("+Inf", 5)]
    assert histogram.total == pytest.approx(13.01)
    histogram.add(histogram)
    assert histogram.cumulative() == [("1.0", 4), ("5.0", 8), ("+Inf", 10)]


@given(st.lists(st.floats(0, 20)), st.lists(st.floats(0, 20)))
def test_histogram_rows_are_those_of_a_count_by_hand(
    first: list[float], second: list[float]
) -> None:
    histograms = []
    for values in (first, second):
        histogram = Histogram(RESPONSE_TIME_BUCKETS)
        for value in values:
            histogram.observe(value)
        histograms.append(histogram)
    histograms[0].add(histograms[1])
    rows = histograms[0].cumulative()
    for bound, count in rows:
        assert count == sum(value <= float(bound) for value in first + second)


def test_location_stats_count_a_request_from_begin_to_end() -> None:
    stats = LocationStats()
    stats.processing += 2
    assert stats.accepted == 2
    stats.end(ended(200, 0.02, sent=2048, received=6 * 1024))
    assert (stats.accepted, stats.processing) == (2, 1)
    stats.end(ended(0, 20, nth=2))
    stats.fold()
    assert stats.codes == [1, 0, 1, 0, 0, 0]
    assert (stats.sent_bytes, stats.received_bytes, stats.reused) == (2048, 6144, 1)
    assert stats.response_time.counts == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert stats.response_time.total == pytest.approx(20.02)
    assert stats.sent.counts == [1, 1, 0, 0, 0, 0, 0, 0]
    page = ServerMetrics("web", {"a": stats}, {}).page().decode().splitlines()
    counts = [line for line in page if "pingap_http_received_bucket{" in line and '"a"' in line]
    assert [line.rpartition(" ")[2] for line in counts] == ["1.0", "1.0", *["2.0"] * 5]
    other = LocationStats()
    other.processing += 1
    other.end(ended(503, 0.001))
    other.fold()
    stats.add(other)
    assert stats.codes == [1, 0, 1, 0, 0, 1]
    assert stats.accepted == 3


def test_page() -> None:
    shop, blog = LocationStats(), LocationStats()
    for stats, status in ((shop, 200), (shop, 404), (blog, 500)):
        stats.processing += 1
        stats.end(ended(status, 0.3, sent=100, nth=2))
    shop.processing += 1
    page = ServerMetrics("web", {"shop": shop, "blog": blog}, {("p", "shop"): 3}).page().decode()
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    for line in (
        'pingap_http_requests_total{location="shop",server="web"} 3.0',
        'pingap_http_requests_total{location="",server="web"} 4.0',
        'pingap_http_requests_current{location="shop",server="web"} 1.0',
        'pingap_http_responses_codes{code="4xx",location="shop",server="web"} 1.0',
        'pingap_http_responses_codes{code="5xx",location="blog",server="web"} 1.0',
        'pingap_http_responses_codes{code="unknown",location="",server="web"} 0.0',
        'pingap_http_response_time_bucket{le="0.25",location="shop",server="web"} 0.0',
        'pingap_http_response_time_bucket{le="0.5",location="shop",server="web"} 2.0',
        'pingap_http_response_time_count{location="",server="web"} 3.0',
        'pingap_http_sent_bytes{location="shop",server="web"} 200.0',
        'pingap_connection_reuses{server="web"} 3.0',
        'pingap_plugin_failures{location="shop",plugin="p",server="web"} 3.0',
    ):
        assert _unordered(line) in {_unordered(one) for one in lines}
    assert page.endswith("\n")


def _unordered(line: str) -> tuple[str, frozenset[str], str]:
    name, _, rest = line.partition("{")
    labels, _, value = rest.rpartition("} ")
    return name, frozenset(labels.split(",")), value


def test_worker_stats_of_a_location() -> None:
    stats = LocationStats()
    stats.processing += 1
    assert WorkerStats({"a": stats}).location("a") == (1, 1)
    assert WorkerStats({"a": stats}).location("b") == (0, 0)
