"""Conditions of locations: negation, alternatives, expressions, methods and clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest

from pingap.proxy.conditions import Asked, ClientCondition, ConditionKind, ValueCondition
from pingap.proxy.routes import Route
from pingap.proxy.routing import Router

HEADER, QUERY, COOKIE = ConditionKind.HEADER, ConditionKind.QUERY, ConditionKind.COOKIE


@dataclass
class Request:
    """A request as conditions see it; header names in lower case."""

    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""
    method: str = "GET"

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


@dataclass
class Client:
    """A client with an address."""

    address: str

    def client_ip(self, _: object) -> str:
        return self.address


def holds(kind: ConditionKind, entry: str, request: Request) -> bool:
    return ValueCondition.parse(kind, entry).holds(Asked(request))


@pytest.mark.parametrize(
    ("entry", "value", "held"),
    [
        ("!X-A", None, True),
        ("!X-A", "", False),
        ("!X-A:1", None, True),
        ("!X-A:1", "2", True),
        ("!X-A:1", "1", False),
        ("!X-A:1", "0, 1", False),
        ("X-A:~^b+$", "bb", True),
        ("X-A:~^b+$", "abb", False),
        ("X-A:~^b+$", None, False),
        ("!X-A:~b", "abc", False),
        ("!X-A:~b", None, True),
        ("X-A:~ü$", "Mü".encode().decode("latin-1"), True),
        ("X-A:~.", "\xff", True),
        ("X-A:1 | X-A:2", "2", True),
        ("X-A:1 | X-A:2", "3", False),
        ("X-A:1|2", "1|2", True),
        ("X-A:1|2", "1", False),
        ("X-B | !X-A:3", "2", True),
        ("X-B | !X-A:3", "3", False),
        ("X-A: !1", "!1", True),
    ],
)
def test_a_header(entry: str, value: str | None, held: bool) -> None:
    request = Request({} if value is None else {"x-a": value})
    assert holds(HEADER, entry, request) is held


@pytest.mark.parametrize(
    ("entry", "query", "held"),
    [
        ("!a", "b=1", True),
        ("!a", "a", False),
        ("!a:1", "a=2&a=1", False),
        ("a:~^[0-9]+$", "a=x&a=%31", True),
        ("a:~é", "a=caf%C3%A9", True),
        ("a:1 | b", "b=", True),
        ("a:1 | b", "a=2", False),
    ],
)
def test_a_query(entry: str, query: str, held: bool) -> None:
    assert holds(QUERY, entry, Request(query=query)) is held


@pytest.mark.parametrize(
    ("entry", "held"), [("!a", False), ("!c", True), ("a:~^1", True), ("c | b:2", True)]
)
def test_a_cookie(entry: str, held: bool) -> None:
    assert holds(COOKIE, entry, Request({"cookie": "a=1; b=2"})) is held


def test_methods() -> None:
    router = Router(
        [
            Route(target="write", path="/", match_methods=("POST", "PUT")),
            Route(target="rest", path="/"),
        ]
    )
    chosen = [router.match("", "/", Request(method=method)) for method in ("POST", "GET", "post")]
    assert [found and found[0] for found in chosen] == ["write", "rest", "rest"]


@pytest.mark.parametrize(
    ("address", "chosen"),
    [
        ("10.1.2.3", "inside"),
        ("192.168.0.1", "outside"),
        ("2001:db8::7", "inside"),
        ("fe80::1%eth0", "inside"),
        ("", "outside"),
    ],
)
def test_clients(address: str, chosen: str) -> None:
    networks = tuple(map(ip_network, ("10.0.0.0/8", "2001:db8::/32", "fe80::/10")))
    router = Router([Route(target="inside", match_ips=networks), Route(target="outside")])
    found = router.match("", "/", Request(), Client(address))
    assert found is not None
    assert found[0] == chosen


def test_why_a_condition_does_not_hold() -> None:
    parse = ValueCondition.parse
    assert parse(HEADER, "X-A | !X-B:1").failure() == 'header: "x-a" is missing, and "x-b" is "1"'
    assert parse(QUERY, "a:~b").failure() == 'query: "a" does not match ~b'
    assert parse(COOKIE, "!a:~b").failure() == 'cookie: "a" matches ~b'
    assert parse(COOKIE, "!a").failure() == 'cookie: "a" is there'
    client = ClientCondition((ip_network("10.0.0.0/8"),))
    assert client.failure() == "client: it is not in 10.0.0.0/8"


def test_equal_conditions_are_equal() -> None:
    assert ValueCondition.parse(HEADER, "X-A:~b") == ValueCondition.parse(HEADER, "x-a: ~b")
    assert ValueCondition.parse(HEADER, "!X-A") != ValueCondition.parse(HEADER, "X-A")
