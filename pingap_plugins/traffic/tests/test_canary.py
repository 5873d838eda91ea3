"""``canary``: who tries the new version, and the way back, in a real proxy."""

from __future__ import annotations

import pytest
from pingap_traffic.canary import Canary
from traffic_sides import Sides

from pingap.testing import Proxy, configuration_problems

EASY = {"min_requests": 10, "window": "1h"}


def test_words_decide(sides: Sides) -> None:
    sides.split("canary", upstream="v2", weight=0, header="X-Canary", cookie="canary")
    assert sides.ask() == "v1"
    assert sides.ask(x_canary="always") == "v2"
    assert sides.ask(cookie="canary=always") == "v2"
    assert sides.ask(x_canary="never", cookie="canary=always") == "v1"
    assert sides.ask(x_canary="perhaps", cookie="canary=always") == "v2"
    assert sides.ask(x_canary="perhaps") == "v1"
    metrics = sides.proxy.metrics()
    counts = {
        (side, reason): metrics.value("pingap_canary_requests_total", side=side, reason=reason)
        for side in ("new", "old")
        for reason in ("header", "cookie", "weight")
    }
    assert counts == {
        ("new", "header"): 1,
        ("new", "cookie"): 2,
        ("new", "weight"): 0,
        ("old", "header"): 1,
        ("old", "cookie"): 0,
        ("old", "weight"): 2,
    }


def test_a_value_decides(sides: Sides) -> None:
    sides.split("canary", upstream="v2", weight=100, header="X-Group", header_value="beta")
    assert sides.ask(x_group="beta") == "v2"
    assert sides.ask(x_group="always") == "v2"  # by weight
    assert sides.ask(x_group="never") == "v2"


def test_never_is_stronger_than_the_weight(sides: Sides) -> None:
    sides.split("canary", upstream="v2", weight=100, cookie="canary")
    assert sides.ask() == "v2"
    assert sides.ask(cookie="canary=never") == "v1"


def test_a_share_of_clients(sides: Sides) -> None:
    sides.split("canary", upstream="v2", weight=12.5, sticky_header="X-User")
    users = [{"X-User": f"u{number}"} for number in range(1000)]
    found = sides.ask_all(users)
    assert found["v2"] / 1000 == pytest.approx(0.125, abs=0.01)


def test_clients_with_a_cookie_of_ours(sides: Sides) -> None:
    sides.split("canary", upstream="v2", weight=50, own_cookie="side", keys=["k" * 32])
    with sides.proxy.connect() as client:
        for _ in range(20):
            answer = client.get("/")
            cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
            assert client.get("/", headers=cookie).text == answer.text


def test_the_new_side_fails_and_gets_no_more(sides: Sides) -> None:
    sides.upstreams["v2"].reply("/", b"oh", 500)
    sides.proxy.configure("servers.web", access_log="{status} {:p.side} {:p.reason}")
    sides.split("canary", upstream="v2", weight=100, header="X-Canary", **EASY)
    with sides.proxy.connect() as client:
        statuses = [client.get("/").status for _ in range(15)]
    assert statuses == [500] * 10 + [200] * 5
    assert sides.ask(x_canary="always") == "oh"  # those who want it still get it
    assert sides.proxy.access_log == (
        ["500 new weight"] * 10 + ["200 old weight"] * 5 + ["500 new header"]
    )
    assert (
        "canary p: 100.0 % of 10 requests failed, and 0.0 % with the old version:"
        " it gets no share any more"
    ) in sides.proxy.log
    metrics = sides.proxy.metrics()
    assert metrics.value("pingap_canary_stepped_back", plugin="p") == 1
    assert metrics.value("pingap_canary_errors_total", side="new") == 10


def test_clients_keep_their_side_until_it_is_switched_off(sides: Sides) -> None:
    sides.upstreams["v2"].reply("/", b"oh", 503)
    sides.split("canary", upstream="v2", weight=50, sticky_header="X-User", **EASY)
    users = [{"X-User": f"u{number}"} for number in range(100)]
    assert sides.ask_all(users)["oh"] == 10
    assert set(sides.ask_all(users)) == {"v1"}


