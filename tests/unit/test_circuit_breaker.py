"""The circuit breaker, the window and the retry budget: state machines without IO."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pingap.upstream.breaker import BreakerSettings, CircuitBreaker, State
from pingap.upstream.retry_budget import AT_LEAST, RetryBudget
from pingap.upstream.window import SlidingWindow


def breaker(**settings: int | float) -> CircuitBreaker:
    return CircuitBreaker(BreakerSettings(**settings))  # type: ignore[arg-type]


def attempt(one: CircuitBreaker, now: float, *, failed: bool) -> None:
    token = object()
    one.admit(token)
    (one.failed if failed else one.succeeded)(token, now)
    one.release(token)


def test_failures_in_a_row_open_it() -> None:
    one = breaker(max_consecutive_failures=3)
    for failed in (True, True, False, True, True):
        attempt(one, 1.0, failed=failed)
    assert (one.state, one.refuses) == (State.CLOSED, False)
    attempt(one, 2.0, failed=True)
    assert (one.state, one.refuses, one.open_until) == (State.OPEN, True, 12.0)
    assert one.reason == "3 failures in a row"


def test_a_percentage_of_failures_opens_it_once_there_were_enough_requests() -> None:
    one = breaker(max_failure_percent=50, min_requests=4)
    for failed in (True, False, True):
        attempt(one, 1.0, failed=failed)
    assert one.state is State.CLOSED
    attempt(one, 1.0, failed=True)
    assert one.state is State.OPEN
    assert one.reason == "3 failures of 4 requests"


def test_what_is_older_than_the_window_does_not_count() -> None:
    one = breaker(max_failure_percent=50, min_requests=4, window=10.0)
    for _ in range(3):
        attempt(one, 1.0, failed=True)
    attempt(one, 12.0, failed=True)
    assert one.state is State.CLOSED


def test_a_percentage_of_zero_is_off() -> None:
    one = breaker(max_consecutive_failures=3, min_requests=1)
    for _ in range(100):
        attempt(one, 1.0, failed=False)
        attempt(one, 1.0, failed=True)
    assert one.state is State.CLOSED


def test_it_stays_open_for_its_time_and_is_half_open_then() -> None:
    one = breaker(max_consecutive_failures=1, open_duration=5.0, probes=2)
    attempt(one, 1.0, failed=True)
    one.wake(5.9)
    assert one.state is State.OPEN
    one.wake(6.0)
    assert (one.state, one.refuses) == (State.HALF_OPEN, False)
    one.admit("a")
    assert not one.refuses
    one.admit("b")
    assert one.refuses


def half_open(probes: int = 2) -> CircuitBreaker:
    one = breaker(max_consecutive_failures=1, open_duration=5.0, probes=probes)
    one.admit("old")
    attempt(one, 1.0, failed=True)
    one.wake(6.0)
    return one


def test_enough_successes_close_it() -> None:
    one = half_open()
    attempt(one, 6.0, failed=False)
    assert one.state is State.HALF_OPEN
    attempt(one, 6.0, failed=False)
    assert (one.state, one.refuses) == (State.CLOSED, False)


def test_a_failing_probe_opens_it_again() -> None:
    one = half_open()
    attempt(one, 6.0, failed=False)
    attempt(one, 7.0, failed=True)
    assert (one.state, one.open_until, one.reason) == (State.OPEN, 12.0, "a probe failed")
    one.wake(12.0)
    attempt(one, 12.0, failed=False)
    assert one.state is State.HALF_OPEN  # the success before the failure counts no more


def test_a_probe_that_vanishes_gives_its_place_back() -> None:
    one = half_open(probes=1)
    one.admit("a")
    assert one.refuses
    one.release("a")
    assert (one.state, one.refuses) == (State.HALF_OPEN, False)


@pytest.mark.parametrize("failed", [True, False])
def test_an_attempt_that_began_before_is_no_probe(failed: bool) -> None:
    one = half_open(probes=1)
    (one.failed if failed else one.succeeded)("old", 6.0)
    assert one.state is State.HALF_OPEN
    one.admit("a")
    one.release("old")
    assert one.refuses


class Model(RuleBasedStateMachine):
    """The breaker against a plain description of what it should do."""

    settings_ = BreakerSettings(
        max_consecutive_failures=3,
        max_failure_percent=50,
        min_requests=6,
        probes=2,
        open_duration=10.0,
        window=60.0,
    )

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CircuitBreaker(self.settings_)
        self.now = 1000.0
        self.next = 0
        self.running: dict[
            int, bool
        ] = {}  # attempt -> whether it is a probe of this half-open time
        self.state = State.CLOSED
        self.until = 0.0
        self.counted: list[bool] = []  # failures, since it was closed
        self.successes = 0

    def trip(self) -> None:
        self.state, self.until = State.OPEN, self.now + 10.0
        self.running = dict.fromkeys(self.running, False)

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 9.9, 10.0]))
    def time_passes(self, seconds: float) -> None:
        if len(self.counted) and seconds:
            # The window has a test of its own; here everything stays within it.
            seconds = min(seconds, 0.1)
        self.now += seconds
        self.breaker.wake(self.now)
        if self.state is State.OPEN and self.now >= self.until:
            self.state, self.successes = State.HALF_OPEN, 0

    @precondition(lambda self: not self.breaker.refuses)
    @rule()
    def begin(self) -> None:
        self.next += 1
        self.breaker.admit(self.next)
        self.running[self.next] = self.state is State.HALF_OPEN

    @precondition(lambda self: self.running)
    @rule(data=st.data(), end=st.sampled_from(["good", "bad", "bad", "gone"]))
    def end(self, data: st.DataObject, end: str) -> None:
        token = data.draw(st.sampled_from(sorted(self.running)))
        is_probe = self.running.pop(token)
        if end == "good":
            self.breaker.succeeded(token, self.now)
        elif end == "bad":
            self.breaker.failed(token, self.now)
        self.breaker.release(token)
        if end == "gone":
            return
        if self.state is State.CLOSED:
            self.counted.append(end == "bad")
            failures = self.counted.count(True)
            in_a_row = self.counted[-3:] == [True] * 3
            much = len(self.counted) >= 6 and failures * 2 >= len(self.counted)
            if end == "bad" and (in_a_row or much):
                self.counted = []
                self.trip()
        elif self.state is State.HALF_OPEN and is_probe:
            if end == "bad":
                self.trip()
            else:
                self.successes += 1
                if self.successes == 2:
                    self.state = State.CLOSED
                    self.running = dict.fromkeys(self.running, False)

    @rule()
    def another_worker_opens_it(self) -> None:
        self.breaker.open(self.now + 10.0, "elsewhere")
        self.counted = []
        self.trip()

    @rule()
    def another_worker_closes_it(self) -> None:
        self.breaker.close()
        self.counted = []
        self.state = State.CLOSED
        self.running = dict.fromkeys(self.running, False)

    @invariant()
    def they_agree(self) -> None:
        assert self.breaker.state is self.state
        probes = sum(self.running.values())
        assert probes <= 2
        assert self.breaker.refuses == (
            self.state is State.OPEN or (self.state is State.HALF_OPEN and probes == 2)
        )


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # the machine may be busy
)


# What the breaker and the budget count with.


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 3), st.integers(0, 3)), max_size=60),
    st.floats(0, 20),
)
def test_a_window_counts_what_happened_lately(
    steps: list[tuple[float, int, int]], last: float
) -> None:
    window = SlidingWindow(10.0)
    now, happened = 5000.0, deque[tuple[float, int, int]]()
    for seconds, events, bad in steps:
        now += seconds
        window.count(now, events, bad)
        happened.append((now, events, bad))
    now += last
    window.move_to(now)
    for place, counted in ((1, window.events), (2, window.bad)):
        surely = sum(one[place] for one in happened if one[0] > now - 9.0)
        perhaps = sum(one[place] for one in happened if one[0] > now - 10.0 - 1e-9)
        assert surely <= counted <= perhaps


def test_a_budget_is_a_share_of_the_requests_and_a_few_more() -> None:
    budget = RetryBudget(20)
    for _ in range(100):
        budget.count_request(50.0)
    assert sum(budget.spend(50.0) for _ in range(100)) == AT_LEAST + 20
    assert budget.refused == 70
    assert sum(budget.spend(65.0) for _ in range(100)) == AT_LEAST
