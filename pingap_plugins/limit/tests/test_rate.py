"""Rates, through a real proxy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pingap import Plugin, Request, RequestContext, hookimpl
from pingap.testing import Clock, Proxy, Upstream

STRATEGIES = ["estimate", "fixed-window", "moving-window", "sliding-window-counter", "gcra"]


def limited(proxy: Proxy, **settings: object) -> Proxy:
    proxy.configure("plugins.slow", category="limit", **settings)
    proxy.location("/", plugins=["slow"])
    return proxy


def statuses(proxy: Proxy, number: int, **more: object) -> list[int]:
    return [proxy.get("/", **more).status for _ in range(number)]  # type: ignore[arg-type]


def test_the_answer_of_pingap(proxy: Proxy, upstream: Upstream, clock: Clock) -> None:
    limited(proxy, type="rate", tag="ip", max=5, interval="10s", weight=100)
    assert statuses(proxy, 5) == [200] * 5
    answer = proxy.get("/")
    assert (answer.status, answer.text) == (429, "Plugin limit, exceed limit 0.6/0.5")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Content-Type" not in answer.headers
    assert 1 <= int(answer.headers["Retry-After"]) <= 10
    assert len(upstream.requests) == 5


def test_whole_numbers_have_no_point(proxy: Proxy, clock: Clock) -> None:
    limited(proxy, max=2, interval="1s", strategy="moving-window")
    statuses(proxy, 2)
    assert proxy.get("/").text == "Plugin limit, exceed limit 3/2"


def test_max_0_refuses_everything(proxy: Proxy) -> None:
    limited(proxy, max=0)
    assert proxy.get("/").text == "Plugin limit, exceed limit 0.1/0"


@pytest.mark.parametrize("by", [["ip"], ["ip", "path"], ["path", "ip"]])
def test_clients_on_a_unix_socket_are_one(
    start_proxy: Callable[..., Proxy], tmp_path: Path, by: list[str]
) -> None:
    proxy = start_proxy(f"""
