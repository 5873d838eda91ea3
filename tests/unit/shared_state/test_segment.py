"""Several workers on one segment, here in one process; ``test_processes.py`` has real ones."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pingap.shared_state.region import GENERATION_SHIFT
from pingap.shared_state.segment import SharedSegment
from pingap.shared_state.state import Sizes

WORKERS = 3
SIZES = Sizes(counters=16, gauges=16, windows=16, tables=16, values=16, large_values=16, locks=16)


def test_workers_see_what_the_others_add() -> None:
    segment = SharedSegment(workers=2)
    one, two = segment.attach(0), segment.attach(1)
    assert (one.counter("a").add(2), two.counter("a").add(3)) == (2, 5)
    assert (one.window("a", 60).add(2, now=1), two.window("a", 60).add(3, now=1)) == (2, 5)
    one.table("t", "q").set("a", (1,))
    with two.table("t", "q").locked("a") as record:
        assert record.values == (1,)
        record.values = (2,)
    assert one.table("t", "q").get("a") == (2,)


def test_a_dead_worker_holds_nothing() -> None:
    segment = SharedSegment(workers=2)
    dead, other = segment.attach(0), segment.attach(1)
    for key in ("a", "b"):
        dead.gauge(key).add(3)
        other.gauge(key).add(1)
    dead.counter("a").add(5)
    dead.window("a", 60).add(5, now=1)
    segment.release_worker(0)
    assert [other.gauge(key).value for key in ("a", "b")] == [1, 1]
    assert other.counter("a").value == 5
    assert other.window("a", 60).total(now=1) == 5
    heir = segment.attach(0)
    assert (heir.gauge("a").add(), heir.counter("a").add()) == (2, 6)


def test_numbers_of_evicted_records_count_for_nothing() -> None:
    """Worker 0 has a share in every slot, before they are given to other keys."""
    segment = SharedSegment(workers=2, sizes=SIZES)
    one, two = segment.attach(0), segment.attach(1)
    for number in range(16):
        one.counter(f"old {number}").add(100)
        one.window(f"old {number}", 60).add(100, now=1)
    for number in range(16):
        assert two.counter(f"new {number}").add() == 1
        assert two.window(f"new {number}", 60).add(now=1) == 1
    assert segment.stats().evictions["counters"] == 16


def test_an_update_that_comes_too_late_counts_for_nothing() -> None:
    """A worker has looked at the identity, and writes when the slot has another key already."""
    segment = SharedSegment(workers=2, sizes=SIZES)
    one, two = segment.attach(0), segment.attach(1)
    one.counter("old").add()
    (slot,) = [i for i, identity in enumerate(segment.counters.identities) if identity]
    late = segment.counters.data[2 * slot] + 10
    for number in range(16):
        two.counter(f"new {number}").add()
    segment.counters.data[2 * slot] = late
    values = [two.counter(f"new {number}").value for number in range(16)]
    assert values == [1] * 16


def test_generations_never_are_zero() -> None:
    segment = SharedSegment(workers=1, sizes=SIZES)
    state = segment.attach(0)
    for number in range(300 * 16):
        assert state.counter(f"{number}").add() == 1
    assert all(identity >> GENERATION_SHIFT for identity in segment.counters.identities)


def test_keys_cannot_be_chosen_to_fall_into_one_bucket() -> None:
    places = {SharedSegment(workers=1).windows.place("same") for _ in range(5)}
    assert len(places) == 5


def test_size_is_fixed_and_told() -> None:
    ones = dict.fromkeys((field.name for field in dataclasses.fields(Sizes)), 1)
    sizes = Sizes(**ones | {"gauges": 17})
    segment = SharedSegment(workers=4, sizes=sizes)
    before = segment.stats()
    assert before.slots == dict.fromkeys(before.slots, 16) | {"gauges": 32}
    words = 16 * 6 + 32 * 6 + 16 * 10 + 16 * 17 + 16 * 25 + 16 * 1033 + 16 * 3 + 9 * 4
    words += 16 * 12 + 16 * 516  # quotas
    assert before.size == segment.size == 8 * words


@pytest.mark.parametrize("worker", [-1, 2])
def test_index_of_no_worker(worker: int) -> None:
    with pytest.raises(ValueError, match=f"worker {worker} of 2"):
        SharedSegment(workers=2).attach(worker)


class Model(RuleBasedStateMachine):
    """A segment against dictionaries: a value for each worker, and time in whole pieces."""

    keys = st.sampled_from("abcdefgh")
    workers = st.integers(0, WORKERS - 1)

    def __init__(self) -> None:
        super().__init__()
        self.segment = SharedSegment(workers=WORKERS, sizes=SIZES)
        self.states = [self.segment.attach(worker) for worker in range(WORKERS)]
        self.counters: dict[str, int] = {}
        self.gauges: dict[tuple[str, int], int] = {}
        self.windows: dict[tuple[str, int], int] = {}
        self.table: dict[str, tuple[float, ...]] = {}
        self.piece = 1 << 20  # where the written number of the piece begins anew

    @rule(key=keys, worker=workers, n=st.integers(-1000, 1000))
    def count(self, key: str, worker: int, n: int) -> None:
        self.counters[key] = self.counters.get(key, 0) + n
        assert self.states[worker].counter(key).add(n) == self.counters[key]

    @rule(key=keys, worker=workers, n=st.integers(-3, 3))
    def hold(self, key: str, worker: int, n: int) -> None:
        self.gauges[key, worker] = max(0, self.gauges.get((key, worker), 0) + n)
        assert self.states[worker].gauge(key).add(n) == self.held(key)

    def held(self, key: str) -> int:
        return sum(self.gauges.get((key, worker), 0) for worker in range(WORKERS))

    @rule(key=keys, worker=workers, n=st.integers(0, 100), half=st.booleans())
    def happen(self, key: str, worker: int, n: int, half: bool) -> None:
        place = key, self.piece
        self.windows[place] = self.windows.get(place, 0) + n
        now = 8.0 * self.piece + 4.0 * half
        part = 0.5 if half else 1.0
        expected = self.windows[place] + part * self.windows.get((key, self.piece - 1), 0)
        assert self.states[worker].window(key, 8).add(n, now) == expected

    @rule(pieces=st.integers(1, 3))
    def pass_time(self, pieces: int) -> None:
        self.piece += pieces

    @rule(key=keys, worker=workers, value=st.integers(-(2**63), 2**63 - 1), other=st.floats())
    def set(self, key: str, worker: int, value: int, other: float) -> None:
        self.table[key] = (value, other)
        self.states[worker].table("t", "qd").set(key, (value, other))

    @rule(key=keys, worker=workers)
    def change(self, key: str, worker: int) -> None:
        with self.states[worker].table("t", "qd").locked(key) as record:
            assert repr(record.values) == repr(self.table.get(key))
            record.values = self.table[key] = (1, 2.0)

    @rule(worker=workers)
    def die(self, worker: int) -> None:
        self.segment.release_worker(worker)
        self.states[worker] = self.segment.attach(worker)
        for key, other in list(self.gauges):
            if other == worker:
                del self.gauges[key, other]

    @invariant()
    def everybody_sees_the_same(self) -> None:
        for state in self.states:
            for key in "abcdefgh":
                assert state.counter(key).value == self.counters.get(key, 0)
                assert state.gauge(key).value == self.held(key)
                assert repr(state.table("t", "qd").get(key)) == repr(self.table.get(key))


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
