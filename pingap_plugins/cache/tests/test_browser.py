"""A real browser, Chromium, with a cache of its own: what its reload and back ask for, and get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pingap_cache.plugin import Cache
from support.certificates import issue
from support.chromium import PROGRAM, Page, chromium
from waiting import until

from pingap.testing import Proxy, Received, Served, Upstream

pytestmark = pytest.mark.skipif(
    PROGRAM is None and "CI" not in os.environ, reason="needs Chromium: apt-get install chromium"
)
VERSION = '"v1"'


def page(served: Served, request: Received) -> None:
    """A page that says how often the origin made it."""
    headers = {"Cache-Control": "max-age=60", "ETag": VERSION, "Content-Type": "text/html"}
    if request.header("if-none-match") == VERSION:
        served.respond(b"", 304, headers=headers)
    else:
        served.respond(b"<!doctype html><title>" + request.path[1:].encode(), headers=headers)


def title(page: Page, expected: str) -> None:
    until(lambda: page.value("document.readyState + document.title") == f"complete{expected}")


@pytest.mark.timeout(120)
def test_reload_and_back(proxy: Proxy, upstream: Upstream, tmp_path: Path) -> None:
    proxy.location(plugins=[Cache])
    proxy.configure(
        "servers.web",
        access_log="{method} {uri} {status} {:cache.status} [{>cache-control}]",
    )
    for path in ("/one", "/two"):
        upstream.on(path, page)

    def seen() -> list[str]:
        return [line for line in proxy.access_log if "favicon" not in line]

    def conditions() -> list[str | None]:
        return [one.header("if-none-match") for one in upstream.requests if one.path == "/one"]

    with proxy, chromium(tmp_path / "browser", issue("localhost")) as browser:
        base = f"http://127.0.0.1:{proxy.port()}"
        browser.open(f"{base}/one")
        title(browser, "one")
        browser.open(f"{base}/two")
        title(browser, "two")
        browser.value("history.back()")
        title(browser, "one")
        assert len(seen()) == 2  # (the browser has it)

        # A reload validates, all the way to the origin; the browser gets 304, since it has the page.
        browser.reload()
        until(lambda: len(seen()) == 3)
        title(browser, "one")
        assert seen()[2].startswith("GET /one 304 ")
        assert seen()[2].endswith("revalidated [max-age=0]")
        assert conditions() == [None, VERSION]

        # A reload without the browser's cache brings the whole, which the cache has validated.
        browser.reload(without_cache=True)
        until(lambda: len(seen()) == 4)
        title(browser, "one")
        assert seen()[3].startswith("GET /one 200 ")
        assert seen()[3].endswith("revalidated [no-cache]")
        assert conditions() == [None, VERSION, VERSION]
