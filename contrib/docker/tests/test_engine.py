"""Asking the daemon through its socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from daemon import Daemon
from pingap_docker import engine
from pingap_docker.discovery import DockerDiscovery
from pingap_docker.engine import EngineError, configured_address

from pingap import Discovered, DiscoverySettings


def make(*addrs: str) -> DockerDiscovery:
    discovery = DockerDiscovery(DiscoverySettings(upstream="x"))
    for text in addrs:
        discovery.add(text)
    return discovery


def find(*addrs: str) -> Discovered:
    return anyio.run(make(*addrs).find)


def test_running_containers_with_a_label(daemon: Daemon) -> None:
    found = find("com.example.app=shop:80 2", "local:90", "com.example.app=other")
    assert [(str(one), one.weight) for one in found.endpoints] == [
        ("172.17.0.2:80", 2),
        ("172.18.0.5:80", 2),
        ("172.17.0.9:80", 2),
        ("172.17.0.9:90", 1),
    ]
    assert (found.failures, found.valid_for) == ([], None)


def test_what_cannot_be_reached_is_told_and_harms_no_other(daemon: Daemon) -> None:
    found = find("bare", "hosted:80", "local")
    assert [str(one) for one in found.endpoints] == ["127.0.0.1:8080"]
    assert found.failures == [
        'container "bare" exposes no port: write bare:PORT',
        'container "on-the-host" has no address of its own',
    ]


def _refuse(daemon: Daemon) -> None:
    daemon.status = 403


def _answer(body: bytes) -> Callable[[Daemon], None]:
    return lambda daemon: setattr(daemon, "answer", body)


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (_refuse, "answered with the status 403"),
        (_answer(b"no json"), "the answer is not a list of containers"),
        (_answer(b'{"message": "x"}'), "the answer is not a list of containers"),
        (_answer(b"[1]"), "the answer is not a list of containers"),
        (_answer(b" " * 2000), "the answer is over 1000 bytes"),
    ],
)
def test_a_daemon_that_does_not_answer_as_it_should(
    daemon: Daemon,
    break_it: Callable[[Daemon], None],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "MOST_BYTES", 1000)
    break_it(daemon)
    with pytest.raises(EngineError) as caught:
        find("local")
    assert str(caught.value) == f"{daemon.path}: {told}"


def test_no_daemon(socket_path: Path) -> None:
    with pytest.raises(EngineError, match="No such file or directory"):
        find("local")


@pytest.mark.parametrize(
    "host", ["tcp://127.0.0.1", "/var/run/docker.sock", "unix://x", "ssh://a", "tcp:///x"]
)
def test_addresses_of_the_daemon(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(ValueError, match=r"expected unix:///path or tcp://host:port"):
        make("local")
    monkeypatch.delenv("DOCKER_HOST")
    assert configured_address() == "/var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://proxy:2375")
    assert configured_address() == "proxy:2375"


def test_events_until_they_end(daemon: Daemon) -> None:
    calls = 0

    def changed() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:  # at the beginning: something may have been missed
            daemon.wait_for_watchers(1)  # (the head came; the daemon takes note of us after it)
            daemon.emit()
        else:
            daemon.end_events()

    async def watch() -> None:
        with anyio.fail_after(10):
            await make("local").watch(changed)

    with pytest.raises(EngineError):
        anyio.run(watch)
    assert calls == 2
    (filters,) = daemon.watched
    assert {"start", "die"} <= set(filters["event"])
    assert filters["type"] == ["container", "network"]
