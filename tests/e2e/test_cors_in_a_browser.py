"""``cors`` and a real browser: what scripts of another origin may do, and what they may not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from support.certificates import issue
from support.chromium import PROGRAM, Page, chromium

from pingap.testing import Proxy, Upstream

TOML = """
[plugins.page]
category = "mock"
data = "<!doctype html><title>page</title>"
headers = ["Content-Type: text/html"]
[plugins.listed]
category = "cors"
allow_origin = ["~http://localhost:[0-9]+"]
allow_headers = "Content-Type, X-A"
expose_headers = "X-Total"
allow_credentials = true
[plugins.any]
category = "cors"
[plugins.others]
category = "cors"
allow_origin = "https://other.test"
[plugins.refusing]
category = "ip_restriction"
type = "deny"
ip_list = ["127.0.0.0/8"]
message = "Not from here"
[upstreams.u]
addrs = ["{addr}"]
health_check = "none"
[locations.page]
plugins = ["page"]
[locations.listed]
path = "/listed"
upstream = "u"
plugins = ["listed"]
[locations.any]
path = "/any"
upstream = "u"
plugins = ["any"]
[locations.others]
path = "/others"
upstream = "u"
plugins = ["others"]
[locations.refused]
path = "/refused"
upstream = "u"
plugins = ["listed", "refusing"]
[locations.none]
path = "/none"
upstream = "u"
[servers.site]
addr = "127.0.0.1:0"
locations = ["page"]
[servers.api]
addr = "127.0.0.1:0"
locations = ["listed", "any", "others", "refused", "none"]
"""
FETCH = """(async () => {
  try {
    const answer = await fetch("http://localhost:%d%s", %s);
    return [answer.status, await answer.text(), answer.headers.get("x-total")];
  } catch (error) {
    return String(error.name);
  }
})()"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        # An application that knows CORS as well: a second value would make browsers refuse the response.
        headers = {"Access-Control-Allow-Origin": "https://a.test", "X-Total": "7", "X-Other": "8"}
        for name in ("listed", "any", "others"):
            running.reply(f"/{name}", name.encode(), headers=headers)
        yield running


@pytest.fixture(scope="module")
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    with Proxy(TOML.format(addr=upstream.addr)) as running:
        yield running


@pytest.fixture(scope="module")
def page(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if PROGRAM is None and os.environ.get("CI") != "true":
        pytest.skip("Chromium is not installed")
    assert PROGRAM is not None, "CI installs Chromium (.ci/run)"
    folder = tmp_path_factory.mktemp("browser") / "chromium"
    with chromium(folder, issue("localhost")) as browser:
        browser.open(f"http://localhost:{proxy.port('site')}/")
        yield browser


def fetch(page: Page, proxy: Proxy, path: str, options: str = "{}") -> Any:
    return page.value(FETCH % (proxy.port("api"), path, options))


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("path", "options", "wanted"),
    [
        ("/listed", "{}", [200, "listed", "7"]),
        ("/listed", '{credentials: "include"}', [200, "listed", "7"]),
        ("/any", "{}", [200, "any", None]),  # X-Total is not exposed
        ("/any", '{credentials: "include"}', "TypeError"),  # * is not for credentials
        ("/others", "{}", "TypeError"),
        ("/none", "{}", "TypeError"),
        ("/refused", "{}", [403, "Not from here", None]),
    ],
)
def test_reading(page: Page, proxy: Proxy, path: str, options: str, wanted: object) -> None:
    assert fetch(page, proxy, path, options) == wanted


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("path", "header", "arrives"),
    [
        ("/listed", '"X-A": "1", "Content-Type": "application/json"', True),
        ("/listed", '"X-B": "1"', False),  # not in allow_headers
        ("/others", '"X-A": "1"', False),
        ("/none", '"X-A": "1"', False),
    ],
)
def test_requests_that_need_a_preflight(
    page: Page, proxy: Proxy, upstream: Upstream, path: str, header: str, arrives: bool
) -> None:
    before = len(upstream.requests)
    sent = f'body: "x", headers: {{{header}}}'
    answer = fetch(page, proxy, path, f'{{method: "PUT", credentials: "include", {sent}}}')
    methods = [one.method for one in upstream.requests[before:]]
    if arrives:
        assert answer == [200, path[1:], "7"]
        assert methods == ["PUT"]  # the upstream does not see the preflight request
    else:
        assert answer == "TypeError"
        assert "PUT" not in methods
