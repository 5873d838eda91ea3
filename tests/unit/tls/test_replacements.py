"""Certificates that plugins replaced: the same in every worker, whatever order the messages came in."""

from __future__ import annotations

import itertools
import ssl
from pathlib import Path

import pytest
from support.certificates import Issued, issue, load_certificate
from support.handshake import shake_hands
from support.tls import client_context

from pingap.shared_state.bus import Bus
from pingap.tls.certificates import parse_pair
from pingap.tls.options import TlsOptions
from pingap.tls.replacements import MOST_NAMES, Replacement, Replacements, is_needless
from pingap.tls.selection import Served, ServerTls, owners

A, B, C = issue("a.test"), issue("b.test"), issue("c.test")
TABLES = {"a": "key of a"}


def pem(issued: Issued) -> bytes:
    return parse_pair(issued.cert.encode(), issued.key.encode()).pem


def served(issued: Issued, name: str, *names: str) -> Served:
    certificate = load_certificate(issued.cert, issued.key, ",".join(names), Path())
    return Served(name=name, names=certificate.names, certificate=certificate)


def replacement(name: str, *names: str, version: int = 1, issued: Issued = B) -> Replacement:
    return Replacement(name=name, names=names, pem=pem(issued), version=version)


class Workers:
    """Buses of two workers and their supervisor; messages wait until they are passed on."""

    def __init__(self) -> None:
        self.buses = [Bus(), Bus()]
        self.stores = [Replacements(bus) for bus in self.buses]
        self.news = Bus()
        self.waiting: list[tuple[int, str, str]] = []
        for number, bus in enumerate(self.buses):
            bus.send = lambda key, value, _, number=number: self.waiting.append(
                (number, key, value)
            )

    def pass_on(self, place: int = 0) -> None:
        sender, key, value = self.waiting.pop(place)
        self.news.deliver(key, value)
        self.buses[1 - sender].deliver(key, value)

    def settle(self) -> list[list[Replacement]]:
        """Pass on everything; return what each worker serves, and one that starts then."""
        while self.waiting:
            self.pass_on()
        later = Bus()
        for key, value in self.news.values.items():
            later.deliver(key, value)
        return [one.active(TABLES) for one in (*self.stores, Replacements(later))]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_newest_one_wins_in_whatever_order_messages_come(order: tuple[int, ...]) -> None:
    workers = Workers()
    workers.stores[0].publish("x", "", ("b.test",), pem(A))
    workers.stores[1].publish("x", "", ("b.test",), pem(B))
    workers.stores[0].publish("x", "", ("b.test",), pem(C))
    waiting = workers.waiting
    workers.waiting = [waiting[place] for place in order]
    found = workers.settle()
    assert [[one.pem for one in each] for each in found] == [[pem(C)]] * 3


def test_a_removal_beats_an_older_certificate_that_comes_late() -> None:
    workers = Workers()
    workers.stores[0].publish("x", "", ("b.test",), pem(A))
    workers.pass_on()
    workers.stores[1].publish("x", "", ("b.test",), pem(B))
    late = workers.waiting.pop()
    workers.buses[0].deliver(*late[1:])
    workers.stores[0].remove("x", "")
    workers.waiting.append(late)
    assert workers.settle() == [[], [], []]


def test_a_clock_that_is_set_back_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers()
    workers.stores[0].publish("x", "", ("b.test",), pem(A))
    monkeypatch.setattr("time.time_ns", lambda: 5)
    workers.stores[0].publish("x", "", ("b.test",), pem(B))
    assert [one.pem for one in workers.settle()[1]] == [pem(B)]


def test_a_replacement_is_for_the_content_of_one_table() -> None:
    store = Replacements(Bus())
    store.publish("a", "key of a", ("a.test",), pem(A))
    store.publish("x", "", ("b.test",), pem(B))
    assert [one.name for one in store.active(TABLES)] == ["a", "x"]
    assert [one.name for one in store.active({"a": "other", "x": "new"})] == []
    store.settle({"a": "other"})
    assert [one.name for one in store.active(TABLES)] == ["x"]


