"""A proxy whose backends are containers that come and go."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon import Daemon

from pingap.testing import Proxy, Upstream, configuration_problems
from pingap.upstream.discovering import service as discovery

TOML = """
[upstreams.app]
addrs = ["com.example.app=shop"]
discovery = "docker"
[locations.all]
upstream = "app"
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
"""


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.05)


def publish(daemon: Daemon, *upstreams: Upstream) -> None:
    """Let each upstream be a container whose port is published on loopback."""
    containers = []
    for one in upstreams:
        container = copy.deepcopy(daemon.containers[2])
        container["Ports"][0]["PublicPort"] = one.port
        containers.append(container)
    daemon.containers[2:3] = containers
    daemon.containers = [one for one in daemon.containers if "local" in one["Labels"]]


def test_containers_are_followed_by_their_events(
    daemon: Daemon, upstream: Upstream, start_proxy: Callable[..., Proxy]
) -> None:
    with Upstream() as second:
        second.reply("/", "second")
        publish(daemon, upstream)
        proxy = start_proxy(TOML)
        assert proxy.get("/").body == b"ok"
        daemon.wait_for_watchers(1)
        daemon.containers[0]["Ports"][0]["PublicPort"] = second.port
        daemon.emit()
        wait_until(lambda: proxy.get("/").body == b"second")
        daemon.containers[0]["State"] = "paused"
        daemon.emit()
        wait_until(lambda: proxy.get("/").status == 503)
        assert proxy.log.count("service_discover_fail") == 0


def test_events_that_come_together_lead_to_one_look(
    daemon: Daemon, upstream: Upstream, start_proxy: Callable[..., Proxy]
) -> None:
    publish(daemon, upstream)
    proxy = start_proxy(TOML)
    assert proxy.get("/").body == b"ok"
    daemon.wait_for_watchers(1)
    wait_until(lambda: daemon.lists == 2)  # at the start, and when events began
    for _ in range(20):
        daemon.emit()
    wait_until(lambda: daemon.lists > 2)
    proxy.settle()
    assert daemon.lists == 3


def test_a_daemon_that_restarts_and_one_that_is_not_there(
    socket_path: Path,
    upstream: Upstream,
    start_proxy: Callable[..., Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "RETRY_SECONDS", 0.2)
    proxy = start_proxy(TOML)
    assert proxy.get("/").status == 503
    log = proxy.wait_for_log("no more changes are received")
    assert (
        f"service_discover_fail: upstream app: docker discovery: {socket_path}: No such file" in log
    )
    for _ in range(2):
        with Daemon(socket_path) as daemon:
            publish(daemon, upstream)
            daemon.wait_for_watchers(1)
            wait_until(lambda: proxy.get("/").status == 200)
        assert proxy.get("/").status == 200  # nothing is known to be different


def test_mistakes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    toml = '[upstreams.a]\naddrs = ["app:x"]\ndiscovery = "docker"\nupdate_frequency = "1s"'
    assert configuration_problems(toml) == [
        'pingap.toml:2: upstreams.a.addrs[0]: found "app:x", expected a label such as "app=web",'
        ' "app=web:8080" or "app=web:8080 2"'
    ]
    monkeypatch.setenv("DOCKER_HOST", "ssh://127.0.0.1")
    assert configuration_problems(toml) == [
        'pingap.toml:3: upstreams.a.discovery: DOCKER_HOST is "ssh://127.0.0.1": expected'
        " unix:///path or tcp://host:port"
    ]
