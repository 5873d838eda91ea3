"""The circuit breaker, the window and the retry budget: state machines without IO."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment
from pingap.shared_state.state import SharedState, Sizes
from pingap.upstream.circuit_breaking.breaker import BreakerSettings, CircuitBreaker, Record, State
from pingap.upstream.circuit_breaking.window import SlidingWindow
from pingap.upstream.retrying.retry_budget import AT_LEAST, RetryBudget

SIZES = Sizes(counters=16, gauges=64, windows=1024, tables=64)
KEY = "breaker:shop:127.0.0.1:1"


def breaker(shared: SharedState | None = None, **settings: int | float) -> CircuitBreaker:
    limits = BreakerSettings(**settings)  # type: ignore[arg-type]
    return CircuitBreaker(limits, shared or LocalState(SIZES), KEY)


def attempt(one: CircuitBreaker, now: float, *, failed: bool) -> bool:
    token = object()
    assert one.admit(token)
    decided = (one.failed if failed else one.succeeded)(token, now)
    one.release(token)
    return decided


def test_failures_in_a_row_open_it() -> None:
    one = breaker(max_consecutive_failures=3)
    for failed in (True, True, False, True, True):
        assert not attempt(one, 1.0, failed=failed)
    assert (one.state, one.refuses) == (State.CLOSED, False)
    assert attempt(one, 2.0, failed=True)
    assert (one.state, one.refuses, one.known.open_until) == (State.OPEN, True, 12.0)
    assert one.reason == "3 failures in a row"
    assert not one.admit("a")


def test_a_percentage_of_failures_opens_it_once_there_were_enough_requests() -> None:
    one = breaker(max_failure_percent=50, min_requests=4)
    for failed in (True, False, True):
        attempt(one, 1.0, failed=failed)
    assert one.state is State.CLOSED
    attempt(one, 1.0, failed=True)
    assert one.state is State.OPEN
    assert one.reason == "3 failures of 4 requests"


def test_requests_are_enough_wherever_a_piece_of_the_window_begins() -> None:
    one = breaker(max_failure_percent=50, min_requests=4, window=10.0)
    for now, failed in ((9.9, True), (9.9, False), (10.1, True), (10.1, True)):
        attempt(one, now, failed=failed)
    assert one.state is State.OPEN


def test_what_is_older_than_the_window_does_not_count() -> None:
    one = breaker(max_failure_percent=50, min_requests=4, window=10.0)
    for _ in range(3):
        attempt(one, 1.0, failed=True)
    attempt(one, 19.0, failed=True)
    assert one.state is State.CLOSED


def test_what_was_counted_before_it_opened_does_not_count() -> None:
    one = breaker(max_failure_percent=50, min_requests=4, open_duration=1.0, probes=1)
    for _ in range(4):
        attempt(one, 1.0, failed=True)
    one.wake(2.0)
    assert attempt(one, 2.0, failed=False)
    for failed in (True, True, True):
        attempt(one, 2.0, failed=failed)
    assert one.state is State.CLOSED


def test_a_percentage_of_zero_is_off() -> None:
    one = breaker(max_consecutive_failures=3, min_requests=1)
    for _ in range(100):
        attempt(one, 1.0, failed=False)
        attempt(one, 1.0, failed=True)
    assert one.state is State.CLOSED


def test_a_row_of_zero_is_off() -> None:
    one = breaker(max_failure_percent=100, min_requests=200)
    for _ in range(100):
        attempt(one, 1.0, failed=True)
    assert one.state is State.CLOSED


def test_it_stays_open_for_its_time_and_is_half_open_then() -> None:
    one = breaker(max_consecutive_failures=1, open_duration=5.0, probes=2)
    attempt(one, 1.0, failed=True)
    assert not one.wake(5.9)
    assert one.state is State.OPEN
    assert one.wake(6.0)
    assert (one.state, one.refuses) == (State.HALF_OPEN, False)
    assert one.admit("a")
    assert not one.refuses
    assert one.admit("b")
    assert one.refuses
    assert not one.admit("c")


def half_open(probes: int = 2) -> CircuitBreaker:
    one = breaker(max_consecutive_failures=1, open_duration=5.0, probes=probes)
    one.admit("old")
    attempt(one, 1.0, failed=True)
    one.wake(6.0)
    return one


def test_enough_successes_close_it() -> None:
    one = half_open()
    assert not attempt(one, 6.0, failed=False)
    assert one.state is State.HALF_OPEN
    assert attempt(one, 6.0, failed=False)
    assert (one.state, one.refuses) == (State.CLOSED, False)


def test_a_failing_probe_opens_it_again() -> None:
    one = half_open()
    attempt(one, 6.0, failed=False)
    assert attempt(one, 7.0, failed=True)
    assert (one.state, one.known.open_until, one.reason) == (State.OPEN, 12.0, "a probe failed")
    one.wake(12.0)
    attempt(one, 12.0, failed=False)
    assert one.state is State.HALF_OPEN  # the success before the failure counts no more


def test_a_probe_that_vanishes_gives_its_place_back() -> None:
    one = half_open(probes=1)
    one.admit("a")
    assert one.refuses
    assert one.release("a")
    assert (one.state, one.refuses) == (State.HALF_OPEN, False)


@pytest.mark.parametrize("failed", [True, False])
def test_an_attempt_that_began_before_is_no_probe(failed: bool) -> None:
    one = half_open(probes=1)
    assert not (one.failed if failed else one.succeeded)("old", 6.0)
    assert one.state is State.HALF_OPEN
    one.admit("a")
    one.release("old")
    assert one.refuses


def test_an_attempt_that_began_before_it_opened_does_not_open_it_again() -> None:
    one = half_open(probes=1)
    attempt(one, 6.0, failed=False)
    assert one.state is State.CLOSED
    assert not one.failed("old", 7.0)
    assert one.state is State.CLOSED


# Several workers.


def two_of(**settings: int | float) -> tuple[CircuitBreaker, CircuitBreaker, SharedSegment]:
    segment = SharedSegment(workers=2, sizes=SIZES)
    first, second = (breaker(segment.attach(worker), **settings) for worker in (0, 1))
    return first, second, segment


def test_a_row_is_one_over_all_workers() -> None:
    first, second, _ = two_of(max_consecutive_failures=3)
    attempt(first, 1.0, failed=True)
    attempt(second, 1.0, failed=True)
    attempt(first, 1.0, failed=False)
    attempt(second, 1.0, failed=True)
    attempt(first, 1.0, failed=True)
    assert (first.state, second.state) == (State.CLOSED, State.CLOSED)
    assert attempt(second, 1.0, failed=True)
    assert second.state is State.OPEN
    first.look()
    assert first.state is State.OPEN


def test_a_percentage_is_one_over_all_workers() -> None:
    first, second, _ = two_of(max_failure_percent=50, min_requests=4)
    for one, failed in ((first, True), (second, False), (second, True)):
        attempt(one, 1.0, failed=failed)
    assert attempt(first, 1.0, failed=True)
    assert first.reason == "3 failures of 4 requests"


def test_two_workers_that_trip_it_at_once_open_it_once() -> None:
    first, second, _ = two_of(max_consecutive_failures=1)
    first.admit("a")
    second.admit("b")
    assert first.failed("a", 1.0)
    assert not second.failed("b", 5.0)
    assert second.known == first.known == Record(1, State.OPEN, 11.0)


def test_a_worker_that_was_not_told_finds_out() -> None:
    first, second, _ = two_of(max_consecutive_failures=1)
    second.admit("b")
    attempt(first, 1.0, failed=True)
    assert not second.succeeded("b", 1.0)
    assert second.state is State.OPEN


def test_a_worker_that_dies_gives_its_probes_back() -> None:
    first, second, segment = two_of(max_consecutive_failures=1, probes=1, open_duration=1.0)
    attempt(first, 1.0, failed=True)
    second.look()
    assert [second.wake(2.0), first.wake(2.0)] == [True, False]
    assert first.admit("a")
    assert not second.admit("b")
    assert second.refuses
    segment.release_worker(0)
    second.look()
    assert second.admit("b")
    assert second.succeeded("b", 2.0)


def test_a_record_that_gave_way_to_others_is_as_a_worker_knows_it() -> None:
    shared = LocalState(Sizes(counters=16, gauges=16, windows=16, tables=16))
    one = breaker(shared, max_consecutive_failures=1, probes=1, open_duration=1.0)
    table = shared.table("others", "q")

    def push_out() -> None:
        for number in range(100):
            table.set(f"{number}", (number,))

    push_out()
    assert attempt(one, 1.0, failed=True)
    push_out()
    one.look()
    assert one.state is State.OPEN
    assert one.wake(2.0)
    push_out()
    assert attempt(one, 2.0, failed=False)
    push_out()
    assert not attempt(one, 2.0, failed=False)
    assert one.known == Record(2)


def test_what_is_known_from_elsewhere_counts_if_nothing_is_shared() -> None:
    limits = BreakerSettings(max_consecutive_failures=1)
    shared = LocalState(SIZES)
    one = CircuitBreaker(limits, shared, KEY, 50.0)
    assert (one.state, one.known.open_until) == (State.OPEN, 50.0)
    assert CircuitBreaker(limits, shared, KEY, 99.0).known.open_until == 50.0


class Model(RuleBasedStateMachine):
    """Breakers of several workers, none of which is told anything, against a plain description."""

    count = 3
    settings_ = BreakerSettings(
        max_consecutive_failures=3,
        max_failure_percent=50,
        min_requests=6,
        probes=2,
        open_duration=10.0,
        window=5000.0,  # the window has tests of its own; here everything stays within it
    )
    workers = st.integers(0, count - 1)

    def __init__(self) -> None:
        super().__init__()
        self.segment = SharedSegment(workers=self.count, sizes=SIZES)
        self.breakers = [self.start(worker) for worker in range(self.count)]
        self.now = 1000.0
        self.next = 0
        self.began: dict[int, tuple[int, int]] = {}  # attempt -> worker and term
        self.probes: set[int] = set()
        self.term, self.state, self.until = 0, State.CLOSED, 0.0
        self.counted: list[bool] = []  # failures, since it was closed
        self.successes = 0

    def start(self, worker: int) -> CircuitBreaker:
        return CircuitBreaker(self.settings_, self.segment.attach(worker), KEY)

    @property
    def record(self) -> Record:
        row = self.successes
        if self.state is State.CLOSED:
            row = next((i for i, bad in enumerate(reversed(self.counted)) if not bad), None)
            row = len(self.counted) if row is None else row
        return Record(self.term, self.state, self.until, row)

    def become(self, state: State) -> bool:
        self.term += state is not State.HALF_OPEN
        self.state, self.counted, self.successes = state, [], 0
        if state is not State.HALF_OPEN:
            self.until = self.now + 10.0 if state is State.OPEN else 0.0
        return True

    @rule(seconds=st.sampled_from([0.1, 1.0, 9.9, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(worker=workers)
    def wake(self, worker: int) -> None:
        one = self.breakers[worker]
        knows = one.state is State.OPEN and self.now >= one.known.open_until
        wakes = knows and self.state is State.OPEN and self.now >= self.until
        assert one.wake(self.now) == (wakes and self.become(State.HALF_OPEN))

    @rule(worker=workers)
    def look(self, worker: int) -> None:
        one = self.breakers[worker]
        one.look()
        assert one.known == self.record
        full = self.state is State.HALF_OPEN and len(self.probes) >= 2
        assert one.refuses == (self.state is State.OPEN or full)

    @rule(worker=workers)
    def begin(self, worker: int) -> None:
        one = self.breakers[worker]
        knew = one.state
        self.next += 1
        if not one.admit(self.next):
            assert one.refuses
            return
        if knew is State.HALF_OPEN and self.state is State.HALF_OPEN:
            self.probes.add(self.next)
        assert one.state is knew or one.known == self.record
        self.began[self.next] = worker, one.term

    @precondition(lambda self: self.began)
    @rule(data=st.data(), end=st.sampled_from(["good", "bad", "bad", "gone"]))
    def end(self, data: st.DataObject, end: str) -> None:
        token = data.draw(st.sampled_from(sorted(self.began)))
        worker, term = self.began.pop(token)
        one = self.breakers[worker]
        if end != "gone":
            expected = term == self.term and self.learn(failed=end == "bad")
            finish = one.failed if end == "bad" else one.succeeded
            assert finish(token, self.now) == expected
        assert one.release(token) == (token in self.probes)
        self.probes.discard(token)

    def learn(self, *, failed: bool) -> bool:
        """Count the end of an attempt of this term; return whether it opens or closes."""
        if self.state is State.HALF_OPEN:
            if failed:
                return self.become(State.OPEN)
            self.successes += 1
            return self.successes == 2 and self.become(State.CLOSED)
        self.counted.append(failed)
        failures = self.counted.count(True)
        in_a_row = self.counted[-3:] == [True] * 3
        much = len(self.counted) >= 6 and failures * 2 >= len(self.counted)
        return failed and (in_a_row or much) and self.become(State.OPEN)

    @rule(worker=workers)
    def die(self, worker: int) -> None:
        lost = [token for token, (other, _) in self.began.items() if other == worker]
        self.probes.difference_update(lost)
        for token in lost:
            del self.began[token]
        self.segment.release_worker(worker)
        self.breakers[worker] = self.start(worker)

    @invariant()
    def they_agree(self) -> None:
        values = self.segment.attach(0).table("circuit_breaker", "qqdq").get(KEY)
        assert values == self.record
        assert len(self.probes) <= 2


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # the machine may be busy
)


# What the budget counts with.


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
    assert sum(budget.spend(70.0) for _ in range(100)) == AT_LEAST


def test_the_few_of_a_budget_are_those_of_all_workers() -> None:
    segment = SharedSegment(workers=3, sizes=SIZES)
    budgets = [RetryBudget(20) for _ in range(3)]
    for worker, budget in enumerate(budgets):
        budget.count_with(segment.attach(worker), "shop")
        for _ in range(10):
            budget.count_request(50.0)
    other = RetryBudget(20)
    other.count_with(segment.attach(0), "other")
    spent = [[budget.spend(50.0) for budget in budgets] for _ in range(10)]
    assert sum(map(sum, spent)) == AT_LEAST + 3 * 2
    assert other.spend(50.0)
