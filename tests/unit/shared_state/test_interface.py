"""What shared state promises, with one worker and with several."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from pingap import Quota, SharedState
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment
from pingap.shared_state.state import Sizes

SMALL = Sizes(**dict.fromkeys((field.name for field in dataclasses.fields(Sizes)), 16))

Make = Callable[[Sizes], SharedState]


def segment_of_one(sizes: Sizes) -> SharedState:
    return SharedSegment(workers=1, sizes=sizes).attach(0)


def segment_of_many(sizes: Sizes) -> SharedState:
    return SharedSegment(workers=5, sizes=sizes).attach(3)


@pytest.fixture(params=[LocalState, segment_of_one, segment_of_many])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
def state(make: Make) -> SharedState:
    return make(Sizes(counters=64, gauges=64, windows=64, tables=64))


# Counters and gauges.


def test_counter(state: SharedState) -> None:
    counter = state.counter("a")
    assert counter.value == 0
    assert [counter.add(), counter.add(5), counter.add(-8)] == [1, 6, -2]
    assert counter.value == state.counter("a").value == -2
    assert state.counter("b").value == 0


def test_gauge_is_never_below_zero(state: SharedState) -> None:
    gauge = state.gauge("a")
    assert [gauge.add(2), gauge.add(-1), gauge.add(-5), gauge.add()] == [2, 1, 0, 1]
    assert gauge.value == state.gauge("a").value == 1


def test_kinds_do_not_share_keys(state: SharedState) -> None:
    state.counter("a").add(1)
    state.gauge("a").add(2)
    state.window("a", 10).add(3, now=0)
    state.window("a", 20).add(4, now=0)
    state.table("a", "q").set("a", (5,))
    state.table("a", "d").set("a", (6.5,))
    assert state.counter("a").value == 1
    assert state.gauge("a").value == 2
    assert state.window("a", 10).total(now=0) == 3
    assert state.window("a", 20.0).total(now=0) == 4
    assert state.table("a", "q").get("a") == (5,)
    assert state.table("a", "d").get("a") == (6.5,)


@pytest.mark.parametrize("key", ["", "\0", "\udcff", "ü", "x" * 10_000, "x" * 10_001])
def test_every_text_is_a_key(state: SharedState, key: str) -> None:
    state.counter("x" * 200).add(7)
    assert state.counter(key).add() == 1
    assert state.counter(key).add() == 2
    assert state.window(key, 1).add(now=0) == 1
    state.table("t", "q").set(key, (1,))
    assert state.table("t", "q").get(key) == (1,)


# Windows.


def test_window_counts_part_of_the_piece_before(state: SharedState) -> None:
    window = state.window("a", 10)
    assert window.add(8, now=100.0) == 8
    assert window.add(now=109.0) == 9
    assert window.total(now=110.0) == 9
    assert window.total(now=115.0) == 4.5
    assert window.add(2, now=115.0) == 6.5
    assert window.total(now=120.0) == 2
    assert window.total(now=130.0) == 0
    assert window.add(now=1000.0) == 1


def test_window_of_a_part_of_a_second(state: SharedState) -> None:
    window = state.window("a", 0.25)
    assert [window.add(now=0.25 * i) for i in range(4)] == [1, 2, 2, 2]


def test_window_counts_without_adding_up(state: SharedState) -> None:
    window = state.window("a", 10)
    window.count(now=100.0)
    window.count(3, 101.0)
    assert window.total(now=101.0) == 4
    state.window("b", 3600).count()
    assert state.window("b", 3600).total() > 0.99


def test_windows_use_the_time_that_is(state: SharedState) -> None:
    window = state.window("a", 3600)
    assert window.add() == 1
    assert 1.99 < window.add() <= 2
    assert 1.99 < window.total() <= 2


def test_window_shows_its_two_numbers(make: Make) -> None:
    state = make(SMALL)
    window = state.window("a", 10)
    assert window.counts(now=100.0) == (0, 0)
    window.count(8, now=100.0)
    window.count(2, now=111.0)
    assert window.counts(now=119.0) == (8, 2)
    assert window.counts(now=125.0) == (2, 0)
    assert window.total(now=125.0) == 1
    assert window.counts(now=130.0) == (0, 0)
    for number in range(100):  # the record gives way
        state.window(f"{number}", 10).add(now=130.0)
    assert window.counts(now=130.0) == (0, 0)
    state.window("b", 3600).count()
    assert sum(state.window("b", 3600).counts()) == 1


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_length_of_a_window_is_positive(state: SharedState, seconds: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        state.window("a", seconds)


def test_windows_do_not_count_backwards(state: SharedState) -> None:
    for count in (state.window("a", 1).add, state.window("a", 1).count):
        with pytest.raises(ValueError, match="-1 cannot be counted"):
            count(-1)


# Tables.


def test_table(state: SharedState) -> None:
    table = state.table("breaker", "qdd")
    assert table.get("a") is None
    table.set("a", (-1, 2, math.inf))
    table.set("b", (2**63 - 1, 0.5, -0.0))
    assert table.get("a") == (-1, 2.0, math.inf)
    assert state.table("breaker", "qdd").get("b") == (2**63 - 1, 0.5, 0.0)
    table.set("a", (0, math.nan, 1))
    assert math.isnan((table.get("a") or (0, 0))[1])


def test_values_keep_their_kind(state: SharedState) -> None:
    table = state.table("t", "qd")
    table.set("a", (1, 1))
    assert [type(value) for value in table.get("a") or ()] == [int, float]


def test_version_is_another_one_after_each_change(make: Make) -> None:
    state = make(SMALL)
    table = state.table("t", "q")
    assert table.version("a") == 0
    seen = []
    for number in range(3):
        table.set("a", (5,))
        seen.append(table.version("a"))
        for other in range(100 * number):  # the record gives way, and is made again
            table.set(f"{other}", (other,))
    assert table.version("a") == 0
    table.set("a", (5,))
    with table.locked("a") as record:
        seen.append(table.version("a"))
        record.values = (5,)
        seen.append(table.version("a"))
    assert table.version("a") == state.table("t", "q").version("a") == seen[-1]
    assert len({0, *seen}) == 6


def test_record_is_changed_where_it_is_held(state: SharedState) -> None:
    table = state.table("t", "qd")
    for _ in range(3):
        with table.locked("a") as record:
            failures, since = record.values or (0, 7.0)
            record.values = (failures + 1, since)
            assert record.values == (failures + 1, since)
    assert table.get("a") == (3, 7.0)


def test_record_is_let_go_after_an_error(state: SharedState) -> None:
    table = state.table("t", "q")
    with pytest.raises(ZeroDivisionError), table.locked("a") as record:
        record.values = (1 // 0,)
    table.set("a", (1,))
    assert table.get("a") == (1,)


def test_blocks_cannot_be_nested(state: SharedState) -> None:
    table = state.table("t", "q")
    with table.locked("a") as record:
        with pytest.raises(RuntimeError, match="cannot be nested"):
            table.set("b", (1,))
        with pytest.raises(RuntimeError, match="cannot be nested"), table.locked("a"):
            pass
        with pytest.raises(RuntimeError, match="cannot be nested"):
            state.table("u", "q").set("a", (1,))
        record.values = (2,)
    assert table.get("a") == (2,)


@pytest.mark.parametrize("values", [(), (1,), (1, 2, 3), (1.5, 2), ("1", 2), (2**63, 1)])
def test_values_that_do_not_fit(state: SharedState, values: tuple[float, ...]) -> None:
    table = state.table("t", "qd")
    table.set("a", (1, 2))
    with pytest.raises(ValueError, match=r"^table t: "):
        table.set("a", values)
    assert table.get("a") == (1, 2)


@pytest.mark.parametrize("fields", ["", "i", "qx", "q d", "ddddddd"])
def test_fields_that_there_are_not(state: SharedState, fields: str) -> None:
    with pytest.raises(ValueError, match='table t: fields are 1 to 6 letters "q" or "d"'):
        state.table("t", fields)


# Bounds.


def test_what_was_not_used_for_longest_gives_way(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1_000_000))
    monkeypatch.setattr("time.monotonic_ns", lambda: next(ticks) << 20)
    state = make(SMALL)
    hot = state.counter("hot")
    for number in range(100):
        hot.add()
        state.counter(f"cold {number}").add()
    assert hot.value == state.counter("hot").value == 100
    stats = state.stats()
    assert (stats.used["counters"], stats.slots["counters"]) == (16, 16)
    assert stats.evictions["counters"] == 101 - 16
    assert (stats.used["windows"], stats.evictions["windows"]) == (0, 0)
    assert state.counter("cold 0").value == 0
    assert state.counter("cold 99").value == 1


def test_gauges_that_are_not_zero_go_last(make: Make) -> None:
    state = make(SMALL)
    held = [state.gauge(f"held {number}") for number in range(10)]
    for gauge in held:
        gauge.add()
    for number in range(100):
        passing = state.gauge(f"passing {number}")
        passing.add()
        passing.add(-1)
    assert [gauge.value for gauge in held] == [1] * 10


def test_all_kinds_are_bounded(make: Make) -> None:
    state = make(SMALL)
    for number in range(200):
        state.values("v").set(f"{number}", b"v", 60)
        state.values("v", value_bytes=100).set(f"{number}", b"v", 60)
        for size in (64, 100):
            quota = Quota(b"q", 60, used_up=False)
            state.quotas("q", value_bytes=size).change(f"{number}", lambda _: quota)  # noqa: B023
        state.counter(f"{number}").add()
        state.gauge(f"{number}").add()
        state.window(f"{number}", 10).add()
        state.table("t", "q").set(f"{number}", (number,))
        assert state.table("t", "q").get(f"{number}") == (number,)
    stats = state.stats()
    assert stats.used == dict.fromkeys(stats.used, 16) | {"locks": 0}
    assert stats.evictions == dict.fromkeys(stats.used, 184) | {"locks": 0}


def test_who_holds_on_to_an_evicted_record_gets_a_new_one(make: Make) -> None:
    state = make(SMALL)
    counter, gauge, window = state.counter("a"), state.gauge("a"), state.window("a", 10)
    counter.add(5)
    gauge.add(1)
    window.add(5, now=0)
    for number in range(100):
        state.counter(f"{number}").add()
        state.gauge(f"{number}").add()
        state.window(f"{number}", 10).add(now=0)
    assert (counter.value, gauge.value, window.total(now=0)) == (0, 0, 0)
    assert (counter.add(), gauge.add(-1), window.add(now=0)) == (1, 0, 1)
    again = state.counter("a"), state.gauge("a"), state.window("a", 10)
    assert (again[0].add(), again[1].add(), again[2].add(now=0)) == (2, 1, 2)
    assert (counter.add(), gauge.value, window.total(now=0)) == (3, 1, 2)
    assert counter.value == 3


def test_numbers_that_are_too_large_are_cut_off() -> None:
    state = segment_of_many(SMALL)
    assert state.counter("a").add(10**30) == 2**55 - 1
    assert state.counter("a").add(-(10**30)) == 1 - 2**55
    assert state.gauge("a").add(10**30) == 2**55 - 1
    assert state.window("a", 1).add(10**30, now=0) == 2**36 - 1
    assert state.window("a", 1).add(10**30, now=1) == 2 * (2**36 - 1)
    assert (state.counter("b").value, state.window("b", 1).total()) == (0, 0)
