"""Timestamps, weighted turns, chains and deadlines."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import BodyFilter, Plugin, PluginSettings, Response, hookimpl
from pingap.hookspecs import LOCATION_PHASES, PHASES, SERVER_PHASES
from pingap.observability.timestamps import Timestamp, local_time
from pingap.plugins.chains import Chains, ContractError, Instance, check_class, freeze
from pingap.upstream.balancing.schedule import smooth_schedule, turns
from pingap.wire.deadlines import Deadlines

# Timestamps.


def test_local_time_is_now_with_milliseconds_and_offset() -> None:
    text = local_time()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", text)
    assert abs(datetime.now().astimezone() - datetime.fromisoformat(text)) < timedelta(seconds=5)


def test_a_timestamp_is_formatted_once_a_millisecond() -> None:
    clock = Timestamp()
    first = clock.at(1000.0)
    assert clock.at(1000.0005) is first
    assert clock.at(1000.0011) is not first


# Balancing.

WEIGHTS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@given(WEIGHTS)
def test_every_round_gives_each_place_its_weight(weights: list[int]) -> None:
    schedule = smooth_schedule(weights)
    counts = Counter(schedule)
    factor = sum(weights) // len(schedule)
    assert [counts[place] * factor for place in range(len(weights))] == weights


@given(WEIGHTS)
def test_turns_are_spread_over_the_round(weights: list[int]) -> None:
    schedule = smooth_schedule(weights)
    for place in range(len(weights)):
        seen = 0
        share = schedule.count(place) / len(schedule)
        for length, turn in enumerate(schedule, 1):
            seen += turn == place
            assert abs(seen - length * share) <= len(weights)


def test_schedules_by_hand() -> None:
    assert smooth_schedule([1, 1, 1]) == [0, 1, 2]
    assert smooth_schedule([10, 20]) == [1, 0, 1]
    assert smooth_schedule([5, 1]) == [0, 0, 0, 1, 0, 0] or smooth_schedule([5, 1]).count(0) == 5
    assert smooth_schedule([7]) == [0]


def test_heavy_peers_do_not_get_their_turns_in_a_row() -> None:
    schedule = smooth_schedule([3, 3, 2])
    assert all(one != next_ for one, next_ in pairwise(schedule))


def test_round_robin_goes_on_for_ever() -> None:
    taken = list(islice(turns(["a", "b"], [2, 1]), 300))
    assert Counter(taken) == {"a": 200, "b": 100}
    assert taken[:3] == taken[3:6]


# Chains.


class Noted(Plugin):
    category = "noted"

    def __init__(self, tag: str = "") -> None:
        super().__init__(PluginSettings())
        self.tag = tag


class Every(Noted):
    """Implements every phase, each with another choice of arguments."""

    body = "reads"

    @hookimpl
    def server_request(self, ctx: Any) -> Any:
        return (self.tag, ctx)

    @hookimpl
    def early_request(self) -> Any:
        return (self.tag,)

    @hookimpl
    def request(self, request: Any) -> Any:
        return (self.tag, request)

    @hookimpl
    def proxy_upstream(self, ctx: Any) -> Any:
        return (self.tag, ctx)

    @hookimpl
    def request_body(self, ctx: Any, request: Any) -> Any:
        return (self.tag, ctx, request)

    @hookimpl
    def upstream_request(self, peer: Any, headers: Any) -> Any:
        return (self.tag, peer, headers)

    @hookimpl
    def upstream_attempt(self, attempt: Any) -> Any:
        return (self.tag, attempt)

    @hookimpl
    def upstream_error(self, request: Any, error: Any) -> Any:
        return (self.tag, request, error)

    @hookimpl
    def error_page(self, error: Any, ctx: Any) -> Any:
        return (self.tag, error, ctx)

    @hookimpl
    def upstream_response(self, response: Any) -> Any:
        return (self.tag, response)

    @hookimpl
    def upstream_response_body(self, ctx: Any, response: Any) -> Any:
        return (self.tag, ctx, response)

    @hookimpl
    def response(self, request: Any, response: Any, ctx: Any) -> Any:
        return (self.tag, request, response, ctx)

    @hookimpl
    def response_body(self) -> Any:
        return (self.tag,)

    @hookimpl
    def websocket(self, ctx: Any, response: Any) -> Any:
        return (self.tag, ctx, response)

    @hookimpl
    def logging(self, ctx: Any, response: Any, request: Any) -> Any:
        return (self.tag, ctx, response, request)


def test_freeze_keeps_the_listed_order_in_every_phase() -> None:
    chains = freeze([Instance(tag, Every(tag)) for tag in "cab"])
    assert chains.server_request == ()
    for phase in LOCATION_PHASES:
        assert [owner.name for _, owner in getattr(chains, phase)] == ["c", "a", "b"]
    assert chains.filters_response
    assert chains.rewriters == frozenset()


def test_the_chains_of_a_server_have_its_phases_only() -> None:
    chains = freeze([Instance("i", Every("t"))], phases=SERVER_PHASES)
    for phase in PHASES:
        assert bool(getattr(chains, phase)) == (phase in SERVER_PHASES)


def test_calls_take_all_arguments_and_pass_on_those_that_are_named() -> None:
    chains = freeze([Instance("i", Every("t"))])
    calls = {phase: getattr(chains, phase)[0][0] for phase in LOCATION_PHASES}
    assert calls["early_request"]("q", "c") == ("t",)
    assert calls["request"]("q", "c") == ("t", "q")
    assert calls["proxy_upstream"]("q", "c") == ("t", "c")
    assert calls["request_body"]("q", "c") == ("t", "c", "q")
    assert calls["upstream_request"]("q", "h", "p", "c") == ("t", "p", "h")
    assert calls["upstream_attempt"]("q", "a", "c") == ("t", "a")
    assert calls["upstream_error"]("q", "e", "c") == ("t", "q", "e")
    assert calls["error_page"]("q", "e", "c") == ("t", "e", "c")
    assert calls["upstream_response"]("q", "r", "c") == ("t", "r")
    assert calls["upstream_response_body"]("q", "r", "c") == ("t", "c", "r")
    assert calls["response"]("q", "r", "c") == ("t", "q", "r", "c")
    assert calls["response_body"]("q", "r", "c") == ("t",)
    assert calls["websocket"]("q", "r", "c") == ("t", "c", "r")
    assert calls["logging"]("q", "r", "c") == ("t", "c", "r", "q")


def test_freeze_of_nothing_is_empty() -> None:
    assert freeze([]) == Chains()


class Stepped(Noted):
    steps = ("request", "proxy_upstream")

    @hookimpl
    def request(self) -> Response:
        return Response(200)

    @hookimpl
    def response(self) -> None: ...


def test_the_chosen_step_moves_the_first_one_only() -> None:
    chains = freeze([Instance("s", Stepped(), "proxy_upstream"), Instance("d", Stepped())])
    assert [owner.name for _, owner in chains.request] == ["d"]
    assert [owner.name for _, owner in chains.proxy_upstream] == ["s"]
    assert [owner.name for _, owner in chains.response] == ["s", "d"]


class Rewriter(Noted):
    body = "rewrites"

    @hookimpl
    def request_body(self) -> BodyFilter:
        return BodyFilter()


def test_rewriters_are_known_by_name() -> None:
    chains = freeze([Instance("w", Rewriter()), Instance("e", Every())])
    assert chains.rewriters == {"w"}
    assert not freeze([Instance("w", Rewriter())]).filters_response


class Misspelt(Noted):
    @hookimpl
    def reqest(self) -> None: ...


class Wrapper(Noted):
    @hookimpl(wrapper=True)
    def request(self) -> Any:
        return (yield)


class OldWrapper(Noted):
    @hookimpl(hookwrapper=True)
    def request(self) -> Any:
        yield


class Unknown(Noted):
    @hookimpl
    def request(self, requset: Any) -> None: ...


@pytest.mark.parametrize(
    ("cls", "message"),
    [(Misspelt, "reqest.*phases: server_request"), (Wrapper, "is a hook wrapper"),
     (OldWrapper, "is a hook wrapper"), (Unknown, "requset")],
)  # fmt: skip
def test_freeze_refuses_what_no_phase_can_call(cls: type[Noted], message: str) -> None:
    with pytest.raises(ContractError, match=rf"(?s){cls.__name__}.*{message}"):
        freeze([Instance("x", cls())])


class Promise(Noted):
    @hookimpl
    def response_body(self) -> None: ...


class Step(Noted):
    steps = ("request", "later")


def test_check_class() -> None:
    check_class(Every)
    check_class(Stepped)
    with pytest.raises(ContractError, match=r'Promise\.response_body: set body = "reads"'):
        check_class(Promise)
    with pytest.raises(ContractError, match=r"Step\.steps: 'later' is not a phase"):
        check_class(Step)


# Deadlines.


class Waiting:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.told = 0

    def on_deadline(self) -> None:
        self.told += 1
        self.deadline = float("inf")


def test_sweep_tells_what_is_late_once() -> None:
    deadlines = Deadlines()
    early, late, never = Waiting(10.0), Waiting(20.0), Waiting(float("inf"))
    for one in (early, late, never):
        deadlines.watch(one)
    deadlines.sweep(10.0)
    assert (early.told, late.told) == (0, 0)
    deadlines.sweep(10.1)
    assert (early.told, late.told) == (1, 0)
    deadlines.sweep(1e9)
    assert (early.told, late.told, never.told) == (1, 1, 0)


def test_sweep_tells_nobody_who_was_given_more_time_meanwhile() -> None:
    """The end of an upstream's connection answers a client, whose own limit begins anew."""
    deadlines = Deadlines()
    told = []

    class Answers(Waiting):
        def on_deadline(self) -> None:
            told.append(self)
            for one in pair:
                one.deadline = 20.0

    pair = [Answers(10.0), Answers(10.0)]
    for one in pair:
        deadlines.watch(one)
    deadlines.sweep(10.1)
    assert len(told) == 1


def test_forgotten_is_not_told() -> None:
    deadlines = Deadlines()
    waiting = Waiting(1.0)
    deadlines.watch(waiting)
    deadlines.forget(waiting)
    deadlines.forget(waiting)
    deadlines.sweep(2.0)
    assert waiting.told == 0


def test_sweep_may_change_what_is_watched() -> None:
    deadlines = Deadlines()

    class Forgets(Waiting):
        def on_deadline(self) -> None:
            super().on_deadline()
            deadlines.forget(self)
            deadlines.watch(Waiting(0.0))

    forgets = [Forgets(1.0) for _ in range(3)]
    for one in forgets:
        deadlines.watch(one)
    deadlines.sweep(2.0)
    assert [one.told for one in forgets] == [1, 1, 1]


@pytest.mark.parametrize(
    ("limits", "interval"),
    [([], 1.0), ([60.0], 1.0), ([2.0], 0.5), ([2.0, 1.0, 30.0], 0.25), ([0.01], 0.05)],
)
def test_the_interval_is_a_quarter_of_the_shortest_limit(
    limits: list[float], interval: float
) -> None:
    deadlines = Deadlines()
    for limit in limits:
        deadlines.set_precision(limit)
    assert deadlines.interval == interval
