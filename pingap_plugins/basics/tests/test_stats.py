"""stats."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from pingap_basics import machine
from pingap_basics.stats import Stats, human_size, uptime

import pingap
from pingap import RequestContext, Response
from pingap.testing import Proxy, Upstream, make_request


@pytest.fixture
def site(upstream: Upstream, start_proxy: Callable[[str], Proxy]) -> Proxy:
    return start_proxy(f"""
[plugins.figures]
category = "stats"
path = "/figures"
step = "proxy_upstream"
[upstreams.origin]
addrs = ["{upstream.addr}"]
[locations.all]
upstream = "origin"
plugins = ["figures", "pingap:stats"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
""")


def figures(site: Proxy, path: str = "/stats") -> dict[str, Any]:
    answer = site.get(path)
    assert answer.status == 200
    assert answer.header("content-type") == "application/json; charset=utf-8"
    found = answer.json()
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", ["/stats", "/figures"])
def test_figures_have_the_types_of_pingap(site: Proxy, path: str) -> None:
    found = figures(site, path)
    numbers = {"location_processing", "start_time", "memory_mb", "cpus", "threads", "fd_count"}
    texts = {"hostname", "version", "python_version", "arch", "uptime", "memory", "total_memory"}
    assert {key for key in numbers if type(found[key]) is int} == numbers
    assert {key for key in texts if type(found[key]) is str} == texts
    assert found["version"] == pingap.__version__
    assert found["python_version"] == platform.python_version()
    assert found["location_processing"] == 1


def test_start_time_is_that_of_the_process(site: Proxy) -> None:
    assert figures(site)["start_time"] == round(machine.started_at(os.getpid()))


def test_other_paths_go_to_the_upstream(site: Proxy) -> None:
    assert site.get("/statistics").body == b"ok"


def test_what_is_not_known_is_left_out(
    ctx: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("memory", "total_memory", "used_memory", "open_files", "tcp_sockets"):
        monkeypatch.setattr(machine, name, lambda: None)
    plugin = Stats(Stats.Settings(path="/s"))

    async def ask() -> Response:
        pending = plugin.request(make_request(target="/s"), ctx)
        assert pending is not None
        return await pending

    response = anyio.run(ask)
    assert isinstance(response.body, bytes)
    found = json.loads(response.body)
    assert None not in found.values()
    assert not {"memory", "memory_mb", "used_memory", "fd_count", "tcp_count"} & found.keys()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2040109466, "1.9 GiB"),
        (2**70, "1024.0 EiB"),
    ],
)
def test_human_size(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0s"), (61, "1m 1s"), (3723.5, "1h 2m 3s"), (86400, "1d"), (90061, "1d 1h 1m 1s")],
)
def test_uptime(seconds: float, text: str) -> None:
    assert uptime(seconds) == text
