"""When a canary steps back: the rule, and the numbers of all workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_traffic.step_back import NEW, OLD, Rule, StepBack, Tally

from pingap.testing import Clock, FakeWorker

COUNTS = st.integers(0, 1000)


@pytest.mark.parametrize(
    ("new", "old", "is_worse"),
    [
        ((50, 3), (1000, 0), True),  # 6 % and 0 %
        ((50, 2), (1000, 0), False),  # 4 %
        ((40, 2), (1000, 0), False),  # exactly 5 points
        ((49, 49), (1000, 0), False),  # too few
        ((50, 10), (1000, 160), False),  # 20 % and 16 %
        ((50, 11), (1000, 160), True),  # 22 % and 16 %
        ((50, 3), (0, 0), True),  # nothing to compare with
    ],
)
def test_the_rule(new: tuple[int, int], old: tuple[int, int], is_worse: bool) -> None:
    assert Rule(50, 5).is_worse(Tally(*new), Tally(*old)) == is_worse


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.floats(0, 100))
def test_a_better_side_is_never_worse(a: int, b: int, c: int, d: int, tolerance: float) -> None:
    new, old = Tally(max(a, b), min(a, b)), Tally(max(c, d), min(c, d))
    rule = Rule(1, tolerance)
    assert not (new.percent <= old.percent and rule.is_worse(new, old))
    assert not (rule.is_worse(new, old) and rule.is_worse(old, new))


def make(worker: FakeWorker, version: int = 1, pause: float | None = None) -> StepBack:
    return StepBack(worker.shared, "c", version, Rule(10, 5), 60.0, pause)


def fail(judge: StepBack, number: int) -> list[bool]:
    return [judge.count(NEW, failed=True) is not None for _ in range(number)]


def test_one_worker_finds_out_and_all_step_back() -> None:
    with FakeWorker() as worker:
        one, other = make(worker), make(worker)
        assert fail(one, 5) == [False] * 5
        assert fail(other, 5) == [False] * 4 + [True]
        assert one.is_back
        assert other.is_back
        assert fail(one, 20) == [False] * 20  # requests that were in progress


def test_errors_of_both_sides_are_compared() -> None:
    with FakeWorker() as worker:
        judge = make(worker)
        for _ in range(100):
            assert judge.count(OLD, failed=True) is None
            assert judge.count(NEW, failed=True) is None
        assert not judge.is_back


def test_old_errors_are_forgotten(clock: Clock) -> None:
    with FakeWorker() as worker:
        judge = make(worker)
        fail(judge, 9)
        clock.advance(121)
        fail(judge, 9)
        assert not judge.is_back
        fail(judge, 1)
        assert judge.is_back


def test_another_trial_begins_from_nothing(clock: Clock) -> None:
    with FakeWorker() as worker:
        judge = make(worker, pause=30)
        assert fail(judge, 10)[-1]
        clock.advance(29)
        assert judge.is_back
        clock.advance(2)
        assert not judge.is_back
        assert fail(judge, 10) == [False] * 9 + [True]
        assert judge.is_back


def test_other_settings_begin_from_nothing() -> None:
    with FakeWorker() as worker:
        first = make(worker)
        first.begin()
        fail(first, 10)
        again = make(worker)
        again.begin()
        assert again.is_back
        changed = make(worker, version=2)
        changed.begin()
        assert not changed.is_back
        fail(first, 20)  # requests in progress of the old configuration
        assert not changed.is_back
        back = make(worker, version=1)
        back.begin()
        assert not back.is_back
