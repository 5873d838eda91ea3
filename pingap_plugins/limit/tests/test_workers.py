"""Limits are exact over all workers of an instance."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from limit_processes import Running, running, until

from pingap.testing import Client, Upstream

STRATEGIES = ["estimate", "fixed-window", "moving-window", "sliding-window-counter", "gcra"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_four_workers_let_exactly_50_pass(
    tmp_path: Path, upstream: Upstream, strategy: str
) -> None:
    limit = f'max = 50\ninterval = "1h"\nstrategy = "{strategy}"'
    with running(tmp_path / "p", upstream.addr, limit) as pingap:
        assert pingap.hammer(200) == {200: 50, 429: 150}
    assert len(upstream.requests) == 50


@pytest.mark.timeout(120)
def test_four_workers_let_exactly_5_be_in_progress(tmp_path: Path, upstream: Upstream) -> None:
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    with running(tmp_path / "p", upstream.addr, 'type = "inflight"\nmax = 5') as pingap:
        with ExitStack() as stack:
            clients = [slow_request(stack, pingap) for _ in range(20)]
            upstream.wait_for_request(5)
            assert pingap.get("/") == 429
            go.set()
            statuses = sorted(client.answer().status for client in clients)
        assert statuses == [200] * 5 + [429] * 15
        until(lambda: pingap.get("/") == 200)


@pytest.mark.timeout(120)
def test_neither_a_reload_nor_a_new_worker_forgets(tmp_path: Path, upstream: Upstream) -> None:
    with running(tmp_path / "p", upstream.addr, 'max = 8\ninterval = "1h"', 2) as pingap:
        assert pingap.hammer(6, 2) == {200: 6}
        pingap.reload('max = 9\ninterval = "1h"')
        assert pingap.hammer(2, 2) == {200: 2}
        old = pingap.workers
        os.kill(old[0], signal.SIGKILL)
        until(lambda: len(pingap.workers) == 2 and pingap.workers != old)
        assert pingap.hammer(10, 2) == {200: 1, 429: 9}


@pytest.mark.timeout(120)
def test_a_worker_that_dies_gives_its_slots_back(tmp_path: Path, upstream: Upstream) -> None:
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    limit = 'type = "inflight"\nmax = 2'
    with running(tmp_path / "p", upstream.addr, limit, 2) as pingap, ExitStack() as stack:
        for _ in range(2):
            slow_request(stack, pingap)
        upstream.wait_for_request(2)
        assert pingap.get("/") == 429
        for pid in pingap.workers:
            os.kill(pid, signal.SIGKILL)
            until(lambda: pid not in pingap.workers and len(pingap.workers) == 2)  # noqa: B023
        assert pingap.get("/") == 200
        go.set()


def slow_request(stack: ExitStack, pingap: Running) -> Client:
    client = stack.enter_context(Client(("127.0.0.1", pingap.port)))
    client.send_request("GET", "/slow")
    return client
