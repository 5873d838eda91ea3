"""Keeping the peers of an upstream current, with a discovery whose answers a test decides."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from pingap import Discovered, Discovery, DiscoverySettings, Endpoint
from pingap.upstream.connections.pool import KeepalivePool
from pingap.upstream.discovering import service
from pingap.upstream.discovering.service import DiscoveryService, Refresher
from pingap.upstream.timeouts import Timeouts
from pingap.upstream.upstream import UpstreamRuntime
from pingap.wire.backlog import Backlog
from pingap.wire.deadlines import Deadlines
from pingap.wire.tcp import TcpOptions
from pingap.wire.write_batch import WriteBatch

Answer = Discovered | Exception | float


class Told(Discovery):
    """Answers what it is told: endpoints, an error, or seconds in which it does not answer."""

    word = "told"

    def __init__(self, *answers: Answer) -> None:
        super().__init__(DiscoverySettings(upstream="app"))
        self.answers = list(answers)
        self.asked = 0
        self.under_way = 0
        self.watching: Callable[[], None] | None = None
        self.news_end = anyio.Event()

    def add(self, text: str) -> None: ...

    async def find(self) -> Discovered:
        self.asked += 1
        assert not self.under_way
        self.under_way += 1
        try:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, float):
                await anyio.sleep(answer)
                pytest.fail("nobody waits so long")
            return answer
        finally:
            self.under_way -= 1

    async def watch(self, changed: Callable[[], None]) -> None:
        self.watching = changed
        await self.news_end.wait()
        self.news_end = anyio.Event()
        raise OSError("no news")


def at(
    *addresses: str, valid_for: float | None = None, failures: tuple[str, ...] = ()
) -> Discovered:
    endpoints = [Endpoint((one, 80)) for one in addresses]
    return Discovered(endpoints, valid_for, failures)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(service, "SETTLE_SECONDS", 0.02)
    monkeypatch.setattr(service, "FIRST_SECONDS", 0.2)


def upstream(discovery: Discovery, frequency: float = 60) -> UpstreamRuntime:
    pool = KeepalivePool(10, Deadlines(), WriteBatch(), Backlog(WriteBatch()))
    made = UpstreamRuntime("app", (), pool, Timeouts(), TcpOptions())
    made.refresher = Refresher(made, discovery, frequency)
    return made


def peers(of: UpstreamRuntime) -> list[str]:
    return [peer.text for peer in of.peers]


async def run(tasks: TaskGroup, upstreams: list[UpstreamRuntime]) -> None:
    """Let a worker's service look after upstreams, from their first lookup on."""
    running = DiscoveryService(tasks)
    await running.prepare(upstreams)
    running.start(upstreams)


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not true():  # noqa: ASYNC110  # there is nothing to wait for but time
            await anyio.sleep(0.005)


def test_what_was_found_is_there_once_it_runs() -> None:
    async def main() -> None:
        app = upstream(Told(at("10.0.0.2", "10.0.0.1")))
        async with anyio.create_task_group() as tasks:
            await run(tasks, [app])
            assert peers(app) == ["10.0.0.1:80", "10.0.0.2:80"]
            tasks.cancel_scope.cancel()

    anyio.run(main)


def test_peers_that_stay_are_the_same_whatever_the_order() -> None:
    async def main() -> None:
        app = upstream(
            Told(at("10.0.0.1", "10.0.0.2"), at("10.0.0.2", "10.0.0.1"), at("10.0.0.3", "10.0.0.1"))
        )
        refresher = app.refresher
        assert refresher is not None
        await refresher.refresh()
        first = app.peers
        first[0].block("health")
        await refresher.refresh()
        assert app.peers is first
        await refresher.refresh()
        assert peers(app) == ["10.0.0.1:80", "10.0.0.3:80"]
        assert app.peers[0] is first[0]
        assert not app.peers[0].is_available

    anyio.run(main)


