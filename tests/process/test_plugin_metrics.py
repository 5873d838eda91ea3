"""Metrics of plugins in two workers, which end and are replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.process import Process
from support.waiting import until

from pingap.testing.metrics import Metrics

TOML = """
[basic]
threads = 2
[plugins.shop]
category = "python"
path = "shop.py"
{settings}
[locations.all]
plugins = ["shop"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
prometheus_metrics = "/metrics"
"""
PLUGIN = """
import os
from pathlib import Path
from pingap import Counter, Gauge, Histogram, Plugin, PluginSettings, Response, hookimpl

BROKEN = Path(__file__).with_name("broken")

class Shop(Plugin):
    class Settings(PluginSettings):
        bucket: int = 1

    def __init__(self, settings):
        self.pids = {
            merge: Gauge(f"shop_pid_{merge}", "Process ids", merge=merge)
            for merge in ("sum", "max", "min")
        }
        self.pid_sum, self.pid_max, self.pid_min = self.pids.values()
        self.served = Counter("shop_served", "Requests")
        self.sizes = Histogram("shop_sizes", "Sizes", buckets=(settings.bucket,))
        self.hits, self.is_marked = 0, False

    async def startup(self, tasks):
        for gauge in self.pids.values():
            gauge.set(os.getpid())

    @hookimpl
    def request(self, request):
        self.hits += 1
        self.served.inc()
        self.sizes.observe(1)
        self.is_marked = self.is_marked or request.path == "/mark"
        return Response(200, str(os.getpid()).encode())

    def collect(self):
        hits = Counter("shop_hits", "Requests")
        hits.inc(self.hits)
        yield hits
        pid = Gauge("shop_made_pid", "Process ids", merge="min")
        pid.set(os.getpid())
        yield pid
        if self.is_marked:
            marked = Gauge("shop_marked", "Only one worker has it", ("pid",))
            marked.labels(str(os.getpid())).set(1)
            yield marked
        if BROKEN.exists():
            raise LookupError("no such shelf")
"""
METRICS = ("shop_served_total", "shop_hits_total", "shop_sizes_sum")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "shop.py").write_text(PLUGIN)
    with Process(TOML.format(settings=""), tmp_path) as proxy:
        yield proxy


def get(proxy: Process, path: str = "/") -> str:
    with proxy.connect() as client:
        return client.get(path).body.decode()


def read(proxy: Process) -> Metrics:
    return Metrics(get(proxy, "/metrics"))


def counts(proxy: Process) -> list[float]:
    metrics = read(proxy)
    return [metrics.value(name) for name in METRICS]


def replaced(proxy: Process, number: signal.Signals) -> int:
    """End one of the workers; return its process id when another one has its place."""
    victim = proxy.workers[0]
    os.kill(victim, number)
    until(lambda: victim not in proxy.workers and len(proxy.workers) == 2)
    return victim


def test_gauges_are_those_of_living_workers(proxy: Process) -> None:
    def are_right() -> bool:
        pids, metrics = proxy.workers, read(proxy)
        found = [metrics.value(f"shop_pid_{merge}") for merge in ("sum", "max", "min")]
        return [*found, metrics.value("shop_made_pid")] == [
            sum(pids),
            max(pids),
            min(pids),
            min(pids),
        ]

    assert are_right()
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        replaced(proxy, number)
        until(are_right)  # as soon as the new one has started
        assert all(are_right() for _ in range(5))  # whichever worker answers


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_worker_had_counted_stays(proxy: Process, number: signal.Signals) -> None:
    for _ in range(40):
        get(proxy)
    assert counts(proxy) == [40.0] * 3
    for total in (43.0, 46.0):
        replaced(proxy, number)
        for _ in range(3):
            get(proxy)
        assert counts(proxy) == [total] * 3


def test_a_worker_that_ends_collects_once_more(proxy: Process) -> None:
    for _ in range(40):
        get(proxy)
    victim = replaced(proxy, signal.SIGTERM)
    proxy.wait_for_log(f"(pid {victim}) exited with code 0")
    assert counts(proxy) == [40.0] * 3


def test_what_one_worker_collects_is_on_every_page(proxy: Process) -> None:
    pid = get(proxy, "/mark")
    for _ in range(10):
        assert read(proxy).value("shop_marked", pid=pid) == 1
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: int(pid) not in proxy.workers)
    until(lambda: "shop_marked{" not in read(proxy).text)


def test_a_collector_that_fails_leaves_the_page(proxy: Process, tmp_path: Path) -> None:
    for _ in range(20):
        get(proxy)
    (tmp_path / "broken").touch()
    metrics = read(proxy)
    assert [metrics.value(name) for name in METRICS] == [20.0] * 3
    # (Of each of the two workers.)
    assert metrics.value("pingap_plugin_failures", plugin="shop", location="") == 2
    proxy.wait_for_log("plugin shop failed in collect")
    assert "LookupError: no such shelf" in proxy.log
    assert read(proxy).value("pingap_plugin_failures", plugin="shop", location="") == 4


def test_a_reload_may_change_the_shape_of_a_metric(proxy: Process) -> None:
    for _ in range(10):
        get(proxy)
    assert counts(proxy) == [10.0] * 3
    replaced(proxy, signal.SIGKILL)  # whose buckets stay as they were
    proxy.conf.write_text(TOML.format(settings="bucket = 5"))
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_for_log("was reloaded")
    get(proxy)
    page = get(proxy, "/metrics")
    assert 'shop_sizes_bucket{le="5.0",plugin="shop",server="web"} 1.0' in page
    assert 'shop_sizes_bucket{le="1.0"' not in page
