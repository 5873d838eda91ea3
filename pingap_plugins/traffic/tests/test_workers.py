"""A canary steps back in all workers at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pingap.testing import Client, Upstream

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
addr = "127.0.0.1:{port}"
locations = ["l"]
"""


@pytest.mark.timeout(120)
def test_two_workers_step_back_together(tmp_path: Path, upstream: Upstream) -> None:
    with Upstream() as v2:
        v2.reply("/", b"oh", 500)
        conf, log = tmp_path / "pingap.toml", tmp_path / "log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def configure(weight: int) -> None:
            conf.write_text(TOML.format(weight=weight, v1=upstream.addr, v2=v2.addr, port=port))

        configure(100)
        with running(tmp_path, conf, log) as process:
            # Each request on a connection of its own, so both workers get some.
            found = Counter(get(port) for _ in range(60))
            # A response may be read, and another request sent, before the first one is counted.
            assert found in ({500: 20, 200: 40}, {500: 21, 200: 39})
            assert log.read_text().count("it gets no share any more") == 1
            configure(99)
            before = log.read_text().count("reloaded")
            process.send_signal(signal.SIGHUP)
            until(lambda: log.read_text().count("reloaded") > before, log)
            until(lambda: get(port) == 500, log)


@contextmanager
def running(folder: Path, conf: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PINGAP_STATE_DIR": str(folder / "state")}
    command = [sys.executable, "-m", "pingap", "-c", str(conf), "--log", str(log)]
    out = folder / "out"
    with out.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        until(lambda: "is serving" in out.read_text(), out)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def get(port: int) -> int:
    with Client(("127.0.0.1", port)) as client:
        return client.get("/").status


def until(condition: Callable[[], object], told: Path) -> None:
    limit = time.monotonic() + 60
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(told.read_text())
        time.sleep(0.02)
