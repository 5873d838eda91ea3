"""Fixtures of the tests: a proxy in front of a scriptable origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.origin import Origin
from support.proxy import Proxy, StartProxy


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin that echoes; replace its ``script`` for another behaviour."""
    with Origin() as running:
        yield running
        assert running.errors == []


@pytest.fixture
def start_proxy(tmp_path: Path) -> Iterator[StartProxy]:
    """Start proxies from TOML; they are stopped, and must end well, after the test."""
    running: list[Proxy] = []

    def start(toml: str, *arguments: str, **options: object) -> Proxy:
        proxy = Proxy(toml, tmp_path / f"proxy{len(running)}", *arguments, **options)  # type: ignore[arg-type]
        running.append(proxy)
        return proxy

    yield start
    for proxy in running:
        if proxy.process.poll() is None:
            assert proxy.stop() == 0


def toml_for(origin: Origin, *, server: str = "", location: str = "", upstream: str = "") -> str:
    """Return the configuration of one server ``web`` in front of an origin."""
    return f"""
[upstreams.origin]
addrs = ["{origin.addr}"]
health_check = "none"
{upstream}
[locations.all]
upstream = "origin"
{location}
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
{server}
"""


@pytest.fixture
def proxy(origin: Origin, start_proxy: StartProxy) -> Proxy:
    """A proxy with defaults in front of ``origin``."""
    return start_proxy(toml_for(origin, server='access_log = "combined"'))
