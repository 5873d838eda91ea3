"""What the tests of traffic share; proxies come from ``pingap.testing``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pingap.testing import Proxy, Upstream

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it

from traffic_sides import Sides


@pytest.fixture
def sides(proxy: Proxy) -> Iterator[Sides]:
    """Run further upstreams ``v2`` and ``v3``; each answers with its name."""
    with ExitStack() as running:
        upstreams = {name: running.enter_context(Upstream()) for name in ("v2", "v3")}
        for name, upstream in upstreams.items():
            upstream.reply("/", name.encode())
            proxy.configure(f"upstreams.{name}", addrs=[upstream.addr])
        proxy.upstream.reply("/", b"v1")
        yield Sides(proxy, {"v1": proxy.upstream, **upstreams})
