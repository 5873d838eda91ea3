"""``fault``: refuses to run unless it is allowed, and then does what it says."""

from __future__ import annotations

import time

import pytest
from pingap_traffic.fault import Fault
from traffic_sides import Sides

from pingap.testing import configuration_problems


def test_aborted_requests(sides: Sides) -> None:
    sides.proxy.configure("servers.web", access_log="{status} {:p.fault}")
    sides.split("fault", allow=True, abort_status=503, message="Chaos")
    answer = sides.proxy.get("/")
    assert (answer.status, answer.text) == (503, "Chaos")
    assert sides.proxy.upstream.requests == []
    assert sides.proxy.access_log == ["503 abort"]
    metrics = sides.proxy.metrics()
    assert metrics.value("pingap_fault_injected_total", fault="abort", plugin="p") == 1


def test_a_share_is_aborted(sides: Sides) -> None:
    sides.split("fault", allow=True, abort_status=500, abort_percent=20)
    with sides.proxy.connect() as client:
        statuses = [client.get("/").status for _ in range(500)]
    assert set(statuses) == {200, 500}
    assert 40 < statuses.count(500) < 160  # six standard deviations and more


def test_delayed_requests(sides: Sides) -> None:
    sides.proxy.configure("servers.web", access_log="{:p.fault}")
    sides.split("fault", allow=True, delay="200ms")
    began = time.monotonic()
    assert sides.ask() == "v1"
    assert time.monotonic() - began >= 0.2
    assert sides.proxy.access_log == ["delay"]


def test_delayed_and_aborted(sides: Sides) -> None:
    sides.proxy.configure("servers.web", access_log="{status} {:p.fault}")
    sides.split("fault", allow=True, delay="1ms", abort_status=418)
    assert sides.proxy.get("/").status == 418
    assert sides.proxy.access_log == ["418 delay+abort"]


def test_a_client_may_leave_while_it_is_delayed(sides: Sides) -> None:
    sides.proxy.configure("servers.web", access_log="{status} {:p.fault}")
    sides.split("fault", allow=True, delay="20s")
    with sides.proxy.connect() as client:
        client.send_request("GET", "/")
    assert sides.proxy.wait_for_access_log() == ["499 delay"]
    assert sides.proxy.upstream.requests == []


def test_no_response_at_all(sides: Sides) -> None:
    sides.split("fault", allow=True, abort_status=444)
    with sides.proxy.connect() as client:
        client.send_request("GET", "/")
        assert client.is_closed()


def test_only_requests_with_a_header(sides: Sides) -> None:
    sides.split("fault", allow=True, abort_status=503, header="X-Chaos", header_value="please")
    statuses = [
        sides.proxy.get("/", headers=headers).status
        for headers in ({}, {"X-Chaos": "no"}, {"x-chaos": "please"})
    ]
    assert statuses == [200, 200, 503]


def test_any_value_of_a_header(sides: Sides) -> None:
    sides.split("fault", allow=True, abort_status=503, header="X-Chaos")
    assert sides.ask() == "v1"
    assert sides.proxy.get("/", headers={"X-Chaos": ""}).status == 503


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "fault"\n{keys}\n')


@pytest.mark.parametrize(
    "keys",
    [
        "allow = true\ndelay = '1s'",
        "allow = true\nabort_status = 444\nabort_percent = 0.5",
        "allow = true\ndelay = '40s'\ntimeout = '1m'",
    ],
)
def test_keys(keys: str) -> None:
    assert problems(keys) == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("abort_status = 503", "allow = true is missing: this plugin breaks requests on purpose"),
        ("allow = false\ndelay = '1s'", "allow = true is missing"),
        ("allow = 'true'\ndelay = '1s'", "allow"),
        ("allow = true", "there is no fault to inject"),
        ("allow = true\ndelay = '30s'", "delay is 30s, expected less than timeout, which is 30s"),
        ("allow = true\ndelay = '2s'\ntimeout = '1s'", "expected less than timeout, which is 1s"),
        ("allow = true\ndelay = '0s'", "expected a longer time"),
        ("allow = true\nabort_status = 200", "abort_status"),
        ("allow = true\nabort_status = 503\nabort_percent = 101", "abort_percent"),
        ("allow = true\nabort_status = 503\ndelay_percent = 1", "delay_percent has no effect"),
        ("allow = true\ndelay = '1s'\nmessage = 'a'", "have no effect without abort_status"),
        ("allow = true\nabort_status = 444\nmessage = 'a'", "message is never sent"),
        ("allow = true\ndelay = '1s'\nheader_value = 'a'", "header_value has no effect"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found


def test_lint_reminds_of_it() -> None:
    plugin = Fault(Fault.Settings(allow=True, abort_status=503))
    (found,) = plugin.advice()
    assert found == (
        "allow",
        "requests are delayed or aborted on purpose",
        "remove it after the test",
    )
