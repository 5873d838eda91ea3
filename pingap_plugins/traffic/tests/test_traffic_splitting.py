"""``traffic_splitting``: who goes where, in a real proxy with real upstreams."""

from __future__ import annotations

import random
from collections import Counter
from zlib import crc32

import pytest
from pingap_traffic.traffic_splitting import TrafficSplitting
from traffic_sides import Sides

from pingap import Response
from pingap.testing import Proxy, configuration_problems, make_context, make_request

KEYS = ["k" * 32]


def test_a_share_at_random(sides: Sides) -> None:
    sides.split("traffic_splitting", upstream="v2", weight=30)
    random.seed(7)  # the proxy runs in this process
    found = sides.ask_all([{}] * 1000)
    assert set(found) == {"v1", "v2"}
    assert 220 < found["v2"] < 380  # five standard deviations and more
    metrics = sides.proxy.metrics()
    for label, name in {"v2": "v2", "(default)": "v1"}.items():
        value = metrics.value("pingap_traffic_splitting_requests_total", plugin="p", upstream=label)
        assert value == found[name]


def test_several_alternatives_by_client(sides: Sides) -> None:
    sides.split(
        "traffic_splitting",
        weights={"v2": 10, "v3": 20.5},
        stickiness=True,
        sticky_header="X-User",
    )
    found = sides.ask_all([{"X-User": f"user-{number}"} for number in range(2000)])
    assert found["v2"] / 2000 == pytest.approx(0.10, abs=0.01)
    assert found["v3"] / 2000 == pytest.approx(0.205, abs=0.01)


@pytest.mark.parametrize(("weight", "expected"), [(0, {"v1"}), (100, {"v2"})])
def test_nobody_and_everybody(sides: Sides, weight: int, expected: set[str]) -> None:
    sides.split("traffic_splitting", upstream="v2", weight=weight)
    assert set(sides.ask_all([{}] * 50)) == expected


def test_stickiness_is_that_of_pingap(sides: Sides) -> None:
    sides.split("traffic_splitting", upstream="v2", weight=40, stickiness=True, sticky_cookie="uid")
    for number in range(40):
        value = f"visitor{number}"
        expected = "v2" if crc32(value.encode()) % 100 < 40 else "v1"
        assert sides.ask(cookie=f"a=b; uid={value}") == expected
    assert set(sides.ask_all([{"Cookie": "other=1"}] * 50)) == {"v1"}
    assert sides.ask(cookie="uid=") == "v2"  # the CRC of nothing is 0


def test_values_decide_with_a_matcher(sides: Sides) -> None:
    sides.split(
        "traffic_splitting",
        upstream="v2",
        weight=1,
        stickiness=True,
        sticky_header="X-Group",
        matcher="^beta-",
    )
    assert [sides.ask(x_group=f"beta-{number}") for number in range(9)] == ["v2"] * 9
    assert [sides.ask(x_group=f"a-beta-{number}") for number in range(9)] == ["v1"] * 9
    assert sides.ask() == "v1"


def test_a_matcher_without_a_weight_chooses_nobody(sides: Sides) -> None:
    sides.split(
        "traffic_splitting", upstream="v2", stickiness=True, sticky_header="X-G", matcher="."
    )
    assert sides.ask(x_g="beta") == "v1"


def test_of_several_the_last_that_hits_wins(sides: Sides) -> None:
    plugins = [
        ("traffic_splitting", {"upstream": "v2", "weight": 100}),
        ("traffic_splitting", {"upstream": "v3", "weight": 100}),
        ("traffic_splitting", {"upstream": "v2", "weight": 0}),
    ]
    sides.proxy.location("/", plugins=plugins)
    assert sides.ask() == "v3"


def test_a_client_gets_a_cookie_and_keeps_its_side(sides: Sides) -> None:
    sides.split(
        "traffic_splitting",
        weights={"v2": 30, "v3": 30},
        stickiness=True,
        own_cookie="side",
        keys=KEYS,
        cookie_max_age="1h",
    )
    kept: Counter[str] = Counter()
    with sides.proxy.connect() as client:
        for _ in range(60):
            first = client.get("/")
            set_cookie = first.headers["Set-Cookie"]
            assert set_cookie.endswith("; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax")
            cookie = {"Cookie": set_cookie.partition(";")[0]}
            again = [client.get("/", headers=cookie) for _ in range(3)]
            assert {answer.text for answer in again} == {first.text}
            assert not any("Set-Cookie" in answer.headers for answer in again)
            kept[first.text] += 1
    assert set(kept) == {"v1", "v2", "v3"}


def test_clients_cannot_choose_their_cookie(sides: Sides) -> None:
    sides.split("traffic_splitting", upstream="v2", stickiness=True, own_cookie="side", keys=KEYS)
    for value in ("", "AAAA", "x" * 5000, "v2", "\xff"):
        answer = sides.proxy.get("/", headers={"Cookie": f"side={value}"})
        assert "side=" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("name", "scheme", "is_secure"),
    [("side", "http", False), ("side", "https", True), ("__Host-side", "http", True)],
)
def test_a_cookie_over_https_is_secure(name: str, scheme: str, is_secure: bool) -> None:
    settings = TrafficSplitting.Settings(
        upstream="v2", weight=10, stickiness=True, own_cookie=name, keys=KEYS
    )
    plugin = TrafficSplitting(settings)
    request, ctx, response = make_request(), make_context(scheme=scheme), Response(200)
    plugin.request(request, ctx)
    plugin.response(request, response, ctx)
    assert ("; Secure" in response.headers["Set-Cookie"]) == is_secure


