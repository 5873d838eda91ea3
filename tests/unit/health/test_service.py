"""What checks find reaches all workers, outlives a reload, and goes with what it was found of."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest
from support.upstreams import available, upstream_of

from pingap.shared_state.bus import Bus
from pingap.testing import Upstream
from pingap.upstream.health.keys import HEALTH, peer_key
from pingap.upstream.health.service import HealthChecks
from pingap.upstream.health.watch import JITTER, interval
from pingap.upstream.peer import Peer
from pingap.upstream.upstream import UpstreamRuntime

OFTEN = "tcp://x?check_frequency=100ms&failure=2&success=2"


@pytest.fixture
def refusing() -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


class Workers:
    """Two workers of one instance, each with its own upstreams; the first one makes the checks."""

    def __init__(self, make: Callable[[], list[UpstreamRuntime]]) -> None:
        self.buses = [Bus(), Bus()]
        self.buses[0].send = self.buses[1].deliver
        self.buses[1].send = self.buses[0].deliver
        self.upstreams = [make(), make()]
        pairs = zip(self.upstreams, self.buses, strict=True)
        self.health = [HealthChecks(upstreams, bus) for upstreams, bus in pairs]

    def follow(self, make: Callable[[], list[UpstreamRuntime]]) -> None:
        """Reload in both."""
        self.upstreams = [make(), make()]
        for health, upstreams in zip(self.health, self.upstreams, strict=True):
            health.follow(upstreams)

    def available(self, upstream: int = 0) -> list[list[bool]]:
        return [available(upstreams[upstream]) for upstreams in self.upstreams]

    def run(self, test: Callable[[], Awaitable[None]]) -> None:
        """Run a test while the first worker makes its checks."""

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.health[0].run)
                with anyio.fail_after(10):
                    await test()
                tasks.cancel_scope.cancel()

        anyio.run(main)


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await anyio.sleep(0.01)


async def rounds(health: HealthChecks, upstream: UpstreamRuntime, count: int) -> None:
    for _ in range(count):
        await health.watches[upstream].round()


def test_all_workers_keep_requests_from_a_backend_that_is_down(refusing: str) -> None:
    with Upstream() as origin:
        workers = Workers(lambda: [upstream_of(origin.addr, refusing, health_check=OFTEN)])
        assert workers.available() == [[True, True]] * 2

        async def test() -> None:
            await until(lambda: workers.available() == [[True, False]] * 2)

        workers.run(test)
    assert workers.upstreams[1][0].peers[1].obstacles == {"health"}
    assert workers.health[0].flips == {("app", refusing, "down"): 1}
    assert not workers.health[1].flips


def test_a_backend_that_returns_gets_requests(
    refusing: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pingap")
    port = int(refusing.rpartition(":")[2])
    address = f"127.0.0.2:{port}"
    workers = Workers(lambda: [upstream_of(address, health_check=OFTEN)])

    async def test() -> None:
        await until(lambda: workers.available() == [[False]] * 2)
        with socket.create_server(("127.0.0.2", port)):
            await until(lambda: workers.available() == [[True]] * 2)

    workers.run(test)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    status = "backend_status: upstream app"
    assert told == [
        ("WARNING", f"{status}({address}) becomes unhealthy: Connection refused"),
        ("WARNING", "upstream_status: upstream app has no healthy backend"),
        ("INFO", f"{status}({address}) becomes healthy"),
        ("INFO", "upstream_status: upstream app has a healthy backend again"),
    ]
    assert workers.health[0].flips == {("app", address, "down"): 1, ("app", address, "up"): 1}


def test_a_worker_that_starts_later_is_told(refusing: str) -> None:
    bus = Bus()
    bus.publish(peer_key(HEALTH, "app", refusing), "down")
    upstream = upstream_of(refusing, health_check=OFTEN)
    HealthChecks([upstream], bus)
    assert available(upstream) == [False]


def test_counts_go_on_after_a_reload_that_does_not_concern_an_upstream(refusing: str) -> None:
    rarely = "tcp://x?check_frequency=1h&failure=3"
    kept = upstream_of(refusing, name="kept", health_check=rarely)
    health = HealthChecks([kept, upstream_of(refusing, health_check=rarely)], Bus())

    async def test() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(health.run)
            await until(lambda: len(health.watches) == 2)
            watch = health.watches[kept]
            await until(lambda: repr(watch.standings.get(refusing)).endswith("1 against it>"))
            health.follow([kept])
            assert list(health.watches.values()) == [watch]
            await rounds(health, kept, 2)
            assert available(kept) == [False]
            tasks.cancel_scope.cancel()

    anyio.run(test)


def test_a_changed_upstream_begins_with_what_is_known(refusing: str) -> None:
    workers = Workers(lambda: [upstream_of(refusing, health_check=OFTEN)])

    async def test() -> None:
        await until(lambda: workers.available() == [[False]] * 2)
        workers.follow(lambda: [upstream_of(refusing, "127.0.0.1:2", health_check=OFTEN)])
        assert workers.available() == [[False, True]] * 2

    workers.run(test)


@pytest.mark.parametrize("how", ["gone", "unchecked"])
def test_what_was_found_is_taken_back_when_nobody_checks_any_more(how: str, refusing: str) -> None:
    workers = Workers(lambda: [upstream_of(refusing, health_check=OFTEN)])

    async def test() -> None:
        await until(lambda: workers.available() == [[False]] * 2)
        workers.follow(lambda: [] if how == "gone" else [upstream_of(refusing)])
        assert not workers.health[0].watches
        assert not workers.health[0].flips or how == "unchecked"
        workers.follow(lambda: [upstream_of(refusing)])
        assert workers.available() == [[True]] * 2

    workers.run(test)
    known = {key: value for key, value in workers.buses[1].values.items() if key.startswith(HEALTH)}
    assert known == {peer_key(HEALTH, "app", refusing): "up"}


def test_peers_are_looked_at_anew_in_each_round(refusing: str) -> None:
    workers = Workers(lambda: [upstream_of(health_check=OFTEN.replace("100ms", "1h"))])
    health, upstreams = workers.health[0], [one[0] for one in workers.upstreams]

    def discover(*addrs: str) -> None:
        for upstream in upstreams:
            upstream._peers = tuple(upstream_of(*addrs).peers)

    async def test() -> None:
        await until(lambda: health.watches)
        discover(refusing)
        await rounds(health, upstreams[0], 2)
        assert workers.available() == [[False]] * 2
        discover(refusing)  # the same one, as a new peer: with another weight, say
        await rounds(health, upstreams[0], 1)
        assert workers.available() == [[False]] * 2
        discover("127.0.0.1:2")
        await rounds(health, upstreams[0], 1)
        discover(refusing)
        await rounds(health, upstreams[0], 1)
        assert workers.available() == [[True]] * 2  # it was away: it has to fail twice again

    workers.run(test)


def test_a_worker_that_gets_other_peers_applies_what_is_known(refusing: str) -> None:
    bus = Bus()
    bus.publish(peer_key(HEALTH, "app", refusing), "down")
    upstream = upstream_of("127.0.0.1:2", health_check=OFTEN)
    HealthChecks([upstream], bus)
    upstream._peers = tuple(upstream_of(refusing, "127.0.0.1:2").peers)
    assert upstream.on_peers is not None
    upstream.on_peers(upstream)
    assert available(upstream) == [False, True]


def test_a_check_that_fails_in_an_unexpected_way_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: object, peer: Peer) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr("pingap.upstream.health.checks.TcpCheck.__call__", broken)
    workers = Workers(lambda: [upstream_of("127.0.0.1:2", health_check=OFTEN)])

    async def test() -> None:
        await until(lambda: workers.available() == [[False]] * 2)

    workers.run(test)
    assert "defect" in caplog.text


@pytest.mark.parametrize(("switch", "at_once"), [("", 1), ("&parallel", 3)])
def test_backends_are_checked_one_by_one_or_together(
    switch: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[int] = []
    most = 0

    async def slow(self: object, peer: Peer) -> None:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await anyio.wait_all_tasks_blocked()
        running.pop()

    monkeypatch.setattr("pingap.upstream.health.checks.TcpCheck.__call__", slow)
    addrs = [f"127.0.0.1:{port}" for port in (2, 3, 4)]
    upstream = upstream_of(*addrs, health_check=f"tcp://x?check_frequency=1h{switch}")
    health = HealthChecks([upstream], Bus())

    async def test() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(health.run)
            await until(lambda: most and not running)
            await rounds(health, upstream, 1)
            tasks.cancel_scope.cancel()

    anyio.run(test)
    assert most == at_once


def test_checks_of_all_upstreams_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    running: set[str] = set()
    seen: set[str] = set()
    go_on = anyio.Event()

    async def slow(self: object, peer: Peer) -> None:
        running.add(peer.text)
        seen.add(peer.text)
        await go_on.wait()
        running.remove(peer.text)

    monkeypatch.setattr("pingap.upstream.health.checks.TcpCheck.__call__", slow)
    monkeypatch.setattr("pingap.upstream.health.service.MOST_AT_ONCE", 3)
    upstreams = [
        upstream_of(f"127.0.0.1:{port}", name=f"u{port}", health_check="tcp://x")
        for port in range(1, 9)
    ]
    health = HealthChecks(upstreams, Bus())

    async def test() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(health.run)
            await until(lambda: len(running) == 3)
            await anyio.wait_all_tasks_blocked()
            assert len(seen) == 3
            go_on.set()
            await until(lambda: len(seen) == 8)
            tasks.cancel_scope.cancel()

    anyio.run(test)


def test_intervals_differ_and_are_never_longer_than_configured() -> None:
    settings = upstream_of(health_check="tcp://x?check_frequency=10s").health_check
    assert settings is not None
    found = [interval(settings) for _ in range(500)]
    assert 10 * (1 - JITTER) <= min(found) < max(found) <= 10
    assert len(set(found)) > 400
