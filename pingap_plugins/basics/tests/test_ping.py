"""ping."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pingap.testing import Proxy, Upstream


@pytest.fixture
def site(upstream: Upstream, start_proxy: Callable[[str], Proxy]) -> Proxy:
    return start_proxy(f"""
[plugins.alive]
category = "ping"
path = "/alive"
[upstreams.origin]
addrs = ["{upstream.addr}"]
[locations.all]
upstream = "origin"
plugins = ["alive", "pingap:ping"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
""")


@pytest.mark.parametrize("path", ["/alive", "/ping", "/alive?x=1"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_path_is_answered_whatever_the_method(site: Proxy, method: str, path: str) -> None:
    answer = site.request(method, path)
    assert (answer.status, answer.body) == (200, b"pong")
    assert answer.header("content-type") == "text/plain; charset=utf-8"


def test_head_gets_the_head_only(site: Proxy) -> None:
    with site.connect() as client:
        assert client.request("HEAD", "/alive").header("content-length") == "4"
        assert client.get("/alive").body == b"pong"


@pytest.mark.parametrize("path", ["/", "/alive/", "/aliv", "/Alive", "/x/alive"])
def test_other_paths_go_to_the_upstream(site: Proxy, path: str) -> None:
    assert site.get(path).body == b"ok"