def test_a_growing_share_keeps_those_who_have_it() -> None:
    def chosen(weight: int) -> set[int]:
        settings = TrafficSplitting.Settings(
            upstream="v2", weight=weight, stickiness=True, sticky_header="X-User"
        )
        plugin = TrafficSplitting(settings)
        found = set()
        for number in range(200):
            ctx = make_context()
            plugin.request(make_request(headers={"X-User": f"u{number}"}), ctx)
            if ctx.upstream == "v2":
                found.add(number)
        return found

    assert chosen(5) < chosen(20) < chosen(100)


def test_the_access_log_has_the_side(sides: Sides) -> None:
    sides.proxy.configure("servers.web", access_log="{:p.upstream}")
    sides.split(
        "traffic_splitting",
        upstream="v2",
        weight=1,
        stickiness=True,
        sticky_header="X",
        matcher="2",
    )
    sides.ask(x="1")
    sides.ask(x="2")
    assert sides.proxy.access_log == ["(default)", "v2"]


def test_a_cache_keeps_the_sides_apart(proxy: Proxy, sides: Sides) -> None:
    for name, upstream in sides.upstreams.items():
        upstream.reply("/", name.encode(), headers={"Cache-Control": "max-age=600"})
    splitting = {
        "upstream": "v2",
        "weight": 100,
        "stickiness": True,
        "sticky_header": "X-Side",
        "matcher": "2",
    }
    proxy.location("/", plugins=[("traffic_splitting", splitting), ("cache", {})])
    for _ in range(5):
        assert [sides.ask(x_side="1"), sides.ask(x_side="2")] == ["v1", "v2"]
    # The first response is stored before the cache knows that the URL has variants.
    assert [len(sides.upstreams[name].requests) for name in ("v1", "v2")] == [2, 1]


def problems(keys: str) -> list[str]:
    return configuration_problems(
        f'[upstreams.v2]\naddrs = ["127.0.0.1:1"]\n[upstreams.v3]\naddrs = ["127.0.0.1:1"]\n'
        f'[plugins.p]\ncategory = "traffic_splitting"\n{keys}\n'
    )


@pytest.mark.parametrize(
    "keys",
    [
        "upstream = 'v2'",
        "upstream = 'v2'\nweight = 100\nremark = 'all'",
        "upstream = 'v2'\nweight = 5\nstickiness = true\nsticky_cookie = 'a'\nmatcher = '^a$'",
        "upstream = 'v2'\nweight = 0.5\nstickiness = true\nsticky_header = 'X-A'\nmatcher = ''",
        "weights = { v2 = 10, v3 = 90 }",
    ],
)
def test_keys(keys: str) -> None:
    assert problems(keys) == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "upstream is missing"),
        ("upstream = 'v4'", 'no upstream block is named "v4"'),
        ("weights = { v4 = 1 }", 'no upstream block is named "v4"'),
        ("upstream = 'v2'\nweight = 101", "weight"),
        ("upstream = 'v2'\nweight = -1", "weight"),
        ("upstream = 'v2'\nweight = '10'", "weight"),
        ("weights = { v2 = 60, v3 = 41 }", "weights add up to 101, expected at most 100"),
        ("upstream = 'v2'\nweights = { v3 = 1 }", "weights takes the place of upstream"),
        ("upstream = 'v2'\nstickiness = true", "stickiness needs sticky_cookie, sticky_header"),
        ("upstream = 'v2'\nsticky_cookie = 'a'", "sticky_cookie has no effect without stickiness"),
        ("upstream = 'v2'\nmatcher = 'a'", "matcher has no effect without stickiness"),
        ("upstream = 'v2'\nmatcher = '('", "matcher"),
        (
            "upstream = 'v2'\nstickiness = true\nsticky_cookie = 'a'\nsticky_header = 'b'",
            "sticky_cookie and sticky_header cannot be combined",
        ),
        (
            "weights = { v2 = 1 }\nstickiness = true\nsticky_cookie = 'a'\nmatcher = 'b'",
            "matcher has no effect with weights",
        ),
        ("upstream = 'v2'\nstickiness = true\nown_cookie = 'a'", "keys is missing"),
        ("upstream = 'v2'\nkeys = ['a']", "keys has no effect without own_cookie"),
        (
            "upstream = 'v2'\nstickiness = true\nown_cookie = 'a'\nkeys = ['short']",
            "expected at least 32",
        ),
        (
            f"upstream = 'v2'\nstickiness = true\nown_cookie = 'a b'\nkeys = {KEYS}",
            "is not the name of a cookie",
        ),
        ("upstream = 'v2'\nwheight = 1", "wheight: unknown key"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found
    assert all(one.startswith("pingap.toml:") for one in found)


def test_lint_knows_an_upstream_without_requests() -> None:
    plugin = TrafficSplitting(TrafficSplitting.Settings(weights={"v2": 10, "v3": 0}))
    assert list(plugin.advice()) == [
        ("weights", '"v3" gets no request', "set a percentage above 0")
    ]
