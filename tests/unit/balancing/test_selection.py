"""Backups, weights of 0, panic, slow start, cookies and keys."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.balancing.conftest import ALGOS, SECRET, Traffic, make_peers, request_of, select

from pingap import Balancer, HTTPError, Peer, Request, RequestContext, Usable
from pingap.http.errors import PluginError
from pingap.plugins.balancer import BalancerOptions, without_argument
from pingap.upstream.balancing.ring import Ring
from pingap.upstream.balancing.selection import Balancing, Selection
from pingap.upstream.balancing.standard import pingap_balancers
from pingap.upstream.balancing.sticky import Sticky

# Backups and weights of 0


@pytest.mark.parametrize("algo", ALGOS)
def test_backups_serve_only_while_nobody_else_can(algo: str) -> None:
    peers = make_peers(1, 1, 1, 1, backups=2)
    traffic = Traffic(select(algo, peers))
    served = traffic.send(60)
    assert served[peers[2]] == served[peers[3]] == 0
    peers[0].block("health")
    assert traffic.send(60) == {peers[1]: 60}
    peers[1].block("health")
    served = traffic.send(60)
    assert served[peers[2]] > 5
    assert served[peers[3]] > 5
    peers[0].unblock("health")
    assert traffic.send(60) == {peers[0]: 60}


def test_a_failed_attempt_goes_to_a_backup() -> None:
    peers = make_peers(1, 1, backups=1)
    selection = select("round_robin", peers)
    assert selection.choose(*request_of(), [peers[0]]) is peers[1]
    assert selection.choose(*request_of(), peers) is peers[0]
    peers[1].block("health")
    assert selection.choose(*request_of(), [peers[0]]) is peers[0]


@pytest.mark.parametrize("algo", ALGOS)
def test_a_weight_of_zero_gets_no_requests(algo: str) -> None:
    peers = make_peers(1, 0)
    traffic = Traffic(select(algo, peers, panic=100))
    assert traffic.send(50) == {peers[0]: 50}
    peers[0].block("health")
    assert traffic.send(50) == {peers[0]: 50}  # in panic
    with pytest.raises(HTTPError):
        select(algo, peers).choose(*request_of())


# Panic


@pytest.mark.parametrize("algo", ALGOS)
def test_panic_uses_all_as_if_they_were_available(algo: str) -> None:
    random.seed(3)
    peers = make_peers(1, 1, 1, 1)
    selection = select(algo, peers, panic=50)
    traffic = Traffic(selection)
    peers[0].block("health")
    peers[1].block("health")
    assert set(traffic.send(40)) == {peers[2], peers[3]}  # 50% are not fewer than 50%
    peers[2].block("health")
    assert set(traffic.send(80)) == set(peers)
    assert selection.panics
    peers[3].block("health")
    assert set(traffic.send(80)) == set(peers)
    peers[1].unblock("health")
    peers[2].unblock("health")
    assert set(traffic.send(40)) == {peers[1], peers[2]}
    assert not selection.panics


def test_a_backup_goes_before_panic() -> None:
    peers = make_peers(1, 1, backups=1)
    traffic = Traffic(select("round_robin", peers, panic=60))
    peers[0].block("health")
    assert traffic.send(5) == {peers[1]: 5}
    peers[1].block("health")
    assert traffic.send(5) == {peers[0]: 5}
    assert "panic" in repr(traffic.selection)


# Slow start


@pytest.mark.parametrize("algo", ["round_robin", "random", "p2c", "hash:path", "sticky:backend"])
def test_the_share_of_one_that_came_back_grows_evenly(algo: str) -> None:
    random.seed(4)
    peers = make_peers(1, 1, 1, 1)
    returned = peers[1]
    traffic = Traffic(select(algo, peers, slow_start=10.0))
    full = traffic.send(4000)[returned] / 4000
    assert full > 0.15
    returned.block("health")
    returned.unblock("health")
    began = returned.available_since
    assert traffic.send(4000, at=began)[returned] == 0
    for seconds in (2.5, 5.0, 7.5):
        share = traffic.send(8000, at=began + seconds)[returned] / 8000
        assert abs(share - full * seconds / 10) < 0.03
    assert abs(traffic.send(4000, at=began + 10.0)[returned] / 4000 - full) < 0.03


def test_what_one_that_starts_does_not_get_is_spread() -> None:
    peers = make_peers(1, 1, 1, 1)
    traffic = Traffic(select("round_robin", peers, slow_start=10.0))
    peers[1].block("health")
    peers[1].unblock("health")
    served = traffic.send(4000, at=peers[1].available_since)
    assert max(served.values()) < 4000 * 0.4


def test_least_conn_does_not_run_to_one_that_starts() -> None:
    peers = make_peers(1, 1)
    traffic = Traffic(select("least_conn", peers, slow_start=10.0), in_flight=40)
    traffic.send(200)
    peers[0].block("health")
    peers[0].unblock("health")
    began = peers[0].available_since
    for seconds, least, most in ((0.0, 0, 0), (1.0, 2, 5), (5.0, 10, 15), (10.0, 19, 21)):
        traffic.send(400, at=began + seconds)
        assert least <= peers[0].in_flight <= most


@pytest.mark.parametrize("algo", ALGOS)
def test_nobody_waits_if_all_start(algo: str) -> None:
    peers = make_peers(1, 1)
    traffic = Traffic(select(algo, peers, slow_start=10.0))
    for peer in peers:
        peer.block("health")
    for peer in peers:
        peer.unblock("health")
    assert len(traffic.send(100, at=peers[0].available_since)) >= 1


def test_a_client_that_has_a_peer_does_not_lose_it_to_slow_start() -> None:
    peers = make_peers(1, 1)
    selection = select("sticky:backend", peers, slow_start=10.0)
    cookie = cookie_of(selection, peers[0])
    peers[0].block("health")
    peers[0].unblock("health")
    asked = request_of(headers={"Cookie": cookie}, at=peers[0].available_since)
    assert selection.choose(*asked) is peers[0]


# Hashes


@settings(deadline=None, max_examples=25)
@given(count=st.integers(2, 12), gone=st.integers(0, 11))
def test_one_that_goes_moves_only_its_own_keys(count: int, gone: int) -> None:
    peers = make_peers(*[1] * count)
    removed = peers[gone % count]
    keys = [f"/item/{place}" for place in range(2000)]
    before, after = Ring(peers), Ring([peer for peer in peers if peer is not removed])
    for key in keys:
        owner = before.find(key, lambda peer: True)
        found = after.find(key, lambda peer: True)
        assert found is owner or owner is removed
        # Being away is the same as not being there.
        assert before.find(key, lambda peer: peer is not removed) is found
    share = sum(before.find(key, lambda peer: True) is removed for key in keys) / len(keys)
    assert 0.5 / count < share < 1.6 / count


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3), (10, 10, 40), (1,) * 10])
def test_rings_keep_weights_roughly(weights: tuple[int, ...]) -> None:
    ring = Ring(make_peers(*weights))
    found = Counter(ring.find(f"/{place}", lambda peer: True) for place in range(50_000))
    for peer, number in found.items():
        assert peer is not None
        assert 0.8 < number / 50_000 / (peer.weight / sum(weights)) < 1.2


def test_a_ring_does_not_depend_on_the_order_of_peers() -> None:
    peers = make_peers(3, 1, 2)
    one, other = Ring(peers), Ring(peers[::-1])
    for place in range(500):
        key = f"k{place}"
        assert one.find(key, lambda peer: True) is other.find(key, lambda peer: True)


def test_a_ring_stays_the_same_between_versions() -> None:
    """Or all keys would move with an update of pingap."""
    ring = Ring(make_peers(1, 1, 1, 1))
    found = [ring.find(f"/{place}", lambda peer: True) for place in range(12)]
    assert [peer.text[-1] for peer in found if peer] == list("200130303222")


def test_huge_rings_are_bounded() -> None:
    assert len(Ring(make_peers(*[65535] * 50))._points) < 60_000
    assert len(Ring(make_peers(*[1] * 60, 60000))._points) < 60_000


@pytest.mark.parametrize(
    ("algo", "same", "other"),
    [
        ("hash", ("/a?x=1", {}), ("/b?x=1", {})),
        ("hash:path", ("/a?x=1", {}), ("/b?x=1", {})),
        ("hash:url", ("/a?x=1", {"X": "1"}), ("/a?x=2", {})),
        ("hash:query:x", ("/?x=1&y=1", {}), ("/?x=2", {})),
        ("hash:header:X-Key", ("/a", {"x-key": "a"}), ("/a", {"x-key": "b"})),
        ("hash:cookie:sid", ("/a", {"Cookie": "a=b; sid=3"}), ("/a", {"Cookie": "sid=4"})),
    ],
)
def test_what_a_hash_is_made_of(
    algo: str, same: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]]
) -> None:
    selection = select(algo, make_peers(*[1] * 200))
    chosen = {selection.choose(*request_of(*same)) for _ in range(5)}
    assert len(chosen) == 1
    assert chosen != {selection.choose(*request_of(*other))}


@pytest.mark.parametrize("algo", ["hash:header:X", "hash:cookie:x", "hash:query:x"])
def test_requests_without_a_key_are_spread(algo: str) -> None:
    peers = make_peers(1, 1, 1)
    selection = select(algo, peers)
    assert Counter(selection.choose(*request_of()) for _ in range(9)) == dict.fromkeys(peers, 3)


# Cookies


def cookie_of(selection: Selection, peer: Peer) -> str:
    """Return the cookie that binds to a peer."""
    for _ in range(100):
        request, ctx = request_of()
        if selection.choose(request, ctx) is peer:
            return ctx.choice_fields[0][1].decode().removeprefix("Set-Cookie: ").partition(";")[0]
    raise AssertionError(f"{peer} is never chosen")


def test_a_cookie_means_the_same_to_all_who_have_the_secret() -> None:
    peers, others = make_peers(1, 1, 1), make_peers(1, 1, 1, 5)[::-1]
    cookie = cookie_of(select("sticky:backend", peers), peers[1])
    request, ctx = request_of(headers={"Cookie": f"a=b; {cookie}"})
    assert select("sticky:backend", others).choose(request, ctx).text == peers[1].text
    assert not ctx.choice_fields
    assert "10.0.0.1" not in cookie
    again = Sticky(peers, "backend", b"another secret of tests", "up")
    assert cookie.partition("=")[2] not in again._by_tag
    assert cookie.partition("=")[2] not in Sticky(peers, "backend", SECRET, "other")._by_tag


def test_a_drained_peer_keeps_its_clients() -> None:
    peers = make_peers(1, 1)
    cookie = cookie_of(select("sticky:backend", peers), peers[1])
    peers[1].weight = 0
    selection = select("sticky:backend", peers)
    asked = request_of(headers={"Cookie": cookie})
    assert selection.choose(*asked) is peers[1]
    assert Traffic(selection).send(20) == {peers[0]: 20}


def test_the_cookie_of_an_attempt_that_failed_is_not_given() -> None:
    peers = make_peers(1, 1)
    selection = select("sticky:backend", peers)
    cookie = cookie_of(selection, peers[0])
    request, ctx = request_of(headers={"Cookie": cookie})
    assert selection.choose(request, ctx, [peers[0]]) is peers[1]
    assert ctx.choice_fields
    assert selection.choose(request, ctx, peers) is peers[0]
    assert not ctx.choice_fields


# What cannot be


@pytest.mark.parametrize(
    ("algo", "text"),
    [
        ("round_robin:x", "expected nothing after the word"),
        ("p2c:", None),
        ("hash:pth", 'hash:query:<name>; did you mean "hash:path"?'),
        ("hash:header:", "expected one of hash:url"),
        ("hash:url:x", "expected one of hash:url"),
        ("sticky:", 'expected the name of a cookie after the colon, such as "sticky:backend"'),
        ("sticky:a b", "expected the name of a cookie"),
    ],
)
def test_an_argument_that_cannot_be_is_told(algo: str, text: str | None) -> None:
    if text is None:
        select(algo, make_peers(1))
        return
    with pytest.raises(ValueError, match="expected") as caught:
        select(algo, make_peers(1))
    assert text in str(caught.value)


def test_a_secret_must_be_long() -> None:
    options = BalancerOptions(argument="a", secret=b"short")
    with pytest.raises(ValueError, match="needs sticky_secret, of at least 16 characters"):
        pingap_balancers()["sticky"]([], options)


class Broken(Balancer):
    """Fails."""

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        raise LookupError("no luck")


def test_a_balancer_that_raises_is_an_error_of_a_plugin() -> None:
    selection = Selection("up", make_peers(1), Balancing(factory=without_argument(Broken)))
    with pytest.raises(PluginError) as caught:
        selection.choose(*request_of())
    assert str(caught.value) == "plugin upstreams.up.algo failed in choose"
    assert isinstance(caught.value.__cause__, LookupError)
