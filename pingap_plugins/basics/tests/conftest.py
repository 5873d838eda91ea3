"""Fixtures of these tests: proxies and origins that all tests of a module share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.origin import Origin
from support.proxy import Proxy

from pingap import Connection, RequestContext

StartProxy = Callable[[str], Proxy]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    """An origin that echoes; its ``script`` may be replaced before the first request."""
    with Origin() as running:
        yield running
        assert running.errors == []


@pytest.fixture(scope="module")
def start_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartProxy]:
    """Start proxies from TOML; they are stopped, and must end well, after the module."""
    running: list[Proxy] = []

    def start(toml: str) -> Proxy:
        running.append(Proxy(toml, tmp_path_factory.mktemp("proxy")))
        return running[-1]

    yield start
    for proxy in running:
        assert proxy.stop() == 0


@pytest.fixture
def ctx() -> RequestContext:
    """The state of a request of a client that is no trusted proxy."""
    connection = Connection(1, ("192.0.2.7", 50000), ("192.0.2.1", 80))
    return RequestContext(connection, 0.0)