def test_errors_of_both_sides_are_no_reason(sides: Sides) -> None:
    for upstream in sides.upstreams.values():
        upstream.reply("/", b"oh", 500)
    sides.split("canary", upstream="v2", weight=50, sticky_header="X-User", **EASY)
    sides.ask_all([{"X-User": f"u{number}"} for number in range(100)])
    metrics = sides.proxy.metrics()
    assert metrics.value("pingap_canary_stepped_back") == 0
    assert metrics.value("pingap_canary_errors_total", side="new") > 20


@pytest.mark.parametrize("then", ["nothing", "half"])
def test_no_response_and_half_a_response_are_errors(sides: Sides, then: str) -> None:
    head = b"" if then == "nothing" else b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    sides.upstreams["v2"].raw("/", head, then="close")
    sides.split("canary", upstream="v2", weight=100, **EASY)
    for _ in range(10):
        sides.proxy.get("/")
    assert sides.ask() == "v1"


def test_no_peer_is_an_error(proxy: Proxy, sides: Sides) -> None:
    sides.upstreams["v2"].raw("/", b"", then="reset")
    proxy.configure("upstreams.v2", circuit_break_max_consecutive_failures=2)
    sides.split("canary", upstream="v2", weight=100, **EASY)
    statuses = [proxy.get("/").status for _ in range(11)]
    assert set(statuses[:10]) == {502, 503}
    assert statuses[10] == 200


@pytest.mark.parametrize("status", [404, 429])
def test_errors_of_clients_are_no_reason(sides: Sides, status: int) -> None:
    sides.upstreams["v2"].reply("/", b"no", status)
    sides.split("canary", upstream="v2", weight=100, **EASY)
    assert sides.ask_all([{}] * 30) == {"no": 30}


def test_requests_that_reach_no_upstream_do_not_count(sides: Sides) -> None:
    sides.proxy.configure("plugins.p", category="canary", upstream="v2", weight=100, **EASY)
    sides.proxy.location("/", plugins=["p", ("mock", {"status": 503})])
    for _ in range(20):
        assert sides.proxy.get("/").status == 503
    assert sides.proxy.metrics().value("pingap_canary_stepped_back") == 0


def test_chosen_by_header_does_not_count(sides: Sides) -> None:
    sides.upstreams["v2"].reply("/", b"oh", 500)
    sides.split("canary", upstream="v2", weight=100, header="X-Canary", **EASY)
    sides.ask_all([{"X-Canary": "always"}] * 30)
    assert sides.proxy.metrics().value("pingap_canary_stepped_back") == 0


def test_without_step_back(sides: Sides) -> None:
    sides.upstreams["v2"].reply("/", b"oh", 500)
    sides.split("canary", upstream="v2", weight=100, step_back=False)
    assert sides.ask_all([{}] * 60) == {"oh": 60}


def problems(keys: str) -> list[str]:
    return configuration_problems(
        f'[upstreams.v2]\naddrs = ["127.0.0.1:1"]\n[plugins.p]\ncategory = "canary"\n{keys}\n'
    )


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("weight = 5", "upstream"),
        ("upstream = 'v4'", 'no upstream block is named "v4"'),
        ("upstream = 'v2'\nweight = 101", "weight"),
        ("upstream = 'v2'\nheader_value = 'a'", "header_value has no effect without header"),
        ("upstream = 'v2'\nstep_back = false\ntolerance = 1", "tolerance has no effect without"),
        ("upstream = 'v2'\nwindow = '0s'", "expected a longer time"),
        ("upstream = 'v2'\nmin_requests = 0", "min_requests"),
        ("upstream = 'v2'\nown_cookie = 'a'", "keys is missing"),
        (
            "upstream = 'v2'\nsticky_cookie = 'a'\nown_cookie = 'b'\nkeys = ['c']",
            "sticky_cookie and own_cookie cannot be combined",
        ),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found


def test_lint_knows_a_canary_without_requests() -> None:
    assert len(list(Canary(Canary.Settings(upstream="v2")).advice())) == 1
    assert not list(Canary(Canary.Settings(upstream="v2", cookie="c")).advice())
