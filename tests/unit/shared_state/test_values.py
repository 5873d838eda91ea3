"""Bytes that expire, with one worker and with several."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from pingap import SharedState
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment
from pingap.shared_state.state import Sizes
from pingap.testing import Clock

SMALL = Sizes(values=16, large_values=16)

Make = Callable[[Sizes], SharedState]


@pytest.fixture(params=[LocalState, lambda sizes: SharedSegment(workers=2, sizes=sizes).attach(1)])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
def state(make: Make) -> SharedState:
    return make(Sizes())


def test_entries_expire(state: SharedState) -> None:
    values = state.values("bans")
    values.set("a", b"why", 10, now=100)
    values.set("b", b"", 20, now=100)
    assert values.get("a", now=109.9) == b"why"
    assert (values.get("a", now=110), values.get("b", now=110)) == (None, b"")
    assert values.get("c", now=100) is None
    values.set("a", b"again", 10, now=200)
    assert values.get("a", now=200) == b"again"


def test_time_is_that_of_the_process(state: SharedState) -> None:
    values = state.values("bans")
    with Clock() as clock:
        values.set("a", b"1", 60)
        assert values.get("a") == b"1"
        clock.advance(61)
        assert values.get("a") is None
        assert values.add("a", b"2", 60)
        assert values.get("a") == b"2"


def test_a_key_is_added_once(state: SharedState) -> None:
    values = state.values("used")
    assert values.add("token", b"1", 10, now=100)
    assert not values.add("token", b"2", 10, now=109)
    assert values.get("token", now=109) == b"1"
    assert values.add("token", b"3", 10, now=110)
    values.delete("token")
    assert values.get("token", now=111) is None
    assert values.add("token", b"4", 10, now=111)
    values.delete("nothing")


def test_tables_do_not_share_keys(state: SharedState) -> None:
    state.values("a").set("k", b"1", 9)
    state.values("b").set("k", b"2", 9)
    state.values("a", value_bytes=65).set("k", b"3", 9)
    found = [state.values("a"), state.values("b"), state.values("a", value_bytes=4096)]
    assert [one.get("k") for one in found] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("key", ["", "\0", "\udcff", "ü", "x" * 10_000])
def test_every_text_is_a_key(state: SharedState, key: str) -> None:
    values = state.values("v")
    values.set("x" * 10_001, b"0", 9)
    values.set(key, b"1", 9)
    assert values.get(key) == b"1"


@pytest.mark.parametrize("size", [0, 64, 65, 4096])
def test_the_longest_value_fits(state: SharedState, size: int) -> None:
    values = state.values("v", value_bytes=size)
    values.set("a", b"x" * size, 9)
    assert values.get("a") == b"x" * size
    for write in (values.set, values.add):
        with pytest.raises(ValueError, match=f"values of v: {size + 1} bytes"):
            write("a", b"x" * (size + 1), 9)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_an_expiry_is_positive(state: SharedState, seconds: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        state.values("v").set("a", b"", seconds)


@pytest.mark.parametrize("value_bytes", [-1, 4097])
def test_values_of_a_length_for_which_there_is_no_room(
    state: SharedState, value_bytes: int
) -> None:
    with pytest.raises(ValueError, match="expected at most 4096"):
        state.values("v", value_bytes=value_bytes)


def test_what_expires_first_gives_way(make: Make) -> None:
    state = make(SMALL)
    values = state.values("v")
    for number in range(16):
        values.set(f"{number}", b"", 100 + number, now=0)
    values.set("0", b"", 1000, now=0)  # lives longer now
    values.delete("9")
    for number in range(4):  # the first one takes the place of what was deleted
        values.set(f"new {number}", b"", 500, now=0)
    gone = {str(number) for number in range(16) if values.get(f"{number}", now=1) is None}
    assert gone == {"9", "1", "2", "3"}
    assert state.stats().evictions["values"] == 3


def test_an_entry_that_is_changed_often_needs_no_more_room(make: Make) -> None:
    state = make(SMALL)
    values = state.values("v")
    for turn in range(200):
        values.set("a", b"%d" % turn, 10, now=turn)
        values.set("b", b"%d" % turn, 10, now=turn)
    assert (values.get("a", now=200), values.get("b", now=200)) == (b"199", b"199")
    stats = state.stats()
    assert (stats.used["values"], stats.evictions["values"]) == (2, 0)


class Model(RuleBasedStateMachine):
    """Two workers and one against a dictionary."""

    keys = st.sampled_from("abcdef")
    sides = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        segment = SharedSegment(workers=2)
        self.states: list[SharedState] = [segment.attach(0), segment.attach(1)]
        self.local = LocalState()
        self.expected: dict[str, tuple[float, bytes]] = {}
        self.now = 0.0

    def of(self, side: int) -> list[SharedState]:
        return [self.states[side % 2], self.local]

    def known(self, key: str) -> bytes | None:
        end, value = self.expected.get(key, (0, b""))
        return value if end > self.now else None

    @rule(key=keys, side=sides, value=st.binary(max_size=64), seconds=st.integers(1, 9))
    def set(self, key: str, side: int, value: bytes, seconds: int) -> None:
        for state in self.of(side):
            state.values("v").set(key, value, seconds, self.now)
        self.expected[key] = self.now + seconds, value

    @rule(key=keys, side=sides, value=st.binary(max_size=64), seconds=st.integers(1, 9))
    def add(self, key: str, side: int, value: bytes, seconds: int) -> None:
        absent = self.known(key) is None
        for state in self.of(side):
            assert state.values("v").add(key, value, seconds, self.now) == absent
        if absent:
            self.expected[key] = self.now + seconds, value

    @rule(key=keys, side=sides)
    def delete(self, key: str, side: int) -> None:
        for state in self.of(side):
            state.values("v").delete(key)
        self.expected.pop(key, None)

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(key=keys, side=sides)
    def get(self, key: str, side: int) -> None:
        for state in self.of(side):
            assert state.values("v").get(key, self.now) == self.known(key)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
