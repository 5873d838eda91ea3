"""Every plugin of the page about the worker in a real proxy, configured with the TOML that the page shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import tomli
from docs.blocks import DOCS, every_block

from pingap.testing import Proxy, Upstream

PAGE = DOCS / "worker.md"

Start = Callable[[str], Proxy]


@pytest.fixture
def start(directory: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a proxy with one of the plugins."""
    monkeypatch.chdir(directory)
    with ExitStack() as running:

        def start(file: str) -> Proxy:
            wanted = f'path = "plugins/{file}"'
            (toml,) = (block.text for block in every_block(PAGE) if wanted in block.text)
            if "upstreams" not in tomli.loads(toml):
                toml += f'[upstreams.app]\naddrs = ["{upstream.addr}"]\n'
            names = list(tomli.loads(toml)["locations"])
            toml += f'[servers.web]\naddr = "127.0.0.1:0"\nlocations = {names}\n'
            proxy = Proxy(toml, state_directory=directory / "state")
            return running.enter_context(proxy)

        yield start


def test_an_announcement_survives(start: Start) -> None:
    first = start("announcement.py")
    assert first.get("/announcement").status == 404
    assert first.request("POST", "/announcement", body=b"We are closed.").status == 204
    first.stop()
    assert start("announcement.py").get("/announcement").body == b"We are closed."


def test_pages_are_asked_for(start: Start, upstream: Upstream) -> None:
    proxy = start("warm_up.py").start()
    upstream.wait_for_request(2)
    assert [request.target for request in upstream.requests] == ["/", "/news"]
    assert upstream.requests[0].header("host") == "example.org"
    assert "/news: 200" in proxy.wait_for_log("/news: 200")


def test_peers_are_drained(start: Start, upstream: Upstream) -> None:
    proxy = start("maintenance_api.py")
    assert proxy.get("/").json() == {upstream.addr: True}
    assert proxy.request("POST", f"/drain?peer={upstream.addr}").json() == {upstream.addr: False}
    assert proxy.request("POST", f"/undrain?peer={upstream.addr}").json() == {upstream.addr: True}
    assert proxy.request("POST", "/drain?peer=10.9.9.9:1").status == 404
