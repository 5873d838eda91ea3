"""Attempts to tell the upstream, or a service that decides, another user than the one that was verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from test_jwt import SECRET, bearer, hs256, soon

from pingap.testing import Proxy, Upstream

FORGED = [
    {"X_User": "root"},
    {"x_user": "root"},
    {"X-user": "root"},
    {"X-User": "root", "X_User": "root"},
    {"Connection": "close, X-User, x-groups"},
    {"Connection": "close, X_User", "X_User": "root"},
]


def _jwt(proxy: Proxy, service: Upstream) -> Mapping[str, str]:
    settings = {"header": "Authorization", "secret": SECRET, "claim_headers": {"X-User": "sub"}}
    proxy.location("/", plugins=[("jwt", settings)])
    return bearer(hs256(soon()))


def _key_auth(proxy: Proxy, service: Upstream) -> Mapping[str, str]:
    settings = {"header": "X-Key", "named_keys": {"alice": "sesame"}, "name_header": "X-User"}
    proxy.location("/", plugins=[("key_auth", settings)])
    return {"X-Key": "sesame"}


def _forward_auth(proxy: Proxy, service: Upstream) -> Mapping[str, str]:
    service.reply("/check", b"", headers={"X-User": "alice"})
    url = f"http://{service.addr}/check"
    settings = {"auth_url": url, "add_headers": ["X-User", "X-Groups"]}
    proxy.location("/", plugins=[("forward_auth", settings)])
    return {}


@pytest.mark.parametrize("guard", [_jwt, _key_auth, _forward_auth])
@pytest.mark.parametrize("keeps", [False, True])
def test_a_name_with_underscores_or_that_connection_lists(
    proxy: Proxy,
    upstream: Upstream,
    guard: Callable[[Proxy, Upstream], Mapping[str, str]],
    keeps: bool,
) -> None:
    """Applications of CGI and WSGI read ``X_User`` as ``X-User``."""
    proxy.configure("servers.web", enabled_h2=True, keep_shadowing_headers=keeps)
    with Upstream() as service:
        credential = guard(proxy, service)
        for forged in FORGED:
            assert proxy.get("/", headers={**credential, **forged}).status == 200
            if "Connection" in forged:  # not allowed over HTTP/2
                continue
            sent = {name.lower(): value for name, value in {**credential, **forged}.items()}
            with proxy.connect_http2() as client:
                assert client.request("GET", "/", headers=sent).status == 200
        asked = list(service.requests)
    for request in [*upstream.requests, *asked]:
        found = [(k.lower().replace("_", "-"), v) for k, v in request.headers]
        users = [value for name, value in found if name == "x-user"]
        assert users == (["alice"] if request in upstream.requests else [])


def test_a_service_is_not_told_who_a_client_claims_to_be(proxy: Proxy, upstream: Upstream) -> None:
    """A service that trusts ``Remote-User`` of pingap must not get that of a client."""
    forged = {"Remote-User": "root", "Remote_User": "root", "X-Other": "1", "Authorization": "a"}
    with Upstream() as service:
        url = f"http://{service.addr}/check"
        added = ["Remote-User", "Authorization"]
        proxy.location("/", plugins=[("forward_auth", {"auth_url": url, "add_headers": added})])
        assert proxy.get("/", headers=forged).status == 200
        asked = service.received_once()
    names = {name.lower().replace("_", "-") for name, _ in asked.headers}
    assert "remote-user" not in names
    assert (asked.header("x-other"), asked.header("authorization")) == ("1", "a")
    assert upstream.received_once().header("authorization") is None


@pytest.mark.parametrize(
    "target",
    [
        "/echo/../login",
        "/echo;x/../login",
        "/echo/%2e%2e/login",
        "/echo/%2E./login",
        "//login",
        "/./login",
        "/login/.",
        "/login/x/..",
    ],
)
def test_a_login_is_exempt_only_under_its_own_name(
    proxy: Proxy, upstream: Upstream, target: str
) -> None:
    """An upstream that does not resolve ``..`` would answer for another path, and that would be signed."""
    settings = {"header": "Authorization", "secret": SECRET, "auth_path": "/login"}
    proxy.location("/", plugins=[("jwt", settings)])
    upstream.reply("/", b'{"sub": "root"}')
    with proxy.connect() as client:
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert client.answer().status in (400, 401)
        assert client.get("/l%6fgin?x").status == 502  # a spelling of the same path: not JSON
    assert [one.target for one in upstream.requests] == ["/l%6fgin?x"]


def test_a_token_that_nobody_verified_does_not_reach_the_upstream(
    proxy: Proxy, upstream: Upstream
) -> None:
    """The token of the header is verified; an upstream that reads the cookie would trust that one."""
    places = {"header": "Authorization", "cookie": "token", "query": "token"}
    proxy.location("/", plugins=[("jwt", {**places, "secret": SECRET})])
    good, forged = hs256(soon()), hs256(soon(sub="root"), "x" * 32)
    cookies = {"Cookie": f"a=b; token={forged}"}
    assert proxy.get(f"/?a&token={forged}", headers={**bearer(good), **cookies}).status == 200
    assert proxy.get(f"/?token={forged}", headers={"Cookie": f"token={good}"}).status == 200
    assert proxy.get(f"/?token={good}", headers={**bearer(good)}).status == 200
    first, second, third = upstream.requests
    assert (first.target, first.header("cookie")) == ("/?a", "a=b")
    assert (second.target, second.header("cookie")) == ("/", f"token={good}")
    assert third.target == f"/?token={good}"  # the same one
    assert forged not in str([one.headers for one in upstream.requests])
