"""request_id."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from pingap_basics.request_id import RequestId

from pingap import RequestContext, Response
from pingap.testing import Proxy, Upstream, make_request


@pytest.fixture
def site(upstream: Upstream, start_proxy: Callable[[str], Proxy]) -> Proxy:
    return start_proxy(f"""
[plugins.nano]
category = "request_id"
algorithm = "nanoid"
size = 12
header_name = "X-Trace"
step = "proxy_upstream"
[plugins.tell]
category = "response_headers"
set_headers = ["X-Told: $request_id"]
[plugins.fixed]
category = "mock"
data = "fixed"
[upstreams.origin]
addrs = ["{upstream.addr}"]
[upstreams.nobody]
addrs = ["127.0.0.1:1"]
[locations.nano]
path = "/nano"
upstream = "origin"
plugins = ["nano"]
[locations.fixed]
path = "/fixed"
plugins = ["pingap:requestId", "fixed", "tell"]
[locations.broken]
path = "/broken"
upstream = "nobody"
plugins = ["pingap:requestId"]
[locations.all]
upstream = "origin"
plugins = ["pingap:requestId", "tell"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["nano", "fixed", "broken", "all"]
access_log = "id={{request_id}};"
""")


def test_new_id_reaches_upstream_client_log_and_variables(site: Proxy, upstream: Upstream) -> None:
    answer = site.get("/")
    made = answer.header("x-request-id")
    assert made is not None
    assert uuid.UUID(made).version == 7
    assert upstream.received_once().header_all("x-request-id") == [made]
    assert answer.header("x-told") == made
    assert site.access_log == [f"id={made};"]


def test_each_request_gets_its_own(site: Proxy) -> None:
    with site.connect() as client:
        assert len({client.get("/").header("x-request-id") for _ in range(20)}) == 20


def test_id_of_the_client_is_kept(site: Proxy, upstream: Upstream) -> None:
    answer = site.get("/", headers={"X-Request-Id": "from-client_1"})
    assert answer.header("x-request-id") == "from-client_1"
    assert upstream.received_once().header_all("x-request-id") == ["from-client_1"]


@pytest.mark.parametrize("bad", ["", "two words", "a" * 129, "caf\xe9", "tab\tbed"])
def test_unreasonable_id_of_the_client_is_replaced(
    site: Proxy, upstream: Upstream, bad: str
) -> None:
    answer = site.get("/", headers={"X-Request-Id": bad})
    made = answer.header("x-request-id")
    assert made is not None
    assert uuid.UUID(made).version == 7
    assert upstream.received_once().header_all("x-request-id") == [made]


def test_longest_reasonable_id_is_kept(site: Proxy) -> None:
    answer = site.get("/", headers={"X-Request-Id": "~" * 128})
    assert answer.header("x-request-id") == "~" * 128


def test_header_name_holds_for_the_response_too(site: Proxy, upstream: Upstream) -> None:
    answer = site.get("/nano")
    made = answer.header("x-trace")
    assert made is not None
    assert re.fullmatch(r"[A-Za-z0-9_-]{12}", made)
    assert upstream.received_once().header("x-trace") == made
    assert answer.header("x-request-id") is None


def test_responses_of_plugins_carry_the_id(site: Proxy) -> None:
    answer = site.get("/fixed", headers={"X-Request-Id": "abc"})
    assert (answer.body, answer.header("x-request-id")) == (b"fixed", "abc")
    assert answer.header("x-told") == "abc"


def test_error_pages_carry_the_id_once(site: Proxy) -> None:
    answer = site.get("/broken", headers={"X-Request-Id": "abc"})
    assert answer.status == 502
    assert answer.header_all("x-request-id") == ["abc"]


def test_upstream_does_not_overrule_the_id(ctx: RequestContext) -> None:
    plugin = RequestId(RequestId.Settings())
    request = make_request()
    plugin.request(request, ctx)
    response = Response(200, headers={"X-Request-Id": "of the upstream"})
    plugin.response(request, response, ctx)
    assert response.headers.get_all("x-request-id") == [ctx.request_id]


def test_without_an_id_the_response_has_none(ctx: RequestContext) -> None:
    response = Response(200)
    RequestId(RequestId.Settings()).response(make_request(), response, ctx)
    assert "x-request-id" not in response.headers
