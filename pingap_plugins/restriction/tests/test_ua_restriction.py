"""ua_restriction: lists of expressions, in bounded time whatever they are."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_restriction.expressions import Expressions, compile_expression

from pingap.testing import Proxy, Upstream, configuration_problems

Guarded = Callable[..., Proxy]
LISTED = ["go-http-client/1.1", "(?i)curl", "^Sneaky"]


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "ua_restriction"\n{keys}\n')


@pytest.mark.parametrize(
    ("agent", "is_listed"),
    [
        ("go-http-client/1.1", True),
        ("x go-http-client/1.1 y", True),
        ("Go-http-client/1.1", False),
        ("CURL/8", True),
        ("Sneaky", True),
        ("Not Sneaky", False),
        ("", False),
        (None, False),
    ],
)
@pytest.mark.parametrize("kind", ["allow", "deny"])
def test_types(guarded: Guarded, agent: str | None, is_listed: bool, kind: str) -> None:
    proxy = guarded("ua_restriction", type=kind, ua_list=LISTED)
    answer = proxy.get("/", headers={} if agent is None else {"User-Agent": agent})
    passes = is_listed is (kind == "allow")
    assert answer.status == (200 if passes else 403)
    assert answer.text == ("ok" if passes else "Request is forbidden")


def test_the_message(guarded: Guarded, upstream: Upstream) -> None:
    proxy = guarded("ua_restriction", ua_list=["Mozilla"], message="No robots", status=418)
    answer = proxy.get("/", headers={"User-Agent": "curl"})
    assert (answer.status, answer.text) == (418, "No robots")
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "empty list refuses every request"),
        ("ua_list = ['a', '(']", "ua_list[1]"),
        ("ua_list = ['(?=a)b']", "is not a regular expression"),
        ("ua_list = ['']", "an empty expression is found in every text"),
        ("ua_list = 'curl'", "ua_list"),
        ("ua_list = ['a']\ntype = 'no'", "type"),
        ("ua_list = ['a']\nfail_open = true", "fail_open"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found


def test_an_empty_list_denies_nobody(guarded: Guarded) -> None:
    assert guarded("ua_restriction", type="deny").get("/").status == 200


# Attacks.


@pytest.mark.parametrize(
    "lines",
    [
        [("User-Agent", "curl/8"), ("User-Agent", "Mozilla/5.0")],
        [("User-Agent", "Mozilla/5.0"), ("user-agent", "curl/8")],
        [("User-Agent", "cu"), ("User-Agent", "rl")],
        [("USER-AGENT", "Mozilla\xe9 curl")],
        [("User-Agent", "\tcurl ")],
        [("User-Agent", "x" * 7000 + "curl")],
    ],
)
def test_a_denied_agent_cannot_hide(guarded: Guarded, lines: list[tuple[str, str]]) -> None:
    proxy = guarded("ua_restriction", type="deny", ua_list=["curl", "cu, rl"])
    proxy.configure("servers.web", enabled_h2=True)
    assert proxy.get("/", headers=lines).status == 403
    with proxy.connect_http2() as client:
        lowered = [(name.lower(), value.strip()) for name, value in lines]
        assert client.get("/", headers=lowered).status == 403


@pytest.mark.parametrize(
    "agent", ["Бот/1".encode(), "Bücher/1".encode(), "Bücher".encode("latin-1")]
)
def test_an_agent_beyond_ascii(guarded: Guarded, agent: bytes) -> None:
    with guarded("ua_restriction", type="deny", ua_list=["^Бот", "Bücher"]).connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: " + agent + b"\r\n\r\n")
        assert client.read_head().status == 403


def test_an_agent_that_is_not_forwarded_is_none(guarded: Guarded, upstream: Upstream) -> None:
    hidden = {"User-Agent": "Good/1", "Connection": "User-Agent"}
    assert guarded("ua_restriction", ua_list=["^Good"]).get("/", headers=hidden).status == 403
    assert upstream.requests == []


def test_every_line_has_to_be_allowed(guarded: Guarded) -> None:
    proxy = guarded("ua_restriction", ua_list=["^Good"])
    both = [("User-Agent", "Good/1"), ("User-Agent", "curl")]
    assert proxy.get("/", headers=both).status == 403
    assert proxy.get("/", headers=both[::-1]).status == 403
    assert proxy.get("/", headers=[both[0], both[0]]).status == 200


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", {}),
        ("HEAD", {}),
        ("POST", {"Content-Type": "application/grpc", "TE": "trailers"}),
        ("GET", {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                 "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}),
    ],
)  # fmt: skip
def test_every_kind_of_request(guarded: Guarded, method: str, headers: dict[str, str]) -> None:
    proxy = guarded("ua_restriction", type="deny", ua_list=["curl"])
    assert proxy.request(method, "/", headers={**headers, "User-Agent": "curl"}).status == 403


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(?i)(a*)*b", r"(\w+\s?)*!$"])
def test_no_expression_takes_long(pattern: str) -> None:
    for expressions in ([pattern], [pattern, "curl"], [f"(?x){pattern} # x", "curl"]):
        found = Expressions(expressions)
        began = time.process_time()
        found.find("a" * 60_000 + "?")
        assert time.process_time() - began < 1


# Several expressions as one.

PATTERNS = st.lists(
    st.sampled_from(
        [
            "a",
            "^a",
            "b$",
            "a|b",
            "(?i)A",
            "(?P<n>a)b",
            "(?<n>b)a",
            "(?x)a # b",
            "[ab]{2}",
            r"\bc",
            "",
        ]
    ),
    max_size=5,
)


@given(PATTERNS, st.text("abAB cé", max_size=6))
def test_a_list_finds_what_its_expressions_find(patterns: list[str], text: str) -> None:
    wanted = any(compile_expression(one).search(text) for one in patterns)
    assert Expressions(patterns).find(text) is wanted


def test_expressions_are_combined_where_that_is_possible() -> None:
    assert len(Expressions(["a", "(?i)b", "c$"])._patterns) == 1
    assert len(Expressions(["(?P<n>a)", "(?P<n>b)"])._patterns) == 2
    assert len(Expressions(["(?x)a # c", "b"])._patterns) == 2
    assert len(Expressions(["(?ix-s:a # c\n)", "b"])._patterns) == 2