[plugins.slow]
category = "limit"
max = 1
interval = "1h"
by = {json.dumps(by)}
[locations.l]
plugins = ["slow", "pingap:ping"]
[servers.s]
addr = "unix:{tmp_path / "s"}"
locations = ["l"]
""")
    found = []
    for _ in range(2):
        with proxy.connect() as client:
            found.append(client.get("/ping", headers={"Host": "h"}).status)
    assert found == [200, 429]
    proxy.stop()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_exactly_max_requests_pass(proxy: Proxy, clock: Clock, strategy: str) -> None:
    limited(proxy, max=7, interval="1h", strategy=strategy)
    assert statuses(proxy, 10) == [200] * 7 + [429] * 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_later_there_is_more(proxy: Proxy, clock: Clock, strategy: str) -> None:
    limited(proxy, max=4, interval="1h", strategy=strategy)
    assert statuses(proxy, 5) == [200] * 4 + [429]
    clock.advance(3 * 3600)
    assert statuses(proxy, 5) == [200] * 4 + [429]


def test_a_supply_refills_steadily(proxy: Proxy, clock: Clock) -> None:
    limited(proxy, rate="6/minute", strategy="gcra", burst=2)
    answers = [proxy.get("/") for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "10"
    assert answers[2].text == "Plugin limit, exceed limit 0.1166666667/0.1"
    clock.advance(10)
    assert statuses(proxy, 2) == [200, 429]
    clock.advance(25)
    assert statuses(proxy, 3) == [200, 200, 429]


def test_the_window_moves(proxy: Proxy, clock: Clock) -> None:
    limited(proxy, rate="2 per minute", strategy="moving-window")
    assert statuses(proxy, 1) == [200]
    clock.advance(40)
    assert statuses(proxy, 2) == [200, 429]
    clock.advance(21)
    assert statuses(proxy, 2) == [200, 429]


def test_the_window_before_counts_in_part(proxy: Proxy, clock: Clock) -> None:
    limited(proxy, max=10, interval="1h", weight=40)
    statuses(proxy, 10)
    clock.advance(3600)
    # 10 x 0.6 of the window before, and 0.4 for each of this one.
    assert statuses(proxy, 12) == [200] * 10 + [429] * 2


def test_refused_requests_count_in_the_estimate(proxy: Proxy, clock: Clock) -> None:
    limited(proxy, max=10, interval="1h", weight=40)
    statuses(proxy, 20)
    clock.advance(3600)
    assert statuses(proxy, 1) == [429]  # 20 x 0.6 + 0.4


def test_of_an_interval_below_a_second_max_is_per_second(proxy: Proxy, clock: Clock) -> None:
    limited(proxy, max=20, interval="100ms", weight=100)
    answers = [proxy.get("/") for _ in range(40)]
    refused = [one.text for one in answers if one.status == 429]
    assert refused
    assert all(one.endswith("/20") for one in refused)


def test_who_goes_on_is_refused_and_others_are_not(proxy: Proxy, clock: Clock) -> None:
    limited(proxy, max=1, interval="1h")
    assert statuses(proxy, 3, client_ip="192.0.2.1") == [200, 429, 429]
    assert statuses(proxy, 2, client_ip="192.0.2.2") == [200, 429]


def test_before_an_upstream_only_what_it_gets_counts(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("plugins.slow", category="limit", max=1, interval="1h", step="proxy_upstream")
    proxy.configure("plugins.here", category="mock", path="/here", data="mine")
    proxy.location("/", plugins=["slow", "here"])
    assert [proxy.get("/here").status for _ in range(3)] == [200] * 3
    assert statuses(proxy, 2) == [200, 429]
    assert len(upstream.requests) == 1


# What clients are told.


def test_fields_of_a_limit(proxy: Proxy, clock: Clock) -> None:
    limited(proxy, max=2, interval="1h", strategy="fixed-window", headers=True)
    told = [proxy.get("/").headers for _ in range(3)]
    assert [one["RateLimit-Policy"] for one in told] == ['"slow";q=2;w=3600'] * 3
    assert [one["RateLimit"] for one in told] == [
        *('"slow";r=1;t=3600', '"slow";r=0;t=3600', '"slow";r=0;t=3600')
    ]
    assert told[2]["Retry-After"] == "3600"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_remains_counts_down(proxy: Proxy, clock: Clock, strategy: str) -> None:
    limited(proxy, max=3, interval="1h", strategy=strategy, headers=True)
    told = [proxy.get("/").headers["RateLimit"] for _ in range(4)]
    assert [one.split(";")[1] for one in told] == ["r=2", "r=1", "r=0", "r=0"]
    assert all(0 < int(one.partition("t=")[2]) <= 3600 for one in told)


def test_two_limits_are_told_together(proxy: Proxy, clock: Clock) -> None:
    for name, rate in (("short", "2/second"), ("long", "9/hour")):
        proxy.configure(
            f"plugins.{name}", category="limit", rate=rate, strategy="fixed-window", headers=True
        )
    proxy.location("/", plugins=["short", "long"])
    headers = proxy.get("/").headers
    assert headers.get_all("RateLimit-Policy") == ['"short";q=2;w=1', '"long";q=9;w=3600']
    assert [one.split(";")[0] for one in headers.get_all("RateLimit")] == ['"short"', '"long"']


def test_without_the_key_nothing_is_told(proxy: Proxy) -> None:
    limited(proxy, max=2)
    assert not [name for name, _ in proxy.get("/").headers if name.lower().startswith("ratelimit")]


# Whose limit it is.


@pytest.mark.parametrize(
    ("settings", "one", "other"),
    [
        ({"tag": "cookie", "key": "sid"}, {"Cookie": "a=1; sid=x"}, {"Cookie": "sid=y"}),
        ({"tag": "header", "key": "X-Key"}, {"x-key": "x"}, {"X-KEY": "y"}),
        ({"by": ["header:x-key"]}, {"X-Key": "x"}, {"X-Key": "y"}),
        ({"tag": "host"}, {"Host": "a.example"}, {"Host": "b.example"}),
    ],
)
def test_keys(
    proxy: Proxy, settings: dict[str, object], one: dict[str, str], other: dict[str, str]
) -> None:
    limited(proxy, max=1, interval="1h", **settings)
    assert statuses(proxy, 2, headers=one) == [200, 429]
    assert statuses(proxy, 2, headers=other) == [200, 429]
    assert statuses(proxy, 1, headers=one, client_ip="192.0.2.9") == [429]


@pytest.mark.parametrize(
    ("settings", "one", "other"),
    [
        ({"tag": "query", "key": "k"}, "/?k=%61b", "/?k=c"),
        ({"tag": "path"}, "/a/../x", "/y"),
    ],
)
def test_keys_in_the_target(
    proxy: Proxy, settings: dict[str, object], one: str, other: str
) -> None:
    limited(proxy, max=1, interval="1h", **settings)
    assert [proxy.get(one).status, proxy.get(one).status] == [200, 429]
    assert [proxy.get(other).status, proxy.get(other).status] == [200, 429]


@pytest.mark.parametrize(("one", "same"), [("/?k=ab", "/?k=%61b"), ("/?k=ab", "/?k=ab&k=z")])
def test_an_encoded_key_is_the_same_key(proxy: Proxy, one: str, same: str) -> None:
    limited(proxy, max=1, interval="1h", tag="query", key="k")
    assert [proxy.get(one).status, proxy.get(same).status] == [200, 429]


def test_each_combination_has_the_limit(proxy: Proxy) -> None:
    limited(proxy, max=1, interval="1h", by=["ip", "header:X-Key"])
    for client in ("192.0.2.1", "192.0.2.2"):
        for key in ("a", "b"):
            headers = {"X-Key": key}
            assert statuses(proxy, 2, headers=headers, client_ip=client) == [200, 429]


def test_parts_of_a_combination_cannot_be_shifted(proxy: Proxy) -> None:
    limited(proxy, max=1, interval="1h", by=["header:X-A", "header:X-B"])
    assert statuses(proxy, 1, headers={"X-A": "1", "X-B": "1=2"}) == [200]
    assert statuses(proxy, 1, headers={"X-A": "11=", "X-B": "2"}) == [200]
    assert statuses(proxy, 1, headers={"X-A": "1", "X-B": "1=2"}) == [429]


class Login(Plugin):
    category = "login"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        ctx.user = request.header("x-user") or ""


def test_a_user_has_the_limit(proxy: Proxy) -> None:
    proxy.configure("plugins.slow", category="limit", max=1, interval="1h", tag="user")
    proxy.location("/", plugins=[Login, "slow"])
    assert statuses(proxy, 2, headers={"X-User": "ann"}) == [200, 429]
    assert statuses(proxy, 2, headers={"X-User": "ben"}) == [200, 429]
    assert statuses(proxy, 2) == [200, 200]


class Token(Plugin):
    category = "token"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        ctx.state["jwt"] = json.loads(request.header("x-claims") or "{}")


def test_a_claim_has_the_limit(proxy: Proxy) -> None:
    proxy.configure("plugins.slow", category="limit", max=1, interval="1h", by=["claim:tenant"])
    proxy.location("/", plugins=[Token, "slow"])
    for tenant in ('"a"', "7"):
        claims = {"X-Claims": f'{{"sub": "x", "tenant": {tenant}}}'}
        assert statuses(proxy, 2, headers=claims) == [200, 429]
    for claims in ({}, {"X-Claims": '{"tenant": ["a"]}'}, {"X-Claims": '{"tenant": ""}'}):
        assert statuses(proxy, 2, headers=claims) == [200, 200]


@pytest.mark.parametrize(
    ("missing", "expected"), [("allow", [200, 200]), ("refuse", [400, 400]), ("ip", [200, 429])]
)
@pytest.mark.parametrize("headers", [{}, {"X-Key": ""}])
def test_a_key_that_is_missing(
    proxy: Proxy, missing: str, expected: list[int], headers: dict[str, str]
) -> None:
    limited(proxy, max=1, interval="1h", tag="header", key="X-Key", missing=missing)
    assert statuses(proxy, 2, headers=headers) == expected
    assert statuses(proxy, 2, headers={"X-Key": "a"}) == [200, 429]


def test_what_a_request_without_a_key_is_told(proxy: Proxy) -> None:
    limited(proxy, max=1, tag="header", key="X-Key", missing="refuse")
    answer = proxy.get("/")
    assert (answer.status, answer.text) == (400, "Plugin limit, key missing")
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("client", ["2001:db8::1", "2001:db8:0:0:ffff::2", "2001:0DB8::3"])
def test_an_ipv6_network_shares_a_limit(proxy: Proxy, client: str) -> None:
    limited(proxy, max=1, interval="1h")
    assert statuses(proxy, 1, client_ip="2001:db8::42") == [200]
    assert statuses(proxy, 1, client_ip=client) == [429]
    assert statuses(proxy, 1, client_ip="2001:db8:0:1::1") == [200]


def test_the_length_of_ipv6_networks(proxy: Proxy) -> None:
    limited(proxy, max=1, interval="1h", ipv6_prefix=128)
    assert statuses(proxy, 1, client_ip="2001:db8::1") == [200]
    assert statuses(proxy, 1, client_ip="2001:db8::2") == [200]


def test_some_have_no_limit(proxy: Proxy) -> None:
    limited(proxy, max=0, allow=["192.0.2.0/24", "2001:db8::/32"])
    for client, status in (
        *(("192.0.2.77", 200), ("2001:db8::1", 200), ("::ffff:192.0.2.1", 200)),
        *(("192.0.3.1", 429), ("2001:db9::1", 429)),
    ):
        assert proxy.get("/", client_ip=client).status == status


def test_some_keys_have_no_limit(proxy: Proxy) -> None:
    limited(proxy, max=0, tag="header", key="X-Key", allow_keys=["gold"])
    assert statuses(proxy, 1, headers={"X-Key": "gold"}) == [200]
    assert statuses(proxy, 1, headers={"X-Key": "golden"}) == [429]


# Reports.


def test_a_report_lets_everything_pass(proxy: Proxy) -> None:
    proxy.configure("servers.web", access_log="{status} {:slow.result}")
    limited(proxy, max=1, interval="1h", mode="report")
    assert statuses(proxy, 3) == [200] * 3
    assert proxy.access_log == ["200 ", "200 reported", "200 reported"]
    metrics = proxy.metrics()
    assert metrics.value("pingap_limit_reported_total", plugin="slow") == 2


def test_refusals_are_counted(proxy: Proxy) -> None:
    proxy.configure("servers.web", access_log="{status} {:slow.result}")
    limited(proxy, max=1, interval="1h", tag="header", key="X-Key", missing="refuse")
    statuses(proxy, 3, headers={"X-Key": "a"})
    statuses(proxy, 1)
    assert proxy.access_log == ["200 ", "429 refused", "429 refused", "400 refused"]
    metrics = proxy.metrics()
    found = [
        metrics.value("pingap_limit_refused_total", plugin="slow", reason=reason)
        for reason in ("over the limit", "key missing")
    ]
    assert found == [2, 1]
