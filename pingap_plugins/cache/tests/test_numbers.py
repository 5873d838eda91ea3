"""Metrics, tags of access logs, ``Server-Timing``, and headers about time."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from pingap_cache.plugin import Cache
from waiting import written

from pingap.testing import Proxy, Upstream

FRESH = {"Cache-Control": "max-age=60"}


def test_requests_are_counted_by_status(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "skip": "^/skip"})])
    upstream.reply("/a", b"0123456789", headers=FRESH)
    for path in ("/a", "/a", "/skip"):
        proxy.get(path)
        written(proxy)
    proxy.get("/private")
    metrics = proxy.metrics()
    counts = {
        status: metrics.value("pingap_cache_requests_total", status=status)
        for status in ("hit", "miss", "bypass", "uncacheable", "stale")
    }
    assert counts == {"hit": 1, "miss": 1, "bypass": 1, "uncacheable": 1, "stale": 0}
    kind = "disk" if kept else "memory"
    if not kept:
        assert metrics.value(f"pingap_cache_{kind}_entries") == 1
        assert metrics.value(f"pingap_cache_{kind}_bytes") > 10
    assert metrics.value(f"pingap_cache_{kind}_evictions_total") == 0
    assert metrics.value("pingap_cache_reading") == 0
    looked = metrics.value("pingap_cache_lookup_time_count")
    assert looked == (2 if kept else 0)  # the hit came from memory
    assert metrics.value("pingap_cache_storage_write_time_count") == (1 if kept else 0)


def test_the_time_of_waiting_is_shown(proxy: Proxy, upstream: Upstream) -> None:
    tags = "{:c.status};{:c.lock};{:cache_lock_time};{:cache_lookup_time}"
    proxy.configure("servers.web", access_log=tags, enable_server_timing=True)
    proxy.configure("plugins.c", category="cache", lock="10s")
    proxy.location(plugins=["c"])
    go = threading.Event()
    upstream.reply("/a", b"text", headers=FRESH, until=go)
    with proxy.connect() as first, proxy.connect() as second:
        first.send_request("GET", "/a")
        upstream.wait_for_request()
        second.send_request("GET", "/a")
        proxy.settle()
        go.set()
        one, two = first.answer(), second.answer()
    assert "X-Cache-Lock" not in one.headers
    assert two.headers["X-Cache-Lock"].endswith("ms")
    names = [entry.partition(";")[0] for entry in two.headers["Server-Timing"].split(", ")]
    assert names == ["cache.lock", "cache", "total"]
    proxy.wait_for_access_log(2)
    miss, hit = sorted(proxy.access_log, reverse=True)
    assert miss.split(";") == ["miss", "", "", ""]
    status, took, whole, lookup = hit.split(";")
    assert (status, int(float(took)), lookup) == ("hit", int(whole), "")
    assert proxy.metrics().value("pingap_cache_lock_time_count") == 1


def test_the_time_of_a_lookup_is_shown(proxy: Proxy, upstream: Upstream, tmp_path: Path) -> None:
    tags = "{:c.lookup};{:cache_lookup_time};{:cache_lock_time}"
    proxy.configure("servers.web", access_log=tags, enable_server_timing=True)
    proxy.configure("plugins.c", category="cache", directory=str(tmp_path / "cache"))
    proxy.location(plugins=["c"])
    answer = proxy.get("/a")
    assert answer.headers["X-Cache-Lookup"].endswith("ms")
    names = [entry.partition(";")[0] for entry in answer.headers["Server-Timing"].split(", ")]
    assert names[-3:] == ["cache.lookup", "cache", "total"]
    took, whole, lock = proxy.access_log[0].split(";")
    assert (int(float(took)), lock) == (int(whole), "")


def test_a_hit_from_memory_has_a_tag(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("servers.web", access_log="{:c.status} {:c.reason}")
    proxy.configure("plugins.c", category="cache")
    proxy.location(plugins=["c"])
    upstream.reply("/a", b"text", headers=FRESH)
    proxy.get("/a")
    proxy.get("/a")
    assert proxy.access_log == ["miss max-age of cache-control", "hit fresh"]


def test_series_and_buckets_are_those_of_pingap(
    proxy: Proxy, upstream: Upstream, tmp_path: Path
) -> None:
    """``observability.md``, 3.2; a body from the disk counts as a read, a stored one as a write."""
    proxy.location(plugins=[(Cache, {"directory": f"{tmp_path}/cache?cache_max=0"})])
    upstream.reply("/large", bytes(200_000), headers=FRESH)
    proxy.get("/large")
    written(proxy)
    assert proxy.get("/large").headers["X-Cache-Status"] == "hit"
    metrics = proxy.metrics()
    buckets = {
        "lookup_time": (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1),
        "lock_time": (0.01, 0.05, 0.1, 1, 3),
        "storage_read_time": (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1),
        "storage_write_time": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
    }
    for name, limits in buckets.items():
        series = f"pingap_cache_{name}"
        found = re.findall(rf'^{series}_bucket{{.*le="([^"]+)"', metrics.text, re.MULTILINE)
        assert [float(limit) for limit in found] == [*limits, float("inf")], name
    assert metrics.value("pingap_cache_lookup_time_count") == 2
    assert metrics.value("pingap_cache_storage_read_time_count") == 1
    assert metrics.value("pingap_cache_storage_write_time_count") == 1
    assert metrics.value("pingap_cache_lock_time_count") == 0
    for name in ("reading", "writing"):
        assert metrics.value(f"pingap_cache_{name}") == 0
    for name in ("entries", "bytes", "evictions_total", "corrupt_total", "failures_total"):
        assert metrics.value(f"pingap_cache_disk_{name}") >= 0


def test_times_for_people_and_the_order_of_server_timing(
    proxy: Proxy, upstream: Upstream, tmp_path: Path
) -> None:
    tags = "{:cache_lookup_time}|{:cache_lookup_time_human}|{:cache_lock_time_human}"
    proxy.configure("servers.web", access_log=tags, enable_server_timing=True)
    proxy.configure("plugins.c", category="cache", directory=str(tmp_path / "cache"))
    proxy.location(plugins=["c"])
    upstream.reply("/a", b"text", headers=FRESH)
    answer = proxy.get("/a")
    names = [entry.partition(";")[0] for entry in answer.headers["Server-Timing"].split(", ")]
    order = [
        "upstream.connect",
        "upstream.processing",
        "upstream",
        "cache.lookup",
        "cache",
        "total",
    ]
    assert [name for name in names if not name.startswith("plugin")] == order
    whole, human, lock = proxy.access_log[0].split("|")
    assert (human, lock) == (f"{whole}ms", "")
