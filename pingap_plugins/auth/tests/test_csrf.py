"""``csrf`` as browsers and attackers see it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_auth.csrf_tokens import CsrfTokens
from pingap_auth.origins import normalised

from pingap.testing import Answer, Clock, Proxy, Upstream, configuration_problems

KEY = "0123456789abcdef0123456789abcdef"
REFUSED = (401, "Csrf token is empty or invalid")


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


def make_site(proxy: Proxy, **more: Any) -> Proxy:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", plugins=[("csrf", {"token_path": "/token", "key": KEY, **more})])
    return proxy


def issue(proxy: Proxy, cookie: str = "", **headers: str) -> str:
    if cookie:
        headers["Cookie"] = cookie
    answer = proxy.get("/token", headers=headers)
    assert answer.status == 204
    return answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]


def post(proxy: Proxy, token: str, cookie: str | None = None, **headers: str) -> Answer:
    sent = {"Cookie": cookie if cookie is not None else f"x-csrf-token={token}", **headers}
    return proxy.request("POST", "/", headers={"X-CSRF-Token": token, **sent})


def test_a_token_is_issued(proxy: Proxy, upstream: Upstream) -> None:
    site = make_site(proxy)
    for method in ("GET", "POST", "HEAD"):
        answer = site.request(method, "/token")
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["Cache-Control"] == "private, no-store"
        cookie = answer.headers["Set-Cookie"]
        assert re.fullmatch(
            r"x-csrf-token=[\w-]{22}\.[0-9a-f]{8}\.[\w-]{43}; Path=/; SameSite=Lax", cookie
        )
    assert upstream.requests == []


def test_the_cookie_of_https(proxy: Proxy) -> None:
    proxy.configure("basic", trusted_proxies=["127.0.0.1"])
    site = make_site(proxy, ttl="1h")
    answer = site.get("/token", headers={"X-Forwarded-Proto": "https"})
    attributes = answer.headers["Set-Cookie"].partition("; ")[2]
    assert attributes == "Max-Age=3600; Path=/; Secure; SameSite=Lax"
    assert "; Secure" not in site.get("/token").headers["Set-Cookie"]


def test_only_changing_requests_need_it(proxy: Proxy, upstream: Upstream) -> None:
    site = make_site(proxy)
    for method in ("GET", "HEAD", "OPTIONS"):
        assert site.request(method, "/").status == 200
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get", "GETX"):
        assert site.request(method, "/").status in (401, 405)
    assert len(upstream.requests) == 3


def test_a_request_with_its_token(proxy: Proxy, upstream: Upstream) -> None:
    site = make_site(proxy)
    token = issue(site)
    assert post(site, token).status == 200
    with site.connect_http2() as client:
        headers = {"x-csrf-token": token, "cookie": f"a=b; x-csrf-token={token}"}
        assert client.request("POST", "/", headers=headers).status == 200
    assert len(upstream.requests) == 2


def test_what_is_refused(proxy: Proxy, upstream: Upstream) -> None:
    site = make_site(proxy)
    token, other = issue(site), issue(site)
    head, tag = token.rsplit(".", 1)
    forged = [
        "", "x", "a.b.c", token + "x", token[:-1], token.upper(), f" {token} x", f"{head}.", f".{tag}",
        f"{head}.{'A' * 43}", token.replace(head[-1] + "." + tag, "0." + tag), "A" * 20_000,
    ]  # fmt: skip
    for one in forged:
        assert told(post(site, one)) == REFUSED
    assert told(post(site, token, f"x-csrf-token={other}")) == REFUSED
    assert told(post(site, token, "")) == REFUSED
    assert told(post(site, token, f"X-CSRF-TOKEN={token}")) == REFUSED
    assert told(post(site, token, f"x-csrf-token={token}; x-csrf-token={other}")) == REFUSED
    assert told(post(site, token, f"x-csrf-token={other}; x-csrf-token={token}")) == REFUSED
    cookies = {"Cookie": f"x-csrf-token={token}"}
    assert told(site.request("POST", "/", headers=cookies)) == REFUSED  # only the cookie
    assert told(site.request("POST", f"/?x-csrf-token={token}", headers=cookies)) == REFUSED
    twice = [("X-CSRF-Token", token), ("X-CSRF-Token", token), *cookies.items()]
    assert told(site.request("POST", "/", headers=twice)) == REFUSED
    assert told(site.request("POST", "/token/", headers=cookies)) == REFUSED
    assert upstream.requests == []


def test_a_token_expires(proxy: Proxy, clock: Clock) -> None:
    site = make_site(proxy, ttl="10m")
    token = issue(site)
    clock.advance(590)
    assert post(site, token).status == 200
    clock.advance(20)
    assert told(post(site, token)) == REFUSED


def test_a_token_of_another_session(proxy: Proxy) -> None:
    site = make_site(proxy, session_cookie="sid")
    token = issue(site, "sid=alice")
    pair = f"x-csrf-token={token}"
    assert post(site, token, f"sid=alice; {pair}").status == 200
    for session in ("sid=bob; ", "", "sid=; ", "sid=alice; sid=bob; ", "SID=alice; "):
        assert told(post(site, token, session + pair)) == REFUSED


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Origin": "http://shop.example"}, True),
        ({"Origin": "HTTP://Shop.Example:80"}, True),
        ({"Origin": "https://shop.example"}, True),  # pingap is behind something that ends TLS
        ({"Origin": "https://pay.example"}, True),
        ({"Origin": "https://pay.example:444"}, False),
        ({"Origin": "http://pay.example"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://shop.example:81"}, False),
        ({"Origin": "http://shop.example.evil.example"}, False),
        ({"Origin": "http://evil.example?shop.example"}, False),
        ({"Origin": "http://shop.example@evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://shop.example, http://evil.example"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "https://pay.example", "Sec-Fetch-Site": "cross-site"}, True),
    ],
)
def test_where_a_request_comes_from(proxy: Proxy, headers: dict[str, str], passes: bool) -> None:
    site = make_site(proxy, trusted_origins=["https://pay.example"])
    token = issue(site)
    answer = post(site, token, Host="shop.example", **headers)
    assert told(answer) == (REFUSED if not passes else (200, "ok"))


def test_websockets_of_other_sites(proxy: Proxy, upstream: Upstream) -> None:
    upstream.websocket("/chat")
    site = make_site(proxy)
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Host": "shop.example",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    foreign = site.get("/chat", headers={**headers, "Origin": "http://evil.example"})
    assert told(foreign) == REFUSED
    with site.connect() as client:
        client.send_request("GET", "/chat", headers={**headers, "Origin": "http://shop.example"})
        assert client.read_head().status == 101


def test_the_check_of_origins_can_be_off(proxy: Proxy) -> None:
    site = make_site(proxy, check_origin=False)
    assert post(site, issue(site), Origin="http://evil.example").status == 200


@given(st.text(max_size=80), st.binary(max_size=20))
def test_no_text_is_a_token(text: str, session: bytes) -> None:
    assert not CsrfTokens(KEY.encode(), 60).is_valid(text, session, 1e9)


def test_a_token_from_the_future() -> None:
    tokens = CsrfTokens(KEY.encode(), 0)
    token = tokens.issue(b"", 1e9)
    assert tokens.is_valid(token, b"", 1e9 - 30)
    assert not tokens.is_valid(token, b"", 1e9 - 300)


def test_a_token_of_another_key() -> None:
    assert not CsrfTokens(b"a", 0).is_valid(CsrfTokens(b"b", 0).issue(b"", 1e9), b"", 1e9)


@pytest.mark.parametrize(
    "text", ["", "null", "shop.example", "ftp://a", "http://", "http://a/b", "http://a:b"]
)
def test_origins_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        normalised(text)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('key = "hush"', "token_path"),
        ('token_path = "/t"', "key"),
        ('token_path = "/t"\nkey = ""', "key"),
        ('token_path = "t"\nkey = "hush"', "token_path"),
        ('token_path = "/t"\nkey = "hush"\nname = "a b"', "is not a header name"),
        ('token_path = "/t"\nkey = "hush"\ntrusted_origins = ["a"]', "is not an origin"),
        ('token_path = "/t"\nkey = "hush"\nsame_site = "None"\nsecure = "never"', "needs secure"),
        ('token_path = "/t"\nkey = "hush"\nname = "__Host-t"', "needs secure"),
        ('token_path = "/t"\nkey = "hush"\nttl = "x"', "ttl"),
    ],
)
def test_mistakes(keys: str, reason: str) -> None:
    found = configuration_problems(f'[plugins.p]\ncategory = "csrf"\n{keys}\n')
    assert any(reason in one for one in found), found
    assert not any("hush" in one for one in found)


def test_cookies_of_browsers_only() -> None:
    keys = 'token_path = "/t"\nkey = "hush"\nname = "__Host-t"\nsecure = "always"\n'
    assert configuration_problems(f'[plugins.p]\ncategory = "csrf"\n{keys}') == []
    keys = 'token_path = "/t"\nkey = "hush"\nsame_site = "None"\n'
    assert configuration_problems(f'[plugins.p]\ncategory = "csrf"\n{keys}') == []
