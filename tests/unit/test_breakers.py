"""Breakers of several workers follow each other over the bus."""

from __future__ import annotations

import time

import pytest

from pingap.builder import Runtime, build
from pingap.config import parse
from pingap.context import Connection, RequestContext
from pingap.errors import UpstreamError
from pingap.plugins import Registry
from pingap.upstream.breaker import State
from pingap.upstream.peer import Peer

TOML = """
[upstreams.shop]
addrs = ["127.0.0.1:1", "127.0.0.1:2"]
circuit_break_max_consecutive_failures = 2
circuit_break_half_open_consecutive_success_threshold = 1
circuit_break_open_duration = "20s"
"""
KEY = "breaker:shop:127.0.0.1:1"


class Worker:
    """A runtime, and its bus, connected to those of other workers."""

    def __init__(self, others: list[Worker]) -> None:
        self.runtime: Runtime = build(parse(TOML), Registry())
        self.bus = self.runtime.bus
        self.bus.send = self._pass_on
        self._others = others
        for key, value in others[0].bus.values.items() if others else ():
            self.bus.deliver(key, value)
        others.append(self)
        self.upstream = self.runtime.upstreams["shop"]
        self.peer: Peer = self.upstream.peers[0]

    def _pass_on(self, key: str, value: str) -> None:
        for one in self._others:
            if one is not self:
                one.bus.deliver(key, value)

    def attempt(self, status: int = 0, error: UpstreamError | None = None) -> None:
        breakers = self.upstream.breakers
        assert breakers is not None
        ctx = RequestContext(Connection(1, ("", 0), ("", 0)), time.monotonic())
        breakers.admit(self.peer, ctx)
        breakers.attempted(self.peer, ctx, error, status)
        breakers.release(self.peer, ctx)

    def wait(self, seconds: float) -> None:
        """Let time pass, as far as deadlines go."""
        self.runtime.deadlines.sweep(time.monotonic() + seconds)

    @property
    def state(self) -> State:
        assert self.peer.breaker is not None
        return self.peer.breaker.breaker.state


@pytest.fixture
def workers() -> tuple[Worker, Worker]:
    all_of_them: list[Worker] = []
    return Worker(all_of_them), Worker(all_of_them)


def test_what_opens_in_one_worker_opens_in_all(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    one.attempt(503)
    assert one.peer.is_available
    one.attempt(503)
    for worker in workers:
        assert worker.state is State.OPEN
        assert worker.peer.obstacles == {"breaker"}
        assert worker.upstream.peers[1].is_available
    word, _, until = other.bus.values[KEY].partition(":")
    assert word == "open"
    assert float(until) == pytest.approx(time.time() + 20, abs=2)


def test_a_worker_that_comes_later_knows_what_is_open(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    one.attempt(503)
    one.attempt(503)
    third = Worker([one, other])
    assert not third.peer.is_available
    assert third.state is State.OPEN


def test_what_closes_in_one_worker_closes_in_all(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = workers
    one.attempt(503)
    one.attempt(503)
    later = time.monotonic() + 21
    monkeypatch.setattr("pingap.upstream.breakers.time.monotonic", lambda: later)
    one.wait(21)
    other.wait(21)
    assert (one.state, other.state) == (State.HALF_OPEN, State.HALF_OPEN)
    assert one.peer.is_available
    other.attempt(200)
    assert (one.state, other.state) == (State.CLOSED, State.CLOSED)
    assert one.bus.values[KEY] == "closed"


def test_a_connection_that_had_died_idle_is_no_failure(workers: tuple[Worker, Worker]) -> None:
    one, _ = workers
    for _ in range(5):
        breakers = one.upstream.breakers
        assert breakers is not None
        ctx = RequestContext(Connection(1, ("", 0), ("", 0)), time.monotonic())
        ctx.upstream_reused = True
        breakers.admit(one.peer, ctx)
        breakers.attempted(one.peer, ctx, UpstreamError("gone", untouched=True), 0)
        breakers.release(one.peer, ctx)
        one.attempt(error=UpstreamError("gave it back", unprocessed=True))
    assert one.state is State.CLOSED


def test_an_upstream_that_is_closed_is_told_nothing_more(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    other.attempt(200)
    assert other.upstream.breakers is not None
    other.upstream.breakers.close()
    one.attempt(503)
    one.attempt(503)
    assert other.state is State.CLOSED


def test_what_was_open_long_ago_is_not_open_any_more(workers: tuple[Worker, Worker]) -> None:
    one, _ = workers
    one.bus.publish(KEY, f"open:{time.time() - 5:.3f}")
    assert one.state is State.CLOSED
    assert one.peer.is_available


def test_a_peer_that_comes_back_is_refused_from_the_start() -> None:
    one = Worker([])
    one.attempt(error=UpstreamError("no")), one.attempt(error=UpstreamError("no"))
    assert one.state is State.OPEN
    upstream, (bad, other) = one.upstream, one.upstream.peers
    upstream.replace_peers([other])
    upstream.replace_peers([other, Peer(bad.host, bad.address, bad.text)])
    assert upstream.peers[1] is not bad
    assert upstream.peers[1].obstacles == {"breaker"}
