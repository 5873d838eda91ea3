"""What clients have used of a limit, with one worker and with several."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingap import Quota, SharedQuotas, SharedState
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment
from pingap.shared_state.state import Sizes
from pingap.testing import Clock

Make = Callable[[Sizes], SharedState]


def segment(sizes: Sizes) -> SharedState:
    return SharedSegment(workers=2, sizes=sizes).attach(1)


@pytest.fixture(params=[LocalState, segment])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
def quotas(make: Make) -> SharedQuotas:
    return make(Sizes()).quotas("q")


def put(
    quotas: SharedQuotas, key: str, value: bytes, seconds: float, used_up: bool = False
) -> None:
    quotas.change(key, lambda _: Quota(value, seconds, used_up))


def test_values_change_depending_on_the_old_one(quotas: SharedQuotas) -> None:
    seen = []

    def more(value: bytes | None) -> Quota:
        seen.append(value)
        return Quota((value or b"") + b"x", 10, used_up=False)

    for _ in range(3):
        quotas.change("a", more, now=100)
    quotas.change("b", more, now=100)
    assert seen == [None, b"x", b"xx", None]
    assert (quotas.get("a", now=100), quotas.get("c", now=100)) == (b"xxx", None)


def test_none_changes_nothing(quotas: SharedQuotas) -> None:
    quotas.change("a", lambda _: None)
    assert quotas.get("a") is None
    put(quotas, "a", b"1", 10)
    quotas.change("a", lambda _: None)
    assert quotas.get("a") == b"1"


def test_entries_expire(quotas: SharedQuotas) -> None:
    with Clock() as clock:
        put(quotas, "a", b"1", 60, used_up=True)
        put(quotas, "b", b"2", 120)
        clock.advance(61)
        assert (quotas.get("a"), quotas.get("b")) == (None, b"2")
        seen = []
        quotas.change("a", lambda value: seen.append(value))
        assert seen == [None]


def test_an_error_changes_nothing_and_leaves_no_lock(quotas: SharedQuotas) -> None:
    put(quotas, "a", b"1", 10)
    with pytest.raises(ZeroDivisionError):
        quotas.change("a", lambda value: Quota(value or b"", 1 / 0, used_up=False))
    assert quotas.get("a") == b"1"


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
def test_an_expiry_is_a_positive_number(quotas: SharedQuotas, seconds: float) -> None:
    with pytest.raises(ValueError, match="values of q: an expiry of"):
        put(quotas, "a", b"1", seconds)
    assert quotas.get("a") is None


def test_values_have_a_maximum_length(make: Make) -> None:
    state = make(Sizes())
    for size in (64, 65, 4096):
        quotas = state.quotas("q", value_bytes=size)
        put(quotas, "a", bytes(size), 10)
        assert quotas.get("a") == bytes(size)
        with pytest.raises(ValueError, match=f"expected at most {size}"):
            put(quotas, "a", bytes(size + 1), 10)
    with pytest.raises(ValueError, match="expected at most 4096"):
        state.quotas("q", value_bytes=4097)


def test_calls_cannot_be_nested(quotas: SharedQuotas) -> None:
    def nested(_: bytes | None) -> None:
        quotas.get("b")

    with pytest.raises(RuntimeError, match="cannot be nested"):
        quotas.change("a", nested)
    put(quotas, "b", b"1", 10)
    assert quotas.get("b") == b"1"


@pytest.mark.parametrize("key", ["", "\0", "\udcff", "ü", "x" * 10_000])
def test_every_text_is_a_key(quotas: SharedQuotas, key: str) -> None:
    put(quotas, "x" * 10_001, b"0", 9)
    put(quotas, key, b"1", 9)
    assert quotas.get(key) == b"1"


def test_tables_do_not_share_keys(make: Make) -> None:
    state = make(Sizes())
    put(state.quotas("a"), "k", b"1", 9)
    put(state.quotas("b"), "k", b"2", 9)
    put(state.quotas("a", value_bytes=65), "k", b"3", 9)
    state.values("a").set("k", b"4", 9)
    found = [state.quotas("a"), state.quotas("b"), state.quotas("a", value_bytes=4096)]
    assert [one.get("k") for one in found] == [b"1", b"2", b"3"]


def test_what_is_used_up_is_displaced_last(make: Make) -> None:
    state = make(Sizes(quotas=16))
    quotas = state.quotas("q")
    for number in range(8):
        put(quotas, f"used up {number}", b"!", 100, used_up=True)
    for number in range(100):
        put(quotas, f"idle {number}", b"", 1000)
    assert [quotas.get(f"used up {number}") for number in range(8)] == [b"!"] * 8
    assert state.stats().used["quotas"] == 16
    assert state.stats().evictions["quotas"] == 92


def test_what_has_expired_is_displaced_first(make: Make) -> None:
    quotas = make(Sizes(quotas=16)).quotas("q")
    with Clock() as clock:
        for number in range(15):
            put(quotas, f"idle {number}", b"", 100)
        put(quotas, "expired", b"!", 1, used_up=True)
        clock.advance(2)
        put(quotas, "new", b"", 100)
        assert [quotas.get(f"idle {number}") for number in range(15)] == [b""] * 15
        assert quotas.get("new") == b""


def test_what_expires_first_goes_if_everything_is_used_up(make: Make) -> None:
    quotas = make(Sizes(quotas=16)).quotas("q")
    for number in range(16):
        put(quotas, str(number), b"", 100 + (number - 5) ** 2, used_up=True)
    put(quotas, "new", b"", 1)
    assert [number for number in range(16) if quotas.get(str(number)) is None] == [5]


def test_an_entry_can_be_used_up_and_idle_again(make: Make) -> None:
    state = make(Sizes(quotas=16))
    quotas = state.quotas("q")
    for used_up in (True, False, True, False):
        put(quotas, "a", b"1", 100, used_up)
        assert quotas.get("a") == b"1"
    assert state.stats().used["quotas"] == 1
    for number in range(16):
        put(quotas, f"later {number}", b"", 200)
    assert quotas.get("a") is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 9), st.booleans())))
def test_both_do_the_same(steps: list[tuple[str, int, bool]]) -> None:
    both = [LocalState().quotas("q"), segment(Sizes()).quotas("q")]
    for now, (key, seconds, used_up) in enumerate(steps, 1000):
        found = []
        for quotas in both:
            found.append(quotas.get(key, now))
            quotas.change(key, lambda old: Quota((old or b"")[:9] + b"x", seconds, used_up), now)  # noqa: B023
        assert found[0] == found[1]


def test_many_keys_take_bounded_space(make: Make) -> None:
    state = make(Sizes(quotas=1024))
    quotas = state.quotas("q")
    for key in itertools.islice(itertools.count(), 20_000):
        put(quotas, f"limited {key}" if key < 100 else f"{key}", b"", 3600, used_up=key < 100)
    assert all(quotas.get(f"limited {key}") == b"" for key in range(100))
    assert state.stats().used["quotas"] <= 1024


# Gauges with a limit.


def test_add_below(make: Make) -> None:
    state = make(Sizes())
    gauge = state.gauge("a")
    assert [gauge.add_below(3) for _ in range(5)] == [True, True, True, False, False]
    gauge.add(-1)
    assert [gauge.add_below(3), gauge.add_below(3), gauge.value] == [True, False, 3]
    assert not state.gauge("b").add_below(0)
    assert state.stats().used["gauges"] == 1 + (make is LocalState)


def test_add_below_counts_all_workers() -> None:
    shared = SharedSegment(workers=2)
    one, two = (shared.attach(index).gauge("a") for index in range(2))
    assert [one.add_below(2), two.add_below(2), one.add_below(2), two.add_below(2)] == [
        *(True, True, False, False)
    ]
    shared.release_worker(0)
    assert [two.add_below(2), two.add_below(2)] == [True, False]
