"""response_headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from pingap_basics.response_headers import ResponseHeaders

from pingap import Headers, RequestContext, Response, field
from pingap.testing import Proxy, Upstream, make_request


def changed(
    ctx: RequestContext,
    settings: Mapping[str, object],
    *fields: tuple[str, str],
    host: str = "h.test",
) -> list[tuple[str, str]]:
    """Return the fields of a response after the plugin."""
    plugin = ResponseHeaders(ResponseHeaders.Settings.model_validate(settings))
    headers = Headers([field(*one) for one in fields])
    response = Response.from_upstream(200, b"OK", headers, None)
    plugin.response(make_request(host=host), response, ctx)
    return response.headers.items()


def test_add_keeps_what_is_there(ctx: RequestContext) -> None:
    settings = {"add_headers": ["X-A: 2", "X-A: 3"]}
    assert changed(ctx, settings, ("x-a", "1")) == [("x-a", "1"), ("X-A", "2"), ("X-A", "3")]


def test_remove_drops_all_values(ctx: RequestContext) -> None:
    settings = {"remove_headers": ["x-a"]}
    fields = [("X-A", "1"), ("X-B", "2"), ("x-a", "3")]
    assert changed(ctx, settings, *fields) == [("X-B", "2")]


def test_set_replaces_all_values(ctx: RequestContext) -> None:
    settings = {"set_headers": ["X-A: new"]}
    assert changed(ctx, settings, ("x-a", "1"), ("X-A", "2")) == [("X-A", "new")]


def test_set_not_exists_leaves_what_is_there(ctx: RequestContext) -> None:
    settings = {"set_headers_not_exists": ["X-A: new", "X-B: new"]}
    assert changed(ctx, settings, ("x-a", "old")) == [("x-a", "old"), ("X-B", "new")]


def test_rename_keeps_all_values(ctx: RequestContext) -> None:
    settings = {"rename_headers": ["X-Old: X-New"]}
    fields = [("x-old", "1"), ("X-B", "b"), ("X-Old", "2"), ("X-New", "3")]
    expected = [("X-New", "1"), ("X-B", "b"), ("X-New", "2"), ("X-New", "3")]
    assert changed(ctx, settings, *fields) == expected


def test_order_is_add_remove_set_default_rename(ctx: RequestContext) -> None:
    settings = {
        "rename_headers": ["X-D: X-E"],
        "set_headers_not_exists": ["X-C: default", "X-D: default"],
        "set_headers": ["X-B: set", "X-C: set"],
        "remove_headers": ["X-A"],
        "add_headers": ["X-A: added", "X-B: added"],
    }
    expected = [("X-B", "set"), ("X-C", "set"), ("X-E", "default")]
    assert sorted(changed(ctx, settings, ("X-A", "1"))) == expected


def test_renamings_follow_each_other(ctx: RequestContext) -> None:
    assert changed(ctx, {"rename_headers": ["a: b", "b: c"]}, ("a", "1")) == [("c", "1")]


def test_last_of_two_settings_of_a_header_wins(ctx: RequestContext) -> None:
    assert changed(ctx, {"set_headers": ["X-A: 1", "x-a: 2"]}) == [("x-a", "2")]


def test_variables_are_expanded(ctx: RequestContext) -> None:
    settings = {
        "add_headers": ["X-A: $host", "X-B: plain"],
        "set_headers_not_exists": ["X-C: $remote_addr"],
    }
    expected = [("X-A", "h.test"), ("X-B", "plain"), ("X-C", "192.0.2.7")]
    assert changed(ctx, settings) == expected


def test_variable_without_value_removes_and_adds_nothing(ctx: RequestContext) -> None:
    settings = {
        "add_headers": ["X-A: $host"],
        "set_headers": ["X-B: $host"],
        "set_headers_not_exists": ["X-C: $host"],
    }
    assert changed(ctx, settings, ("X-B", "forged"), host="") == []


@pytest.fixture
def site(upstream: Upstream, start_proxy: Callable[[str], Proxy]) -> Proxy:
    upstream.reply("/", headers=[("X-Old", "1"), ("Server", "o"), ("X-Old", "2")])
    return start_proxy(f"""
[plugins.usual]
category = "response_headers"
add_headers = ["Set-Cookie: a=1", "Set-Cookie: b=2"]
remove_headers = ["Server"]
set_headers = ["X-Upstream: $upstream_addr", "X-Asked: $http_x_asked"]
rename_headers = ["X-Old: X-New"]
[plugins.early]
category = "response_headers"
mode = "upstream"
set_headers = ["X-Mode: upstream"]
[upstreams.origin]
addrs = ["{upstream.addr}"]
[upstreams.nobody]
addrs = ["127.0.0.1:1"]
[locations.broken]
path = "/broken"
upstream = "nobody"
plugins = ["usual", "early"]
[locations.all]
upstream = "origin"
plugins = ["pingap:ping", "usual", "early"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["broken", "all"]
""")


def test_response_of_an_upstream(site: Proxy, upstream: Upstream) -> None:
    answer = site.get("/", headers={"X-Asked": "this"})
    assert answer.body == b"ok"
    assert answer.header_all("X-New") == ["1", "2"]
    assert answer.header_all("X-Old") == []
    assert answer.header_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.header_all("X-Upstream") == [upstream.addr]
    assert answer.header_all("X-Asked") == ["this"]
    assert answer.header_all("X-Mode") == ["upstream"]
    assert answer.header("server") is None


@pytest.mark.parametrize(("path", "status"), [("/ping", 200), ("/broken", 502)])
def test_mode_upstream_leaves_other_responses_alone(site: Proxy, path: str, status: int) -> None:
    answer = site.get(path)
    assert answer.status == status
    assert answer.header_all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.header("x-mode") is None
