"""What plugins may use of their worker: messages to the others, leading, metrics."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.local_plugin import local_plugin
from support.process import Process
from support.waiting import until

TOML = local_plugin(basic="threads = 2")
PLUGIN = """
import logging, os
import anyio
from pingap import HTTPError, Plugin, PluginSettings, Response, hookimpl
log = logging.getLogger("pingap.test")

class Local(Plugin):
    contract = "1.1"

    class Settings(PluginSettings):
        version: int = 1

    def __init__(self, settings):
        self.version, self.worker = settings.version, None

    async def startup(self, tasks, worker):
        self.worker = worker
        messages = worker.bus.subscribe("local/")
        tasks.start_soon(self.listen, messages)

    async def listen(self, messages):
        async for message in messages:
            log.warning("%s got %s %s", os.getpid(), message.topic, message.value)

    async def lead(self, tasks, worker):
        log.warning("version %s: %s leads", self.version, os.getpid())
        tasks.start_soon(self.beat)
        try:
            await anyio.sleep_forever()
        finally:
            log.warning("version %s: %s follows", self.version, os.getpid())

    async def beat(self):
        try:
            await anyio.sleep_forever()
        finally:
            log.warning("version %s: %s beats no more", self.version, os.getpid())

    @hookimpl
    async def request(self, request):
        if request.path == "/metrics":
            return Response(200, await self.worker.metrics("web"))
        if request.path == "/publish":
            self.worker.bus.publish("local/now", b"\\xff", retain="retain" in request.query)
        return Response(200, str(os.getpid()))
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "local.py").write_text(PLUGIN)
    with Process(TOML, tmp_path) as running:
        yield running


def replace(proxy: Process, worker: int) -> int:
    """Kill a worker; return the one that takes its place."""
    before = proxy.workers
    os.kill(worker, signal.SIGKILL)
    until(lambda: len(proxy.workers) == 2 and worker not in proxy.workers)
    (new,) = set(proxy.workers) - set(before)
    return new


def test_every_worker_gets_a_message(proxy: Process) -> None:
    with proxy.connect() as client:
        client.get("/publish")
    for worker in proxy.workers:
        proxy.wait_for_log(f"{worker} got local/now b'\\xff'")
    new = replace(proxy, proxy.workers[1])
    assert f"{new} got" not in proxy.log


def test_a_worker_that_starts_later_gets_what_is_retained(proxy: Process) -> None:
    with proxy.connect() as client:
        client.get("/publish?retain")
    for worker in proxy.workers:
        proxy.wait_for_log(f"{worker} got local/now")
    new = replace(proxy, proxy.workers[1])
    proxy.wait_for_log(f"{new} got local/now b'\\xff'")


def test_one_worker_leads_and_another_one_takes_over(proxy: Process) -> None:
    leader, other = proxy.workers
    proxy.wait_for_log(f"version 1: {leader} leads")
    assert f"{other} leads" not in proxy.log
    replace(proxy, leader)
    proxy.wait_for_log(f"version 1: {other} leads")


def test_a_reload_moves_what_leads(proxy: Process) -> None:
    leader = proxy.workers[0]
    proxy.wait_for_log(f"version 1: {leader} leads")
    proxy.conf.write_text(TOML.replace("[plugins.local]", "[plugins.local]\nversion = 2"))
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_for_log(f"version 2: {leader} leads")
    proxy.wait_for_log(f"version 1: {leader} follows")
    proxy.wait_for_log(f"version 1: {leader} beats no more")
    assert proxy.stop() == 0
    assert f"version 2: {leader} follows" in proxy.log


def test_metrics_are_those_of_all_workers(proxy: Process) -> None:
    for _ in range(8):
        with proxy.connect() as client:
            client.get("/")
    with proxy.connect() as client:
        page = client.get("/metrics").body.decode()
    lines = [one for one in page.splitlines() if one.startswith("pingap_http_requests_total{")]
    assert max(float(line.rpartition(" ")[2]) for line in lines) >= 8
