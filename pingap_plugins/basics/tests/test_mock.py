"""mock."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable

import pytest
from pingap_basics.mock import Mock

from pingap import RequestContext, Response
from pingap.testing import Proxy, Upstream, make_request


@pytest.fixture
def site(upstream: Upstream, start_proxy: Callable[[str], Proxy]) -> Proxy:
    return start_proxy(f"""
[plugins.teapot]
category = "mock"
path = "/teapot"
status = 418
headers = ["Content-Type: text/x-tea", "Set-Cookie: a=1", "Set-Cookie: b=2", "X-Host: $host"]
data = "short and stout"
[plugins.slow]
category = "mock"
path = "/slow"
delay = "50ms"
data = "late"
[plugins.empty]
category = "mock"
path = "/empty"
status = 204
[plugins.instead]
category = "mock"
step = "proxy_upstream"
path = "/ping"
data = "not reached"
[plugins.everything]
category = "mock"
data = "any path"
[upstreams.origin]
addrs = ["{upstream.addr}"]
[locations.any]
path = "/any"
plugins = ["everything"]
[locations.all]
upstream = "origin"
plugins = ["instead", "pingap:ping", "teapot", "slow", "empty"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["any", "all"]
""")


def test_status_headers_and_body(site: Proxy) -> None:
    answer = site.get("/teapot", headers={"Host": "tea.test"})
    assert (answer.status, answer.body) == (418, b"short and stout")
    assert answer.header("content-type") == "text/x-tea"
    assert answer.header("x-host") == "tea.test"


def test_headers_with_the_same_name_all_arrive(site: Proxy) -> None:
    assert site.get("/teapot").header_all("Set-Cookie") == ["a=1", "b=2"]


def test_without_a_path_everything_is_answered(site: Proxy) -> None:
    assert site.get("/any/thing").body == b"any path"


def test_other_paths_go_to_the_upstream(site: Proxy) -> None:
    assert site.get("/teapot/2").body == b"ok"


def test_delay_comes_before_the_answer(site: Proxy) -> None:
    began = time.monotonic()
    assert site.get("/slow").body == b"late"
    assert time.monotonic() - began >= 0.05


def test_status_without_body(site: Proxy) -> None:
    with site.connect() as client:
        assert client.get("/empty").status == 204
        assert client.get("/any").status == 200


def test_step_proxy_upstream_comes_after_step_request(site: Proxy) -> None:
    assert site.get("/ping").body == b"pong"


def test_without_delay_nothing_is_awaited(ctx: RequestContext) -> None:
    request = make_request()
    assert isinstance(Mock(Mock.Settings(data="x")).request(request, ctx), Response)
    later = Mock(Mock.Settings.model_validate({"delay": "1s"})).request(request, ctx)
    assert inspect.iscoroutine(later)
    later.close()


def test_responses_are_not_shared(ctx: RequestContext) -> None:
    mock, request = Mock(Mock.Settings(headers=["X-A: b"])), make_request()
    first, second = mock.request(request, ctx), mock.request(request, ctx)
    assert isinstance(first, Response)
    assert isinstance(second, Response)
    first.headers.set("X-A", "changed")
    assert second.headers["x-a"] == "b"
