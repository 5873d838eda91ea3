"""A canary steps back in all workers at once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pingap.testing import ProxyProcess, Upstream

TOML = """
[basic]
threads = 2
grace_period = "0s"

[plugins.p]
category = "canary"
upstream = "v2"
weight = {weight}
min_requests = 20
window = "1h"

[upstreams.v1]
addrs = ["{v1}"]

[upstreams.v2]
addrs = ["{v2}"]

[locations.l]
upstream = "v1"
plugins = ["p"]

[servers.s]
addr = "127.0.0.1:0"
locations = ["l"]
"""


@pytest.mark.timeout(120)
def test_two_workers_step_back_together(tmp_path: Path, upstream: Upstream) -> None:
    with Upstream() as v2:
        v2.reply("/", b"oh", 500)

        def toml(weight: int) -> str:
            return TOML.format(weight=weight, v1=upstream.addr, v2=v2.addr)

        with ProxyProcess(toml(100), tmp_path) as pingap:
            # Each request on a connection of its own, so both workers get some.
            found = Counter(pingap.get("/").status for _ in range(60))
            # A response may be read, and another request sent, before the first one is counted.
            assert found in ({500: 20, 200: 40}, {500: 21, 200: 39})
            assert pingap.wait_for_log("it gets no share any more").count("it gets no share") == 1
            pingap.reload(toml(99))
            pingap.wait_until(lambda: pingap.get("/").status == 500)
