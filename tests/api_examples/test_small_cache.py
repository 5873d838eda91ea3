"""The cache: hits, revalidation, stale answers, filling without the client, purging in two workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_examples.small_cache import SmallCache
from support.process import Process
from support.waiting import until

from pingap import PluginSettings
from pingap.testing import Clock, Proxy, Upstream

FRESH = {"Cache-Control": "max-age=60", "ETag": '"1"'}


@pytest.fixture
def cache(proxy: Proxy) -> SmallCache:
    plugin = SmallCache(PluginSettings())
    proxy.location("/", plugins=[plugin])
    return plugin


def test_an_answer_is_stored_and_revalidated(
    cache: SmallCache, proxy: Proxy, upstream: Upstream, clock: Clock
) -> None:
    upstream.reply("/a", "text", headers=FRESH)
    assert proxy.get("/a").header("X-Cache") is None
    hit = proxy.get("/a")
    assert (hit.text, hit.header("X-Cache")) == ("text", "hit")
    clock.advance(61)
    upstream.reply("/a", b"", 304, headers={"Cache-Control": "max-age=60"})
    again = proxy.get("/a")
    assert (again.status, again.text, again.header("X-Cache")) == (200, "text", "revalidated")
    assert upstream.requests[-1].headers["If-None-Match"] == '"1"'
    assert proxy.get("/a").header("X-Cache") == "hit"
    assert len(upstream.requests) == 2


def test_a_stale_answer_takes_the_place_of_an_error(
    cache: SmallCache, proxy: Proxy, upstream: Upstream, clock: Clock
) -> None:
    upstream.reply("/a", "text", headers=FRESH)
    proxy.get("/a")
    clock.advance(61)
    upstream.raw("/a", b"nonsense\r\n\r\n")
    answer = proxy.get("/a")
    assert (answer.status, answer.text, answer.header("X-Cache")) == (200, "text", "stale")


def test_it_is_filled_though_the_client_has_left(
    cache: SmallCache, proxy: Proxy, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"first "
        go_on.wait(10)
        yield b"second"

    upstream.stream("/a", chunks, headers=FRESH)
    client = proxy.connect()
    client.send_request("GET", "/a")
    client.read_head()
    client.close()
    go_on.set()
    until(lambda: bool(cache.stored))
    assert proxy.get("/a").text == "first second"
    assert len(upstream.requests) == 1


def test_purging_reaches_every_worker(tmp_path: Path) -> None:
    (tmp_path / "who.py").write_text(
        "import os\nfrom pingap import Plugin, Response, hookimpl\n"
        "class Who(Plugin):\n"
        "    @hookimpl\n"
        "    def response(self, response: Response):\n"
        "        response.headers.set('X-Worker', str(os.getpid()))\n"
    )
    with Upstream() as origin:
        origin.reply("/a", "text", headers=FRESH)
        toml = f"""
[basic]
threads = 2
[upstreams.origin]
addrs = ["{origin.addr}"]
[plugins.cache]
category = "python"
path = "{Path(__file__).with_name("small_cache.py")}"
[plugins.who]
category = "python"
path = "who.py"
[locations.all]
upstream = "origin"
plugins = ["cache", "who"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""
        with Process(toml, tmp_path) as process:
            hits: set[str] = set()

            def both_hit() -> bool:
                with process.connect() as client:
                    answer = client.get("/a")
                if answer.headers.get("x-cache") == "hit":
                    hits.add(answer.headers["x-worker"])
                return len(hits) == 2

            until(both_hit)
            before = len(origin.requests)
            with process.connect() as client:
                assert client.request("PURGE", "/a").status == 200

            def both_asked() -> bool:
                with process.connect() as client:
                    client.get("/a")
                return len(origin.requests) == before + 2

            until(both_asked)
