"""Breakers of several workers: they count together, and are told over the bus when to look."""

from __future__ import annotations

import time

import pytest

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import parse
from pingap.http.connection import Connection
from pingap.http.context import RequestContext
from pingap.http.errors import UpstreamError
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.shared_state.segment import SharedSegment
from pingap.upstream.balancing.selection import Balancing, Selection
from pingap.upstream.circuit_breaking.breaker import State
from pingap.upstream.circuit_breaking.breakers import Breakers
from pingap.upstream.peer import Peer

TOML = """
[upstreams.shop]
addrs = ["127.0.0.1:1", "127.0.0.1:2"]
circuit_break_max_consecutive_failures = 2
circuit_break_half_open_consecutive_success_threshold = 1
circuit_break_open_duration = "20s"
"""
KEY = "breaker:shop:127.0.0.1:1"
ASKED = Request("GET", "/", Headers())


def fresh() -> RequestContext:
    """Return the context of another request."""
    return RequestContext(Connection(1, ("", 0), ("", 0)), time.monotonic())


class Worker:
    """A runtime, and its bus, connected to those of other workers.

    :param segment: what it shares with them; None: it has nothing of the kind.
    """

    def __init__(self, others: list[Worker], segment: SharedSegment | None = None) -> None:
        self.runtime: Runtime = build(parse(TOML), installed_registry())
        if segment is not None:
            self.runtime.count_with(segment.attach(len(others)))
        self.bus = self.runtime.bus
        self.bus.send = self._pass_on
        self._others = others
        for key, value in others[0].bus.values.items() if others else ():
            self.bus.deliver(key, value)
        others.append(self)
        self.upstream = self.runtime.upstreams["shop"]
        self.peer: Peer = self.upstream.peers[0]

    def _pass_on(self, key: str, value: str, retain: bool) -> None:
        for one in self._others:
            if one is not self:
                one.bus.deliver(key, value)

    @property
    def breakers(self) -> Breakers:
        assert self.upstream.breakers is not None
        return self.upstream.breakers

    def begin(self) -> RequestContext:
        """Begin an attempt, at the first peer if that may be."""
        ctx = fresh()
        chosen = self.upstream.choose_peer(ASKED, ctx)
        if chosen is not self.peer and self.peer.is_available:  # it was the turn of the other one
            self.breakers.release(chosen, ctx)
            self.upstream.choose_peer(ASKED, ctx)
        return ctx

    def end(self, ctx: RequestContext, status: int = 0, error: UpstreamError | None = None) -> None:
        self.breakers.attempted(self.peer, ctx, error, status)
        self.breakers.release(self.peer, ctx)

    def attempt(self, status: int = 0, error: UpstreamError | None = None) -> None:
        self.end(self.begin(), status, error)

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
    segment = SharedSegment(workers=3)
    return Worker(all_of_them, segment), Worker(all_of_them, segment)