@pytest.mark.parametrize("late", [False, True])
def test_one_for_an_old_table_does_not_take_the_place_of_one_for_a_new_one(late: bool) -> None:
    """A worker that still serves the old configuration replaces it after one that has the new one."""
    workers, new = Workers(), {"a": "key of new a"}
    workers.stores[0].publish("a", "key of new a", ("a.test",), pem(A))
    workers.stores[1].publish("a", "key of a", ("a.test",), pem(B))
    workers.pass_on(1 if late else 0)
    found = workers.settle()
    assert [[one.pem for one in each] for each in found] == [[pem(B)]] * 3
    assert [one.pem for one in workers.stores[1].active(new)] == [pem(A)]
    workers.stores[0].remove("a", "key of new a")
    assert [[one.pem for one in each] for each in workers.settle()] == [[pem(B)]] * 3
    assert workers.stores[1].active(new) == []
    for store in workers.stores:
        store.settle(new)
        assert store.active(TABLES) == []


def test_a_removal_is_forgotten_when_no_older_message_can_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = Bus()
    store = Replacements(bus)
    store.publish("x", "", ("b.test",), pem(B))
    store.remove("x", "")
    ((key, text),) = bus.values.items()
    assert not is_needless(key, text, {})
    assert not is_needless("other:x", "{}", {})
    now = Replacement.from_text(text).version
    monkeypatch.setattr("time.time_ns", lambda: now + 61 * 10**9)
    assert is_needless(key, text, {})


def test_limits() -> None:
    store = Replacements(Bus())
    with pytest.raises(ValueError, match="65536 at most"):
        store.publish("x", "", ("b.test",), bytes(65536))
    for name in ("", "x" * 257):
        with pytest.raises(ValueError, match="1 to 256 characters"):
            store.publish(name, "", ("b.test",), b"x")
    for number in range(MOST_NAMES):
        store.publish(f"x{number}", "", ("b.test",), b"x")
    with pytest.raises(ValueError, match=f"{MOST_NAMES} names"):
        store.publish("one more", "", ("b.test",), b"x")
    store.publish("x1", "", ("b.test",), b"y")


def test_no_key_is_shown() -> None:
    one = replacement("x", "b.test")
    store = Replacements(Bus())
    store.publish("x", "", one.names, one.pem)
    assert "PRIVATE" not in repr(one) + repr(store) + str(one)
    assert repr(store) == "<Replacements x>"


def test_who_serves_a_name() -> None:
    first, second = served(A, "a", "one.test", "two.test"), served(B, "b", "two.test", "*")
    waiting = Served(name="w", names=("w.test",))
    new = replacement("b", "two.test", "three.test")
    added = [replacement("z", "three.test", "w.test"), replacement("m", "w.test", "one.test")]
    for replacements in itertools.permutations([new, *added]):
        found = owners((first, waiting, second), replacements)
        assert found == {
            "one.test": first,
            "two.test": first,
            "three.test": new,
            "*": new,
            "w.test": added[1],
        }


def test_a_server_exchanges_certificates_and_keeps_contexts() -> None:
    tls = ServerTls(TlsOptions(), (served(A, "a"),))
    new, other = replacement("a", "a.test"), replacement("x", "*.x.test", issued=C)
    tls.replace([new, other])
    assert peer(tls, "a.test") == der(B)
    assert peer(tls, "deep.x.test") == der(C)
    before = tls._replaced["x"][1]
    tls.replace([replacement("a", "a.test", version=2, issued=A), other])
    assert tls._replaced["x"][1] is before
    tls.replace([])
    assert peer(tls, "a.test") == der(A)
    with pytest.raises(ssl.SSLError):
        peer(tls, "deep.x.test")


def test_one_that_openssl_refuses_leaves_the_one_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tls = ServerTls(TlsOptions(), (), None, [replacement("a", "a.test")])
    weak = Replacement(name="a", names=("a.test",), pem=b"none", version=2)
    tls.replace([weak])
    assert peer(tls, "a.test") == der(B)
    assert "the certificate a of a plugin cannot be used" in caplog.text


def peer(tls: ServerTls, name: str) -> bytes | None:
    _, client = shake_hands(tls.context, client_context(), name)
    return client.getpeercert(binary_form=True)


def der(issued: Issued) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return issued.certificate.public_bytes(Encoding.DER)
