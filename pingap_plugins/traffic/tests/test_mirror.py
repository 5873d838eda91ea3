"""``mirror``: the shadow gets what the upstream gets, and the client notices nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from traffic_sides import Sides

from pingap.testing import Metrics, configuration_problems


def until(condition: Callable[[], object]) -> None:
    end = time.perf_counter() + 30
    while not condition():
        assert time.perf_counter() < end, "it did not happen in time"
        time.sleep(0.01)


def dropped(metrics: Metrics, reason: str) -> float:
    return metrics.value("pingap_mirror_dropped_total", reason=reason)


def test_the_shadow_gets_the_same_request(sides: Sides) -> None:
    sides.proxy.configure("servers.web", access_log="{:p.result}")
    sides.proxy.configure("plugins.p", category="mirror", upstream="v2")
    sides.proxy.location("/", plugins=["p"], proxy_set_headers=["X-Env: live"])
    answer = sides.proxy.get("/a%20b?q=1", headers={"X-A": "b", "Host": "example.org"})
    assert answer.status == 200
    original = sides.proxy.upstream.received_once()
    copy = sides.upstreams["v2"].wait_for_request(complete=True)
    assert (copy.method, copy.target) == (original.method, "/a%20b?q=1")
    names = ("host", "x-a", "x-env")
    assert [copy.header(name) for name in names] == ["example.org", "b", "live"]
    assert copy.header("x-pingap-mirror") == "1"
    assert original.header("x-pingap-mirror") is None
    assert sides.proxy.access_log == ["copied"]
    until(lambda: sides.proxy.metrics().value("pingap_mirror_responses_total", status="2xx") == 1)
    assert sides.proxy.metrics().value("pingap_mirror_copied_total") == 1


@pytest.mark.parametrize("body", [b"some data" * 5000, [b"one", b"two" * 9000, b"three"]])
def test_bodies_are_copied(sides: Sides, body: bytes | list[bytes]) -> None:
    sides.split("mirror", upstream="v2")
    whole = body if isinstance(body, bytes) else b"".join(body)
    assert sides.proxy.request("POST", "/echo", body=body).body == whole
    copy = sides.upstreams["v2"].wait_for_request(complete=True)
    assert copy.body == whole
    assert copy.header("content-length") == str(len(whole))


def test_http2_is_copied(sides: Sides) -> None:
    sides.proxy.configure("servers.web", enabled_h2=True)
    sides.split("mirror", upstream="v2")
    with sides.proxy.connect_http2() as client:
        stream = client.send_request("PUT", "/echo", body=b"data", trailers={"x-sum": "2"})
        assert client.answer(stream).body == b"data"
    original = sides.proxy.upstream.received_once()
    copy = sides.upstreams["v2"].wait_for_request(complete=True)
    assert (copy.method, copy.target, copy.body) == ("PUT", "/echo", b"data")
    assert copy.header("host") == original.header("host") is not None


def test_many_tiny_pieces(sides: Sides) -> None:
    sides.split("mirror", upstream="v2")
    assert sides.proxy.request("POST", "/echo", body=[b"x"] * 3000).body == b"x" * 3000
    assert sides.upstreams["v2"].wait_for_request(complete=True).body == b"x" * 3000


@pytest.mark.parametrize("body", [b"x" * 1001, [b"x" * 1000, b"x"]])
def test_bodies_that_are_too_large_are_not(sides: Sides, body: bytes | list[bytes]) -> None:
    sides.split("mirror", upstream="v2", max_body=1000)
    assert len(sides.proxy.request("POST", "/echo", body=body).body) == 1001
    assert sides.proxy.request("POST", "/last", body=b"x" * 1000).status == 200
    assert sides.upstreams["v2"].wait_for_request(complete=True).target == "/last"
    assert dropped(sides.proxy.metrics(), "body") == 1


def test_a_shadow_that_hangs_delays_nobody(sides: Sides) -> None:
    go = threading.Event()
    sides.upstreams["v2"].reply("/", b"late", 500, until=go)
    sides.split("mirror", upstream="v2", concurrency=2, queue=3)
    with sides.proxy.connect() as client:
        assert [client.get("/").text for _ in range(20)] == ["v1"] * 20
    metrics = sides.proxy.metrics()
    assert metrics.value("pingap_mirror_copied_total") == 5
    assert metrics.value("pingap_mirror_queue") == 3
    assert dropped(metrics, "queue") == 15
    go.set()
    sides.upstreams["v2"].wait_for_request(5)
    until(lambda: sides.proxy.metrics().value("pingap_mirror_responses_total", status="5xx") == 5)
    assert sides.proxy.metrics().value("pingap_mirror_queue") == 0


def test_the_memory_of_copies_is_limited(sides: Sides) -> None:
    go = threading.Event()
    sides.upstreams["v2"].reply("/x", b"late", until=go)
    sides.split("mirror", upstream="v2", max_body="1MiB", max_memory="100KiB", concurrency=1)
    statuses = [sides.proxy.request("POST", "/x", body=b"x" * 60_000).status for _ in range(3)]
    assert statuses == [200] * 3
    assert dropped(sides.proxy.metrics(), "memory") == 2
    go.set()
    until(lambda: sides.proxy.metrics().value("pingap_mirror_responses_total", status="2xx") == 1)
    assert sides.proxy.request("POST", "/x", body=b"x" * 60_000).status == 200
    until(lambda: sides.proxy.metrics().value("pingap_mirror_responses_total", status="2xx") == 2)


def test_a_shadow_that_is_away(sides: Sides) -> None:
    sides.upstreams["v2"].raw("/", b"", then="reset")
    sides.split("mirror", upstream="v2")
    assert [sides.ask() for _ in range(3)] == ["v1"] * 3
    until(lambda: sides.proxy.metrics().value("pingap_mirror_failures_total") == 3)


def test_a_shadow_that_is_too_slow(sides: Sides) -> None:
    go = threading.Event()
    sides.upstreams["v2"].reply("/", b"late", until=go)
    sides.split("mirror", upstream="v2", response_timeout="50ms")
    assert sides.ask() == "v1"
    until(lambda: sides.proxy.metrics().value("pingap_mirror_failures_total") == 1)
    go.set()


def test_responses_of_the_shadow_are_not_kept(sides: Sides) -> None:
    sides.upstreams["v2"].reply("/", [b"x" * 100_000] * 30)
    sides.split("mirror", upstream="v2")
    assert sides.ask() == "v1"
    until(lambda: sides.proxy.metrics().value("pingap_mirror_responses_total", status="2xx") == 1)


def test_copies_are_not_copied(sides: Sides) -> None:
    sides.split("mirror", upstream="v2")
    assert sides.ask(x_pingap_mirror="1") == "v1"
    assert sides.ask() == "v1"
    until(lambda: sides.proxy.metrics().value("pingap_mirror_responses_total", status="2xx") == 1)
    assert len(sides.upstreams["v2"].requests) == 1


def test_a_share_of_some_methods(sides: Sides) -> None:
    sides.split("mirror", upstream="v2", percent=50, methods=["get"], header="X-Shadow")
    with sides.proxy.connect() as client:
        for _ in range(200):
            client.get("/")
            client.request("DELETE", "/")
    copied = sides.proxy.metrics().value("pingap_mirror_copied_total")
    assert 55 < copied < 145  # six standard deviations
    sides.upstreams["v2"].wait_for_request(int(copied), complete=True)
    requests = sides.upstreams["v2"].requests
    assert {(one.method, one.header("x-shadow")) for one in requests} == {("GET", "1")}


def test_a_client_that_leaves_leaves_no_copy(sides: Sides) -> None:
    sides.proxy.configure("servers.web", access_log="{:p.result}")
    sides.split("mirror", upstream="v2")
    with sides.proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        sides.proxy.upstream.wait_for_request()
    assert sides.proxy.wait_for_access_log() == ["incomplete"]
    assert dropped(sides.proxy.metrics(), "incomplete") == 1
    assert sides.upstreams["v2"].requests == []


def test_a_websocket_is_not_copied(sides: Sides) -> None:
    sides.proxy.upstream.websocket("/ws")
    sides.split("mirror", upstream="v2")
    with sides.proxy.connect_websocket("/ws") as socket:
        socket.send("hello")
        assert socket.receive() == "hello"
    assert sides.upstreams["v2"].requests == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "upstream"),
        ("upstream = 'v4'", 'no upstream block is named "v4"'),
        ("upstream = 'v2'\npercent = 100.1", "percent"),
        ("upstream = 'v2'\nheader = 'X A'", "is not a header name"),
        ("upstream = 'v2'\nqueue = 0", "queue"),
        ("upstream = 'v2'\nconcurrency = 0", "concurrency"),
        ("upstream = 'v2'\nresponse_timeout = '0s'", "expected a longer time"),
        ("upstream = 'v2'\nmethods = ['G ET']", "is not a method"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = configuration_problems(
        f'[upstreams.v2]\naddrs = ["127.0.0.1:1"]\n[plugins.p]\ncategory = "mirror"\n{keys}\n'
    )
    assert any(told in one for one in found), found


@pytest.mark.parametrize("plugins", [["p", "cache"], ["cache", "p"]])
def test_what_a_cache_answers_is_not_copied(sides: Sides, plugins: list[str]) -> None:
    proxy, origin, shadow = sides.proxy, sides.proxy.upstream, sides.upstreams["v2"]
    proxy.configure("plugins.p", category="mirror", upstream="v2")
    proxy.configure("plugins.cache", category="cache")
    proxy.location("/", plugins=plugins)
    origin.reply("/a", b"page", headers={"Cache-Control": "max-age=60"})
    origin.reply("/b", b"page", headers={"Cache-Control": "no-cache", "ETag": '"1"'})
    assert [proxy.get("/a").body for _ in range(3)] == [b"page"] * 3
    assert shadow.wait_for_request(complete=True).target == "/a"
    assert [proxy.get("/b").body for _ in range(2)] == [b"page"] * 2
    assert shadow.wait_for_request(3, complete=True).target == "/b"
    assert [one.target for one in origin.requests] == ["/a", "/b", "/b"]
    assert sorted(one.target for one in shadow.requests) == ["/a", "/b", "/b"]
    assert [one.header("if-none-match") for one in origin.requests] == [None, None, '"1"']
    assert [one.header("if-none-match") for one in shadow.requests].count('"1"') == 1