@pytest.mark.parametrize("failure", [OSError("no route"), 99.0])
def test_a_lookup_that_fails_changes_nothing_and_is_told_once(
    failure: Answer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FIND_SECONDS", 0.02)
    caplog.set_level(logging.INFO)

    async def main() -> None:
        told = Told(at("10.0.0.1", valid_for=0), failure, failure, at("10.0.0.2"))
        monkeypatch.setattr(service, "SHORTEST_SECONDS", 0.02)
        app = upstream(told)
        async with anyio.create_task_group() as tasks:
            await run(tasks, [app])
            await until(lambda: told.asked == 3)
            assert peers(app) == ["10.0.0.1:80"]
            await until(lambda: peers(app) == ["10.0.0.2:80"])
            tasks.cancel_scope.cancel()

    anyio.run(main)
    reason = "no route" if isinstance(failure, Exception) else "nothing was found within 0.02 s"
    assert [one.getMessage() for one in caplog.records] == [
        f"service_discover_fail: upstream app: told discovery: {reason}",
        "upstream app has new backends: 10.0.0.2:80",
        "upstream app: all lookups succeed again",
    ]


@pytest.mark.parametrize("answer", [None, Discovered([object()])])  # type: ignore[list-item]
def test_nonsense_of_a_discovery_ends_nothing(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        app = upstream(Told(at("10.0.0.1"), answer))
        assert app.refresher is not None
        await app.refresher.refresh()
        await app.refresher.refresh()
        assert peers(app) == ["10.0.0.1:80"]

    anyio.run(main)
    assert "service_discover_fail: upstream app: told discovery: " in caplog.text


def test_failures_beside_what_was_found_are_tried_again_soon() -> None:
    async def main() -> None:
        told = Told(at("10.0.0.1", failures=("b is gone",)), at("10.0.0.1", "10.0.0.2"))
        app = upstream(told)
        async with anyio.create_task_group() as tasks:
            await run(tasks, [app])
            assert peers(app) == ["10.0.0.1:80"]
            await until(lambda: len(app.peers) == 2)
            tasks.cancel_scope.cancel()

    anyio.run(main)


def test_the_start_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        slow, quick = upstream(Told(99.0, at("10.0.0.1"))), upstream(Told(at("10.0.0.2")))
        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(2):
                await run(tasks, [slow, quick])
            assert (peers(slow), peers(quick)) == ([], ["10.0.0.2:80"])
            await until(lambda: peers(slow) == ["10.0.0.1:80"])
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert "upstream app has no backends yet: requests get 503" in caplog.text


def test_not_all_upstreams_are_looked_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_AT_ONCE", 2)
    under_way, most = 0, 0

    class Slow(Told):
        async def find(self) -> Discovered:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await checkpoint()
            under_way -= 1
            return at("10.0.0.1")

    async def main() -> None:
        every = [upstream(Slow()) for _ in range(9)]
        async with anyio.create_task_group() as tasks:
            await run(tasks, every)
            tasks.cancel_scope.cancel()
        assert all(one.peers for one in every)

    anyio.run(main)
    assert most == 2


@pytest.mark.parametrize(
    ("frequency", "valid_for", "seconds"),
    [
        (60, None, 60),
        (60, 20, 20),
        (10, 20, 10),
        (60, 0, 1),
        (1.5, None, 1.5),
        (0.9, 20, math.inf),
        (0, None, math.inf),
    ],
)
def test_when_the_next_lookup_is(frequency: float, valid_for: float | None, seconds: float) -> None:
    refresher = upstream(Told(at()), frequency).refresher
    assert refresher is not None
    assert refresher._time_to_next(at("10.0.0.1", valid_for=valid_for)) == seconds


def test_once_means_until_everything_was_found() -> None:
    async def main() -> None:
        told = Told(OSError("no"), at(failures=("b is gone",)), at("10.0.0.1"))
        app = upstream(told, 0.0)
        async with anyio.create_task_group() as tasks:
            await run(tasks, [app])
            await until(lambda: peers(app) == ["10.0.0.1:80"])
            assert told.watching is not None
            assert app.refresher is not None
            assert app.refresher._next == math.inf
            tasks.cancel_scope.cancel()

    anyio.run(main)


def test_news_lead_to_one_lookup_also_those_that_come_during_one() -> None:
    async def main() -> None:
        told = Told(at("10.0.0.1"), at("10.0.0.2"))
        app = upstream(told)
        async with anyio.create_task_group() as tasks:
            await run(tasks, [app])
            await until(lambda: told.watching is not None)
            assert told.watching is not None
            for _ in range(5):
                told.watching()
            await until(lambda: told.asked == 2)
            assert peers(app) == ["10.0.0.2:80"]
            told.watching()
            await until(lambda: told.asked == 3)
            tasks.cancel_scope.cancel()
        assert told.asked == 3

    anyio.run(main)


def test_news_that_end_are_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        told = Told(at("10.0.0.1"))
        app = upstream(told)
        async with anyio.create_task_group() as tasks:
            await run(tasks, [app])
            for _ in range(3):
                await until(lambda: told.watching is not None)
                told.watching = None
                told.news_end.set()
            await until(lambda: told.watching is not None)
            tasks.cancel_scope.cancel()

    anyio.run(main)
    text = (
        "service_discover_fail: upstream app: told discovery: no more changes are received: no news"
    )
    assert text in caplog.text


def test_a_reload_lets_alone_what_stays_and_ends_what_goes() -> None:
    async def main() -> None:
        stays, goes, comes = (Told(at("10.0.0.1")) for _ in range(3))
        first, second, third = (upstream(one) for one in (stays, goes, comes))
        async with anyio.create_task_group() as tasks:
            running = DiscoveryService(tasks)
            await running.prepare([first, second])
            running.start([first, second])
            await until(lambda: goes.watching is not None)
            await running.prepare([first, third])
            running.start([first, third])
            running.stop(keep=[first, third])
            assert [one.asked for one in (stays, goes, comes)] == [1, 1, 1]
            assert goes.watching is not None
            goes.watching()
            assert stays.watching is not None
            stays.watching()
            await until(lambda: stays.asked == 2)
            for _ in range(10):
                await checkpoint()
            assert goes.asked == 1
            tasks.cancel_scope.cancel()

    anyio.run(main)


def test_an_address_that_is_found_twice_is_one_peer() -> None:
    found = [
        Endpoint(("fd00::1", 80), 2, name="app:80"),
        Endpoint(("fd00::1", 80)),
        Endpoint("/run/a"),
    ]
    one, two = service.peers_of(found)
    assert (one.text, one.address, one.weight, one.host) == (
        "[fd00::1]:80",
        ("fd00::1", 80),
        2,
        "app:80",
    )
    assert (two.text, two.address, two.host) == ("unix:/run/a", "/run/a", "unix:/run/a")


def test_backups_are_known_as_such() -> None:
    first, backup = Endpoint(("10.0.0.1", 80)), Endpoint(("10.0.0.2", 80), backup=True)
    peers = service.peers_of([backup, first])
    assert [(peer.text, peer.backup) for peer in peers] == [
        ("10.0.0.2:80", True),
        ("10.0.0.1:80", False),
    ]
