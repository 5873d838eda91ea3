"""A real browser, Chromium: pages in each coding, and events that it hears before the next one is sent."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import issue
from support.chromium import PROGRAM, Page, chromium
from support.waiting import until

from pingap.testing import Proxy, Upstream

pytestmark = pytest.mark.skipif(
    PROGRAM is None and "CI" not in os.environ, reason="needs Chromium: apt-get install chromium"
)
CODINGS = {"zstd": "zstd_level", "br": "br_level", "gzip": "gzip_level"}
TEXT = "".join(f"line {number} of a page, with an é\n" for number in range(30_000))
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
EVENTS = 3

FETCH = """
fetch('/{coding}/text').then(async (response) =>
    [response.headers.get('content-encoding'), await response.text()])
"""
LISTEN = """
window.heard = [];
window.source = new EventSource('/{coding}/events');
source.onmessage = (event) => heard.push(event.data);
"""


@pytest.mark.timeout(180)
def test_pages_and_events_in_each_coding(proxy: Proxy, upstream: Upstream, tmp_path: Path) -> None:
    upstream.reply(
        "/", b"<!doctype html><title>page</title>", headers={"Content-Type": "text/html"}
    )
    proxy.location("/", plugins=[("compression", dict.fromkeys(CODINGS.values(), 3))])
    more = threading.Semaphore(0)

    def events() -> Iterator[bytes]:
        for number in range(EVENTS):
            yield b"data: event %d\n\n" % number
            more.acquire(timeout=20)

    for coding, key in CODINGS.items():
        proxy.location(f"/{coding}/", plugins=[("compression", {key: 5})])
        upstream.reply(f"/{coding}/text", TEXT.encode(), headers=PLAIN)
        upstream.stream(f"/{coding}/events", events, headers={"Content-Type": "text/event-stream"})
    with proxy, chromium(tmp_path / "browser", issue("localhost"), 150) as browser:
        browser.open(f"http://127.0.0.1:{proxy.port()}/")
        until(lambda: browser.value("document.title") == "page")
        for coding in CODINGS:
            assert browser.value(FETCH.format(coding=coding)) == [coding, TEXT]
            listen(browser, coding, more)
    asked = [one for one in upstream.requests if one.path == "/"]
    assert "zstd" in str(asked[0].header("accept-encoding"))  # a browser that knows all of them


def listen(browser: Page, coding: str, more: threading.Semaphore) -> None:
    """Check that an event is heard while the upstream sends nothing more."""
    browser.value(LISTEN.format(coding=coding))
    for number in range(EVENTS):
        until(lambda number=number: len(browser.value("heard")) == number + 1)
        assert browser.value("heard")[-1] == f"event {number}"
        if number == EVENTS - 1:
            browser.value("source.close()")  # or it would connect again
        more.release()
