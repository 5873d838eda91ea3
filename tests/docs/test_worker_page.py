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
