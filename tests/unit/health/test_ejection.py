"""Which failures eject a peer, for how long, and when it is spared. Time is moved by the test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.upstreams import available, upstream_of

from pingap.http.errors import UpstreamError
from pingap.shared_state.bus import Bus
from pingap.testing.clock import Clock
from pingap.upstream.health.ejection import Ejection, PassiveEjection
from pingap.upstream.health.service import HealthChecks
from pingap.upstream.upstream import UpstreamRuntime


class Ctx:
    """What is looked at of the context of a request."""

    def __init__(self, reused: bool = False) -> None:
        self.upstream_reused = reused


NEW: Any = Ctx()
KEPT: Any = Ctx(reused=True)


@pytest.fixture
def clock() -> Iterator[Clock]:
    with Clock() as clock:
        yield clock


class Rig:
    """An upstream in one or two workers."""

    def __init__(self, peers: int = 4, *, percent: int = 50, bus: Bus | None = None) -> None:
        self.bus = bus or Bus()
        self.upstream = self._make(peers, percent, self.bus)
        self.health = HealthChecks([self.upstream], self.bus)
        self.observer = self.upstream.observers[0]

    @staticmethod
    def _make(peers: int, percent: int, bus: Bus) -> UpstreamRuntime:
        upstream = upstream_of(*(f"127.0.0.1:{port}" for port in range(1, peers + 1)))
        upstream.ejection = PassiveEjection(upstream, bus, 3, 30.0, percent)
        upstream.observers = (upstream.ejection,)
        return upstream

    def fail(self, index: int, times: int = 3) -> None:
        for _ in range(times):
            error = UpstreamError("refused", connecting=True)
            self.observer.attempted(self.upstream.peers[index], NEW, error, 0)

    def answer(self, index: int, status: int = 200) -> None:
        self.observer.attempted(self.upstream.peers[index], NEW, None, status)

    def sweep(self) -> None:
        self.upstream.pool.deadlines.sweep(time.monotonic())

    @property
    def available(self) -> list[bool]:
        return available(self.upstream)


def test_failures_in_a_row_eject_for_a_while(clock: Clock) -> None:
    rig = Rig()
    rig.fail(0, 2)
    rig.answer(0)
    rig.fail(0, 2)
    assert all(rig.available)
    rig.fail(0, 1)
    assert rig.available == [False, True, True, True]
    assert rig.upstream.peers[0].obstacles == {"ejected"}
    clock.advance(29.9)
    rig.sweep()
    assert not all(rig.available)
    clock.advance(0.2)
    rig.sweep()
    assert all(rig.available)


@pytest.mark.parametrize(
    ("status", "fails"), [(200, False), (404, False), (500, False), (502, True), (503, True), (504, True)]
)  # fmt: skip
def test_what_a_proxy_says_of_its_own_upstream_is_a_failure(status: int, fails: bool) -> None:
    rig = Rig()
    for _ in range(3):
        rig.answer(0, status)
    assert all(rig.available) is not fails


@pytest.mark.parametrize(
    ("error", "ctx"),
    [
        (UpstreamError("a kept connection had ended", untouched=True), KEPT),
        (UpstreamError("GOAWAY", unprocessed=True), NEW),
    ],
)
def test_what_is_no_fault_of_a_peer_counts_neither_way(error: UpstreamError, ctx: Any) -> None:
    rig = Rig()
    rig.fail(0, 2)
    for _ in range(5):
        rig.observer.attempted(rig.upstream.peers[0], ctx, error, 0)
        rig.observer.abandoned(rig.upstream.peers[0])
    assert all(rig.available)
    rig.fail(0, 1)
    assert not all(rig.available)


def test_a_new_connection_that_ends_at_once_is_a_failure() -> None:
    rig = Rig()
    for _ in range(3):
        error = UpstreamError("reset", untouched=True)
        rig.observer.attempted(rig.upstream.peers[0], NEW, error, 0)
    assert not all(rig.available)


@pytest.mark.parametrize(
    ("peers", "percent", "ejected"),
    [(1, 100, 0), (2, 100, 1), (1, 50, 0), (2, 50, 1), (3, 50, 1), (4, 50, 2), (4, 100, 3), (4, 10, 0), (10, 10, 1)],
)  # fmt: skip
def test_so_many_are_ejected_and_never_the_last_one(peers: int, percent: int, ejected: int) -> None:
    rig = Rig(peers, percent=percent)
    for index in range(peers):
        rig.fail(index, 5)
    assert rig.available.count(False) == ejected


def test_a_peer_is_spared_if_the_others_are_blocked_anyway() -> None:
    rig = Rig()
    for peer in rig.upstream.peers[1:]:
        peer.block("health")
    rig.fail(0, 10)
    assert rig.upstream.peers[0].is_available
    rig.upstream.peers[1].unblock("health")
    rig.fail(0, 1)
    assert not rig.upstream.peers[0].is_available


def test_the_time_doubles_while_it_fails_soon_again(clock: Clock) -> None:
    rig = Rig()
    for seconds in (30, 60, 120, 240, 300, 300):
        rig.fail(0)
        clock.advance(seconds - 0.1)
        rig.sweep()
        assert not rig.available[0], seconds
        clock.advance(0.2)
        rig.sweep()
        assert rig.available[0], seconds
    clock.advance(300)  # as long as it was away
    rig.fail(0)
    clock.advance(30.1)
    rig.sweep()
    assert rig.available[0]


def test_all_workers_eject(clock: Clock) -> None:
    first, second = Bus(), Bus()
    first.send, second.send = second.deliver, first.deliver
    rigs = Rig(bus=first), Rig(bus=second)
    rigs[0].fail(0)
    assert [rig.available[0] for rig in rigs] == [False, False]
    assert [len(rig.upstream.ejection.counts) for rig in rigs if rig.upstream.ejection] == [1, 0]
    later = Rig(bus=second)  # a worker that starts now, or an upstream that was changed
    assert not later.available[0]
    clock.advance(30.1)
    for rig in (*rigs, later):
        rig.sweep()
        assert rig.available[0]
    assert Rig(bus=second).available[0]
    rigs[1].fail(0)  # it counts that another worker ejected it before
    clock.advance(59)
    rigs[0].sweep()
    assert not rigs[0].available[0]


def test_an_ejection_is_a_text_on_the_bus() -> None:
    ejection = Ejection(12345.678901234567, 3)
    assert Ejection.parse(str(ejection)) == ejection
