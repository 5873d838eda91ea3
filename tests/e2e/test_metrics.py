"""The page of metrics, after requests of every kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.rig import Rig, running
from support.waiting import until


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running(
        server='prometheus_metrics = "/metrics"',
        location='path = "/in"\nclient_max_body_size = "10kb"',
    ) as rig:
        yield rig


def metrics(rig: Rig) -> dict[str, float]:
    with rig.connect() as client:
        answer = client.get("/metrics")
    assert answer.status == 200
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_requests_are_counted(rig: Rig) -> None:
    before = metrics(rig)
    with rig.connect() as client:
        assert client.request("POST", "/in", body=b"x" * 2048).status == 200
        assert client.get("/in").status == 200
        assert client.request("POST", "/in", body=b"x" * 20_000).status == 413
    with rig.connect() as client:
        assert client.get("/elsewhere").status == 404
    with rig.connect() as client:
        client.send(b"bad\r\n\r\n")
        assert client.answer().status == 400
    after = metrics(rig)

    def grown(name: str, *labels: str) -> float:
        text = ",".join([*labels, 'location="all"', 'server="web"'])
        key = f"pingap_{name}{{{text}}}"
        key = next(one for one in after if _same(one, key))
        return after[key] - before.get(key, 0)

    assert grown("http_requests_total") == 3
    assert grown("http_responses_codes", 'code="2xx"') == 2
    assert grown("http_responses_codes", 'code="4xx"') == 1
    assert grown("http_response_time_count") == 3
    assert grown("http_response_time_bucket", 'le="+Inf"') == 3
    assert grown("http_received_bytes") in (2048, 22_048)
    assert grown("http_sent_bytes") > 2048
    assert grown("http_received_bucket", 'le="1.0"') >= 1
    assert grown("http_requests_current") == 0


def _same(one: str, other: str) -> bool:
    """Compare two series whose labels may be in another order."""
    return sorted(re.split("[{},]", one)) == sorted(re.split("[{},]", other))


def test_the_sum_has_no_location(rig: Rig) -> None:
    found = metrics(rig)
    assert any(_same(one, 'pingap_http_requests_total{server="web",location=""}') for one in found)


def test_what_is_under_way_is_a_gauge_that_goes_back(rig: Rig) -> None:
    key = 'pingap_http_requests_current{location="all",server="web"}'

    def current() -> float:
        found = metrics(rig)
        return next(value for one, value in found.items() if _same(one, key))

    with rig.connect() as client:
        client.send(b"POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        until(lambda: current() == 1)
    until(lambda: current() == 0)  # also if the client leaves


def test_the_path_is_exact_and_for_every_method(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/metrics/").status == 404
        assert client.get("/metrics?x").status == 200
        assert client.request("POST", "/metrics", body=b"x").status == 200
        with suppress(AssertionError):
            assert client.request("HEAD", "/metrics").status == 200


def test_a_client_that_leaves_counts_as_4xx(rig: Rig) -> None:
    key = 'pingap_http_responses_codes{location="all",server="web",code="4xx"}'

    def aborted() -> float:
        found = metrics(rig)
        return next((value for one, value in found.items() if _same(one, key)), 0)

    before = aborted()
    with rig.connect() as client:
        client.send(b"POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    until(lambda: aborted() == before + 1)


def test_upstreams_and_the_process_have_the_series_of_pingap(rig: Rig) -> None:
    before = metrics(rig)
    with rig.connect() as client:
        for _ in range(3):
            assert client.get("/in").status == 200
    after = metrics(rig)
    labels = '{server="web",upstream="origin"}'
    for name in ("processing_time_count", "response_time_count"):
        series = f"pingap_upstream_{name}{labels}"
        assert after[series] - before.get(series, 0) == 3
    reuses = f"pingap_upstream_reuses{labels}"
    assert after[reuses] - before.get(reuses, 0) >= 2
    assert after[f"pingap_upstream_tcp_connect_time_count{labels}"] >= 1
    assert after[f"pingap_upstream_tls_handshake_time_count{labels}"] == 0
    assert after['pingap_memory{server="web"}'] > 10
    assert after['pingap_fd_count{server="web"}'] > 5
    assert after['pingap_tcp_count{server="web"}'] > 0
    assert after['pingap_tcp6_count{server="web"}'] >= 0
