"""Who gets how much, whoever is away."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.balancing.conftest import ALGOS, Traffic, make_peers, request_of, select

from pingap import HTTPError
from pingap.upstream.balancing.schedule import MOST_PLACES, smooth_schedule, turns

WEIGHTS = st.lists(st.integers(1, 5), min_size=1, max_size=8)
EXACT = ("round_robin", "least_conn")
PICKS = 1_500
LOTS = 25_000
"""Many, so that chance stays below a hundredth: a share of a half has a deviation of 0.003."""


def blocked_by(mask: int, count: int) -> list[int]:
    """Return the places of a mask, but never all of them."""
    places = [place for place in range(count) if mask >> place & 1]
    return places if len(places) < count else places[1:]


@pytest.mark.parametrize("algo", EXACT)
@settings(deadline=None, max_examples=40)
@given(weights=WEIGHTS, mask=st.integers(0, 255))
def test_weights_are_kept_among_those_that_are_available(
    algo: str, weights: list[int], mask: int
) -> None:
    peers = make_peers(*weights)
    traffic = Traffic(select(algo, peers))
    traffic.send(7)
    for place in blocked_by(mask, len(peers)):
        peers[place].block("health")
    served = traffic.send(PICKS)
    whole = sum(peer.weight for peer in peers if peer.is_available)
    for peer in peers:
        share = peer.weight / whole if peer.is_available else 0.0
        assert abs(served[peer] / PICKS - share) < 0.01


@pytest.mark.parametrize("algo", ["random", "p2c"])
@pytest.mark.parametrize("weights", [(1, 1), (1, 2, 3), (5, 1, 1, 1, 1), (1,) * 10])
def test_lots_keep_weights(algo: str, weights: tuple[int, ...]) -> None:
    random.seed(1)
    peers = make_peers(*weights, 9)
    peers[-1].block("health")
    served = Traffic(select(algo, peers)).send(LOTS)
    for peer in peers[:-1]:
        assert abs(served[peer] / LOTS - peer.weight / sum(weights)) < 0.01
    assert served[peers[-1]] == 0


@settings(deadline=None, max_examples=30)
@given(weights=st.lists(st.integers(1, 40), min_size=2, max_size=6), in_flight=st.integers(1, 60))
def test_least_conn_keeps_weights_with_requests_in_flight(
    weights: list[int], in_flight: int
) -> None:
    peers = make_peers(*weights)
    traffic = Traffic(select("least_conn", peers), in_flight=in_flight)
    traffic.send(200)
    for _ in range(50):
        traffic.send(1)
        # Nobody has more to do, by its weight, than the others would have with one more.
        least = min((peer.in_flight + 1) / peer.weight for peer in peers)
        assert all((peer.in_flight - 1) / peer.weight <= least for peer in peers)


@settings(deadline=None, max_examples=50)
@given(data=st.data(), weights=WEIGHTS)
def test_least_conn_always_finds_the_least(data: st.DataObject, weights: list[int]) -> None:
    """Whatever ends, comes and goes in which order, as if all had been looked at."""
    peers = make_peers(*weights)
    selection = select("least_conn", peers)
    for _ in range(60):
        what = data.draw(st.sampled_from(["choose", "choose", "more", "end", "block", "unblock"]))
        peer = data.draw(st.sampled_from(peers))
        if what == "block" and sum(one.is_available for one in peers) > 1:
            peer.block("health")
        elif what == "unblock":
            peer.unblock("health")
        elif what == "more":
            peer.in_flight += 1  # chosen by somebody else, such as a cookie
        elif what == "end" and peer.in_flight:
            peer.in_flight -= 1
            assert peer.bookkeeper is not None
            peer.bookkeeper.ended(peer, request_of()[1], failed=False)
        elif what == "choose":
            chosen = selection.choose(*request_of())
            available = [one for one in peers if one.is_available]
            least = min(one.in_flight / one.weight for one in available)
            assert chosen in available
            assert chosen.in_flight / chosen.weight == least
            chosen.in_flight += 1


def test_the_heap_of_least_conn_does_not_grow() -> None:
    selection = select("least_conn", peers := make_peers(*[1] * 10))
    bookkeeper = peers[0].bookkeeper
    Traffic(selection, in_flight=200).send(20_000)
    assert len(bookkeeper._heap) <= 64 + 4 * len(peers)  # type: ignore[union-attr]


def test_least_conn_does_not_give_all_missed_turns_to_one_that_was_busy() -> None:
    peers = make_peers(1, 1)
    traffic = Traffic(select("least_conn", peers))
    peers[0].in_flight = 1
    traffic.send(100)
    peers[0].in_flight = 0
    peers[0].bookkeeper.ended(peers[0], request_of()[1], failed=False)  # type: ignore[union-attr]
    assert traffic.send(20)[peers[0]] in (10, 11)


# p2c


def test_p2c_prefers_the_one_that_has_less_to_do() -> None:
    peers = make_peers(1, 1, 1)
    selection = select("p2c", peers)
    peers[0].in_flight = 10
    assert Traffic(selection).send(3000)[peers[0]] < 500  # drawn twice: 1 of 9


def test_p2c_prefers_the_one_that_answers_sooner_until_it_is_loaded() -> None:
    random.seed(2)
    peers = make_peers(1, 1)
    slow = peers[0]
    traffic = Traffic(
        select("p2c", peers), in_flight=4, seconds=lambda peer: 0.3 if peer is slow else 0.1
    )
    traffic.send(200)
    served = traffic.send(2000)
    assert 0 < served[slow] < 0.4 * 2000


def test_p2c_comes_back_to_one_that_was_slow_once() -> None:
    random.seed(5)
    peers = make_peers(1, 1)
    selection = select("p2c", peers)
    peers[0].latency, peers[0].latency_at = 30.0, 1000.0
    for now, least, most in ((1000.0, 0, 80), (1100.0, 80, 200)):
        peers[1].latency, peers[1].latency_at = 0.1, now
        chosen = [selection.choose(*request_of(at=now)) for _ in range(200)]
        assert least <= chosen.count(peers[0]) < most


def test_p2c_does_not_run_to_one_that_fails_at_once() -> None:
    peers = make_peers(1, 1)
    select("p2c", peers)
    ctx = request_of()[1]
    ctx.upstream_connected_at, ctx.upstream_head_at = ctx.began_at, ctx.began_at + 0.1
    for peer, failed in zip(peers, (True, False), strict=True):
        assert peer.bookkeeper is not None
        peer.bookkeeper.ended(peer, ctx, failed=failed)
    assert peers[0].latency > peers[1].latency > 0
    ctx.upstream_head_at = 0.0
    before = peers[1].latency
    peers[1].bookkeeper.ended(peers[1], ctx, failed=False)  # type: ignore[union-attr]
    assert peers[1].latency == before  # a client that left says nothing of the peer


# Large weights


@settings(max_examples=30)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_turns_are_the_same_worked_out_in_advance_or_not(weights: list[int]) -> None:
    # A weight that makes the round too long, scaled, gives the same order.
    schedule = smooth_schedule(weights)
    assert list(islice(turns(range(len(weights)), weights), 100)) == [
        schedule[place % len(schedule)] for place in range(100)
    ]


def test_large_weights_need_no_large_list() -> None:
    weights = [65535, 65534, 1]
    assert sum(weights) > MOST_PLACES
    taken = list(islice(turns("abc", weights), 131_070))
    assert abs(taken.count("a") - 65535) <= 1
    assert taken.count("c") == 1
    assert all(taken[place : place + 3] != ["a"] * 3 for place in range(1000))


# Any blocked subset


@pytest.mark.parametrize("algo", ALGOS)
@settings(deadline=None, max_examples=60)
@given(count=st.integers(1, 9), mask=st.integers(0, 511), tried=st.integers(0, 511), at=st.text())
def test_one_that_is_available_is_always_found(
    algo: str, count: int, mask: int, tried: int, at: str
) -> None:
    peers = make_peers(*[1] * count)
    selection = select(algo, peers)
    for place in blocked_by(mask, count):
        peers[place].block("health")
    failed = [peer for place, peer in enumerate(peers) if tried >> place & 1]
    fresh = [peer for peer in peers if peer.is_available and peer not in failed]
    for _ in range(3):
        chosen = selection.choose(*request_of(f"/{at}"), failed)
        assert chosen.is_available
        assert chosen in fresh or not fresh


@pytest.mark.parametrize("algo", ALGOS)
def test_the_last_of_a_thousand_is_found(algo: str) -> None:
    peers = make_peers(*[1] * 1000)
    selection = select(algo, peers)
    for peer in peers[:637] + peers[638:]:
        peer.block("health")
    assert all(selection.choose(*request_of(f"/{at}")) is peers[637] for at in range(20))


@pytest.mark.parametrize("algo", ALGOS)
def test_who_comes_back_gets_requests_again(algo: str) -> None:
    peers = make_peers(1, 1)
    traffic = Traffic(select(algo, peers))
    peers[0].block("health")
    peers[0].block("breaker")
    assert traffic.send(50)[peers[0]] == 0
    peers[0].unblock("health")
    assert traffic.send(50)[peers[0]] == 0
    peers[0].unblock("breaker")
    assert 5 < traffic.send(50)[peers[0]] < 45


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize("blocked", [0, 2])
def test_nobody_is_a_503_that_says_when_to_come_again(algo: str, blocked: int) -> None:
    peers = make_peers(*[1] * blocked)
    for peer in peers:
        peer.block("health")
    with pytest.raises(HTTPError) as caught:
        select(algo, peers).choose(*request_of())
    assert caught.value.status == 503
    assert (b"retry-after", b"Retry-After: 5") in caught.value.fields
