"""Strategies over the shared state, compared with models and with the library's own storage."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter
from pingap_limit.rates import Rate
from pingap_limit.storage import SharedStorage
from pingap_limit.strategies import Estimate, Gcra, LocalLimiter

from pingap import SharedState
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment
from pingap.testing import Clock

INTERVAL = 10.05
"""No sum of the pauses below, so that rounding decides nothing."""
STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4)), max_size=60)


def segment() -> SharedState:
    return SharedSegment(workers=2).attach(1)


@pytest.mark.parametrize("make", [LocalState, segment])
@pytest.mark.parametrize("kind", [FixedWindowRateLimiter, MovingWindowRateLimiter])
@settings(max_examples=30, deadline=None)
@given(steps=STEPS)
def test_as_over_the_storage_of_the_library(
    make: Callable[[], SharedState],
    kind: type[RateLimiter],
    steps: list[tuple[str, int]],
) -> None:
    rate = Rate(4, INTERVAL)
    library = MemoryStorage()
    both = [kind(SharedStorage(make().quotas("q"), 4)), kind(library)]
    try:
        with Clock() as clock:
            for key, pause in steps:
                clock.advance(pause * 0.9)
                assert both[0].test(rate, key) == both[1].test(rate, key)
                assert both[0].hit(rate, key) == both[1].hit(rate, key)
                ours, theirs = (one.get_window_stats(rate, key) for one in both)
                assert ours.remaining == theirs.remaining
                assert abs(ours.reset_time - theirs.reset_time) < 0.5
    finally:
        library.timer.cancel()


@settings(max_examples=50, deadline=None)
@given(steps=STEPS, burst=st.integers(1, 6))
def test_gcra_never_lets_more_pass_than_flowed_in(steps: list[tuple[str, int]], burst: int) -> None:
    rate = Rate(5, INTERVAL)
    gcra = Gcra(SharedStorage(LocalState().quotas("q"), 5), burst)
    passed: dict[str, list[float]] = {"a": [], "b": []}
    now = 0.0
    with Clock() as clock:
        for key, pause in steps:
            clock.advance(pause * 0.9)
            now += pause * 0.9
            is_left = gcra.test(rate, key)
            assert gcra.hit(rate, key) == is_left
            if is_left:
                passed[key].append(now)
    for times in passed.values():
        for first, begin in enumerate(times):
            for last, end in enumerate(times[first:], first):
                flowed = burst + (end - begin + 0.5) * 5 / INTERVAL
                assert last - first + 1 <= flowed + 1e-6


@settings(max_examples=50, deadline=None)
@given(steps=STEPS, weight=st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_the_estimate_is_that_of_its_definition(
    steps: list[tuple[str, int]], weight: float
) -> None:
    rate = Rate(4, 10.0)
    storage = SharedStorage(LocalState().quotas("q"), 4)
    estimate = Estimate(storage, weight)
    counts: dict[tuple[str, int], int] = {}
    with Clock() as clock:
        begin = _begin_of_a_window(clock, 10.0)
        for key, pause in steps:
            clock.advance(pause * 0.9)
            begin += pause * 0.9
            window = int(begin // 10)
            counts[key, window] = count = counts.get((key, window), 0) + 1
            before = counts.get((key, window - 1), 0)
            used = max(count, before * (1 - weight) + count * weight)
            assert estimate.hit(rate, key) == (used <= 4)


def _begin_of_a_window(clock: Clock, seconds: float) -> float:
    """Advance to just behind the beginning of a window; return the time in it."""
    clock.advance(seconds - time.monotonic() % seconds + 0.05)
    return time.monotonic() % seconds


def test_the_second_window_weighs_what_is_left_of_the_first() -> None:
    rate = Rate(10, 100.0)
    limiter = LocalLimiter(LocalState(), "l", "sliding-window-counter", rate, 0.5, 10)
    with Clock() as clock:
        _begin_of_a_window(clock, 100.0)
        assert sum(limiter.hit("a") for _ in range(20)) == 10
        clock.advance(150)
        assert sum(limiter.hit("a") for _ in range(20)) == 6  # 10 x 0.499 is counted as 4
        clock.advance(250)
        assert sum(limiter.hit("a") for _ in range(20)) == 10


@pytest.mark.parametrize("strategy", ["fixed-window", "moving-window", "gcra", "estimate"])
def test_retry_after_is_when_one_passes(strategy: str) -> None:
    limiter = LocalLimiter(LocalState(), "l", strategy, Rate(3, 60.0), 1.0, 3)
    with Clock() as clock:
        _begin_of_a_window(clock, 60.0)
        for pause in (0, 5, 5, 5):
            clock.advance(pause)
            passed = limiter.hit("a")
        assert not passed
        wait = limiter.standing("a", passed=False).reset_after
        clock.advance(wait - 0.5)
        assert not limiter.hit("a") or wait < 0.5
        clock.advance(0.6)
        assert limiter.hit("a")


def test_limits_do_not_share_counts() -> None:
    state = LocalState()
    for name in ("one", "two"):
        for strategy in ("estimate", "gcra"):
            limiter = LocalLimiter(state, name, strategy, Rate(1, 60.0), 0.5, 1)
            assert [limiter.hit("a"), limiter.hit("a")] == [True, False]
