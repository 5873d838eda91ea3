"""Who the client is, behind proxies that are trusted and clients that lie."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from pingap import Connection, Headers, Request, RequestContext, field

TRUSTED = tuple(ip_network(text) for text in ("10.0.0.0/8", "fd00::/8", "192.0.2.7"))


def request(*headers: tuple[str, str]) -> Request:
    return Request("GET", "/", Headers([field(name, value) for name, value in headers]))


def connection(remote: str, trusted: bool = True) -> Connection:
    return Connection(1, (remote, 5), ("127.0.0.1", 80), trusted=TRUSTED if trusted else ())


@pytest.mark.parametrize(
    ("remote", "forwarded", "real", "client"),
    [
        # Nothing is believed from a peer that is not listed.
        ("198.51.100.1", ["203.0.113.9"], "203.0.113.8", "198.51.100.1"),
        ("198.51.100.1", [], None, "198.51.100.1"),
        # The walk goes from the right, over trusted hops, to the first that is not.
        ("10.0.0.1", ["203.0.113.9"], None, "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9"], None, "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9 , 10.1.1.1,192.0.2.7"], None, "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6", "203.0.113.9", "10.2.2.2"], None, "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9,,"], None, "203.0.113.9"),
        # X-Real-IP counts only if no hop tells.
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.8", "203.0.113.9"),
        ("10.0.0.1", [], "203.0.113.8", "203.0.113.8"),
        ("10.0.0.1", ["10.3.3.3"], "203.0.113.8", "203.0.113.8"),
        ("10.0.0.1", [], "nonsense", "10.0.0.1"),
        ("10.0.0.1", [], None, "10.0.0.1"),
        # What is no address ends the walk.
        ("10.0.0.1", ["203.0.113.9, unknown"], "6.6.6.6", "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, 10.0.0.2, <script>"], None, "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:x"], None, "10.0.0.1"),
        ("10.0.0.1", ['203.0.113.9, ::1%x "forged"'], None, "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, _hidden"], None, "10.0.0.1"),
        # A port is of no interest.
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9:1234"], None, "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]"], None, "2001:db8::1"),
        ("10.0.0.1", ["6.6.6.6,[2001:db8::1]:80, 10.1.1.1:99 ,"], None, "2001:db8::1"),
        ("10.0.0.1", ["[::ffff:203.0.113.9]:1"], None, "203.0.113.9"),
        ("10.0.0.1", [], "203.0.113.8:1", "203.0.113.8"),
        # All hops are trusted: the first one asked.
        ("10.0.0.1", ["10.0.0.3", "10.0.0.2"], None, "10.0.0.3"),
        # IPv6, and IPv4 in it.
        ("fd00::1", ["2001:db8::1, fd12::2"], None, "2001:db8::1"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], None, "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, ::ffff:10.0.0.2"], None, "203.0.113.9"),
        ("10.0.0.1", ["::ffff:203.0.113.9"], None, "203.0.113.9"),
        # A Unix socket has no address.
        ("", ["203.0.113.9"], None, ""),
    ],
)
def test_client_ip(remote: str, forwarded: list[str], real: str | None, client: str) -> None:
    headers = [("X-Forwarded-For", value) for value in forwarded]
    if real is not None:
        headers.append(("X-Real-IP", real))
    head = request(*headers)
    assert connection(remote).client_ip(head) == client
    assert RequestContext(connection(remote), 0.0).client_ip(head) == client
    untrusted = connection(remote, trusted=False).client_ip(head)
    assert untrusted == remote.removeprefix("::ffff:")


def test_client_ip_is_found_once() -> None:
    ctx = RequestContext(connection("10.0.0.1"), 0.0)
    assert ctx.client_ip(request(("X-Forwarded-For", "203.0.113.9"))) == "203.0.113.9"
    assert ctx.client_ip(request()) == "203.0.113.9"


@pytest.mark.parametrize(
    ("remote", "said", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "http, HTTPS", "https"),
        ("10.0.0.1", "https, http", "http"),
        ("10.0.0.1", "gopher", "http"),
        ("10.0.0.1", "", "http"),
        ("198.51.100.1", "https", "http"),
    ],
)
def test_scheme(remote: str, said: str, scheme: str) -> None:
    ctx = RequestContext(connection(remote), 0.0)
    assert ctx.scheme(request(("X-Forwarded-Proto", said))) == scheme


def test_times_are_unknown_until_they_are_known() -> None:
    ctx = RequestContext(connection("10.0.0.1"), 100.0)
    assert ctx.upstream_processing_time is None
    assert ctx.upstream_response_time is None
    ctx.upstream_connected_at, ctx.upstream_head_at = 100.5, 102.0
    assert ctx.upstream_processing_time == 1.5
    assert ctx.upstream_response_time is None
    ctx.ended_at = 105.0
    assert ctx.upstream_response_time == 3.0
    assert ctx.service_time == 5.0


def test_state_is_made_when_asked_for() -> None:
    ctx, other = (RequestContext(connection("10.0.0.1"), 0.0) for _ in range(2))
    ctx.state["a"] = 1
    assert ctx.state == {"a": 1}
    assert other.state == {}