def test_what_opens_in_one_worker_opens_in_all(
    workers: tuple[Worker, Worker], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = workers
    one.attempt(503)
    assert one.peer.is_available
    other.attempt(503)
    assert caplog.messages == [
        "circuit breaker of shop(127.0.0.1:1) opens for 20.0 s: 2 failures in a row"
    ]
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
    third = Worker([one, other])  # and what was shared went with the last worker that had it
    assert not third.peer.is_available
    assert third.state is State.OPEN


@pytest.fixture
def half_open(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> tuple[Worker, Worker]:
    """The workers, when the breaker has opened and its time is over."""
    one, other = workers
    one.attempt(503)
    one.attempt(503)
    later = time.monotonic() + 21
    monkeypatch.setattr("pingap.upstream.circuit_breaking.breakers.time.monotonic", lambda: later)
    one.wait(21)
    other.wait(21)
    assert (one.state, other.state) == (State.HALF_OPEN, State.HALF_OPEN)
    return workers


def test_what_closes_in_one_worker_closes_in_all(
    half_open: tuple[Worker, Worker], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = half_open
    assert one.peer.is_available
    other.attempt(200)
    assert (one.state, other.state) == (State.CLOSED, State.CLOSED)
    assert one.bus.values[KEY] == "closed"
    assert caplog.messages == ["circuit breaker of shop(127.0.0.1:1) closes"]


def test_another_peer_is_chosen_where_no_place_for_a_probe_is_left(
    half_open: tuple[Worker, Worker],
) -> None:
    one, other = half_open
    probe = one.begin()
    assert other.peer.is_available  # it has not looked
    for _ in range(4):
        assert other.upstream.choose_peer(ASKED, fresh()) is other.upstream.peers[1]
    assert not other.peer.is_available
    one.breakers.release(one.peer, probe)
    other.wait(0)
    assert other.peer.is_available


def test_requests_pass_where_all_peers_are_used_in_panic(
    half_open: tuple[Worker, Worker],
) -> None:
    one, other = half_open
    for worker in (one, other):
        upstream = worker.upstream
        peers = upstream.peers
        upstream.selection = Selection("shop", peers, Balancing(panic_threshold=100))
    probe = one.begin()
    more = {other.upstream.choose_peer(ASKED, fresh()) for _ in range(4)}
    assert more == set(other.upstream.peers)
    one.end(probe, 200)
    assert (one.state, other.state) == (State.CLOSED, State.CLOSED)


def test_a_bus_that_is_late_does_no_harm(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    one.bus.send = other.bus.send = None
    late = other.begin()
    one.attempt(503)
    one.attempt(503)
    assert other.state is State.CLOSED
    other.end(late, 503)
    assert other.state is State.OPEN
    assert not other.peer.is_available
    assert [worker.peer.breaker and worker.peer.breaker.opened for worker in workers] == [1, 0]


def test_what_is_open_is_known_without_the_bus(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    one.bus.send = None
    one.attempt(503)
    one.attempt(503)
    assert other.peer.breaker is None
    for _ in range(4):
        assert other.upstream.choose_peer(ASKED, fresh()) is other.upstream.peers[1]


def test_counts_of_an_upstream_that_is_built_anew_go_on(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    other.attempt(503)
    changed = TOML + 'read_timeout = "5s"\n'
    new = build(parse(changed), one.runtime.registry, previous=one.runtime)
    new.take_effect()
    one.runtime.release([new])
    assert new.upstreams["shop"] is not one.upstream
    one.upstream = new.upstreams["shop"]
    one.peer = one.upstream.peers[0]
    one.attempt(503)
    assert (one.state, other.state) == (State.OPEN, State.OPEN)


def test_a_connection_that_had_died_idle_is_no_failure(workers: tuple[Worker, Worker]) -> None:
    one, _ = workers
    for _ in range(5):
        ctx = one.begin()
        ctx.upstream_reused = True
        one.end(ctx, error=UpstreamError("gone", untouched=True))
        one.attempt(error=UpstreamError("gave it back", unprocessed=True))
    assert one.state is State.CLOSED


def test_an_upstream_that_is_closed_is_told_nothing_more(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    other.attempt(200)
    other.breakers.close()
    one.attempt(503)
    one.attempt(503)
    assert other.state is State.CLOSED


def test_what_was_open_long_ago_is_not_open_any_more(workers: tuple[Worker, Worker]) -> None:
    one, _ = workers
    one.bus.publish(KEY, f"open:{time.time() - 5:.3f}")
    one.attempt(200)
    assert one.state is State.CLOSED
    assert one.peer.is_available


def test_nothing_is_told_of_a_peer_that_is_gone(
    workers: tuple[Worker, Worker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, _ = workers
    one.attempt(503)
    one.attempt(503)
    one.upstream.replace_peers(one.upstream.peers[1:])
    later = time.monotonic() + 21
    monkeypatch.setattr("pingap.upstream.circuit_breaking.breakers.time.monotonic", lambda: later)
    caplog.clear()
    caplog.set_level("INFO", "pingap")
    one.wait(21)
    assert caplog.messages == []


def test_a_peer_that_comes_back_is_refused_from_the_start() -> None:
    one = Worker([])
    one.attempt(error=UpstreamError("no")), one.attempt(error=UpstreamError("no"))
    assert one.state is State.OPEN
    upstream, (bad, other) = one.upstream, one.upstream.peers
    upstream.replace_peers([other])
    upstream.replace_peers([other, Peer(bad.host, bad.address, bad.text)])
    assert upstream.peers[1] is not bad
    assert upstream.peers[1].obstacles == {"breaker"}
