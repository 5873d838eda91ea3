"""``oidc`` with a provider that answers wrongly, slowly or not, and with users who try to pass as others."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import Browser
from strange_provider import (
    CLIENT,
    KEYS,
    StrangeProvider,
    StrangeSite,
    hs256_with_public_key,
    signed,
    strange_provider,
    unsigned,
)

from pingap.testing import Answer, Clock, Proxy, Upstream, configuration_problems

FAILED = (400, "The login failed; please try again")
LOGIN = (401, "Login required")
AWAY = (503, "The login is not available at the moment")


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


@pytest.fixture
def provider() -> Iterator[StrangeProvider]:
    with strange_provider() as found:
        yield found


@pytest.fixture
def start(proxy: Proxy, provider: StrangeProvider) -> Callable[..., StrangeSite]:
    def starting(behind: Sequence[str] = (), **more: Any) -> StrangeSite:
        proxy.configure("servers.web", enabled_h2=True, access_log="{:sso.failure} {status}")
        proxy.configure(
            "plugins.sso",
            category="oidc",
            issuer=provider.issuer,
            client_id=CLIENT,
            **{"client_secret": "hush", "session_keys": ["a" * 32], **more},
        )
        proxy.location("/", plugins=["sso", *behind])
        proxy.start()
        return StrangeSite(proxy, provider)

    return starting


CLAIMS: list[dict[str, Any]] = [
    {"nonce": "another"}, {"nonce": None}, {"nonce": ["x"]}, {"nonce": ""},
    {"aud": "another"}, {"aud": [CLIENT, "another"]}, {"aud": []}, {"aud": None}, {"aud": {CLIENT: 1}},
    {"azp": "another"}, {"azp": 1}, {"aud": [CLIENT, "another"], "azp": "another"},
    {"iss": "http://evil.example"}, {"iss": None}, {"iss": ["x"]},
    {"exp": 1}, {"exp": None}, {"exp": "9999999999"}, {"exp": True}, {"nbf": 4e9},
    {"sub": None}, {"sub": 7}, {"sub": ["alice"]}, {"sub": {"a": 1}},
]  # fmt: skip


def test_claims_of_an_id_token_that_are_wrong(
    start: Callable[..., StrangeSite], provider: StrangeProvider, upstream: Upstream
) -> None:
    site, browser = start(), Browser()
    for claims in CLAIMS:
        provider.claims = claims
        answer = site.log_in(browser)
        assert told(answer) == FAILED, claims
        assert not any(name.startswith("pingap_session") for _, name in browser.cookies), claims
    provider.claims = {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert site.log_in(browser).status == 303  # and this one is right
    assert upstream.requests == []


def test_id_tokens_that_nobody_signed(
    start: Callable[..., StrangeSite], provider: StrangeProvider, upstream: Upstream
) -> None:
    site, browser = start(), Browser()
    forgeries: list[Callable[[dict[str, Any]], Any]] = [
        lambda claims: None,
        lambda claims: "",
        lambda claims: 7,
        lambda claims: "a.b.c",
        lambda claims: "é.é.é",
        unsigned,
        hs256_with_public_key,
        lambda claims: signed(claims, KEYS[1]),
        lambda claims: signed(claims, KEYS[1], kid="two"),
        lambda claims: signed(claims, KEYS[1], jwk=KEYS[1].as_dict(private=False)),
        lambda claims: signed(claims, KEYS[1], jku="http://evil.example/keys"),
        lambda claims: signed(claims)[:-4] + "AAAA",
    ]
    for number, forge in enumerate(forgeries):
        callback = site.callback(browser)
        provider.answer = {"id_token": forge(provider.right_claims())}
        assert told(browser.get(callback)) == FAILED, number
    for body in (b"", b"null", b"[]", b"{", b"[" * 10_000, b"<html>"):
        provider.body = body
        assert told(site.log_in(browser)) == FAILED
    assert not any(name.startswith("pingap_session") for _, name in browser.cookies)
    assert upstream.requests == []


def test_headers_of_a_session_cannot_be_forged(
    start: Callable[..., StrangeSite], upstream: Upstream
) -> None:
    headers = {"X-User": "sub", "X-Mail": "email"}
    site, browser = start(claim_headers=headers, access_token_header="X-Access-Token"), Browser()
    site.log_in(browser)
    forged = {"X_User": "root", "x_mail": "root", "X-Mail": "root", "X_Access_Token": "root"}
    assert browser.get(site.url + "/", **forged).status == 200
    assert browser.get(site.url + "/", Connection="close, X-User, Cookie").status == 200
    for request in upstream.requests:
        assert request.header("x-user") == "alice"
        assert "root" not in str(request.headers)


def test_a_provider_that_promises_its_name_has_to_send_it(
    start: Callable[..., StrangeSite], provider: StrangeProvider
) -> None:
    """An attacker who mixes up two providers leaves ``iss`` out (RFC 9207)."""
    provider.more = {"authorization_response_iss_parameter_supported": True}
    site, browser = start(), Browser()
    assert told(site.log_in(browser)) == FAILED
    for named in ("https://evil.example", f"{provider.issuer}/", ""):
        assert told(browser.get(f"{site.callback(browser)}&iss={named}")) == FAILED
    assert browser.get(f"{site.callback(browser)}&iss={provider.issuer}").status == 303


def test_logins_that_never_end_leave_room_for_one_that_does(
    start: Callable[..., StrangeSite],
) -> None:
    """A page that reloads itself begins logins for as long as nobody looks at it."""
    site, browser = start(), Browser()
    for number in range(200):
        site.callback(browser, f"/{number}?{'x' * 500}")
    assert len(browser.cookies) <= 32
    assert site.log_in(browser).status == 303


def test_cookies_in_several_fields(start: Callable[..., StrangeSite], upstream: Upstream) -> None:
    """Each is found, none reaches the upstream, and the others do."""
    site, browser = start(), Browser()
    site.log_in(browser)
    _, value = browser.cookies[site.url.removeprefix("http://"), "pingap_session"]
    fields = [("cookie", "a=b"), ("cookie", f"pingap_session={value}"), ("cookie", "c=d")]
    assert site.proxy.get("/", headers=fields).status == 200
    with site.proxy.connect_http2() as client:
        assert client.request("GET", "/", headers=fields).status == 200
    for request in upstream.requests:
        assert "; ".join(request.headers.get_all("cookie")) == "a=b; c=d"
    twice = [*fields, ("cookie", f"pingap_session={value}")]
    assert site.proxy.get("/", headers=twice).status == 401


# Renewals.


def test_a_large_session_is_renewed_once(
    start: Callable[..., StrangeSite], provider: StrangeProvider, clock: Clock
) -> None:
    """A provider that rotates refresh tokens takes a second use for a theft, and ends the session."""
    site, browser = start(access_token_header="X-Token"), Browser()
    provider.answer = {"access_token": os.urandom(3000).hex()}
    site.log_in(browser)
    assert len(browser.cookies) == 2
    clock.advance(280)
    browsers = [Browser(dict(browser.cookies)) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda one: one.get(site.url + "/", Accept="*/*"), browsers))
    assert [one.status for one in answers] == [200] * 5
    assert [one.get("refresh_token") for one in provider.calls] == [None, ["refresh-1"]]
    assert len({str(one.cookies) for one in browsers}) == 1


def test_a_client_that_leaves_does_not_lose_the_new_session(
    start: Callable[..., StrangeSite], provider: StrangeProvider, clock: Clock
) -> None:
    site, browser = start(), Browser()
    site.log_in(browser)
    clock.advance(280)
    provider.hold.clear()
    cookie = browser._cookies_for(site.url.removeprefix("http://"), "/")
    with site.proxy.connect() as client:
        client.send_request("GET", "/", headers={"Cookie": cookie})
        provider.wait_for_calls(2)
    site.proxy.wait_for_access_log(3)  # pingap has noticed
    provider.hold.set()
    assert browser.get(site.url + "/", Accept="*/*").status == 200
    assert len(provider.calls) == 2


def test_the_provider_is_not_asked_again_and_again(
    start: Callable[..., StrangeSite], provider: StrangeProvider, clock: Clock
) -> None:
    """Neither for a session that it has ended, nor while it is overloaded."""
    site, browser = start(), Browser()
    site.log_in(browser)
    clock.advance(280)
    for status, answer in ((503, AWAY), (429, AWAY), (400, LOGIN)):
        before, provider.status = len(provider.calls), status
        for _ in range(5):
            assert told(browser.get(site.url + "/", Accept="*/*")) == answer
        assert len(provider.calls) == before + 1
        clock.advance(6)
    provider.status = 200
    assert told(browser.get(site.url + "/", Accept="*/*")) == LOGIN
    assert site.log_in(browser).status == 303
    assert browser.get(site.url + "/").status == 200


def test_new_tokens_of_another_user_end_the_session(
    start: Callable[..., StrangeSite], provider: StrangeProvider, upstream: Upstream, clock: Clock
) -> None:
    wrong: list[dict[str, Any]] = [
        {"sub": "root"}, {"aud": "another"}, {"iss": "http://evil.example"}, {"exp": 1},
    ]  # fmt: skip
    site = start()
    for claims in wrong:
        provider.claims, browser = {}, Browser()
        site.log_in(browser)
        clock.advance(280)
        provider.claims = claims
        assert told(browser.get(site.url + "/", Accept="*/*")) == LOGIN, claims
    assert upstream.requests == []


def test_claims_that_a_user_loses(
    start: Callable[..., StrangeSite], provider: StrangeProvider, clock: Clock
) -> None:
    site, browser = start(required_claims={"groups": ["staff"]}), Browser()
    provider.claims = {"groups": ["staff"]}
    site.log_in(browser)
    assert browser.get(site.url + "/").status == 200
    clock.advance(280)
    provider.claims = {"groups": ["guests"]}
    assert browser.get(site.url + "/").status == 403
    assert browser.get(site.url + "/").status == 403


# Logins.


def test_a_login_can_be_repeated_when_the_provider_is_back(
    start: Callable[..., StrangeSite], provider: StrangeProvider
) -> None:
    site, browser = start(), Browser()
    callback = site.callback(browser)
    provider.status = 503
    assert told(browser.get(callback)) == AWAY
    provider.status = 200
    assert browser.get(callback).status == 303


def test_callbacks_that_no_provider_sends(
    start: Callable[..., StrangeSite], provider: StrangeProvider
) -> None:
    site, browser = start(), Browser()
    browser.get(site.url + "/")
    for query in (
        "state=%ED%A0%80&code=a",
        "state=%FF&code=%00",
        "state=a%00b&code=c",
        "state=" + "a" * 5000 + "&code=a",
        "state=é&code=é",
    ):
        assert told(browser.get(f"{site.url}/oidc/callback?{query}")) == FAILED
    assert browser.get(f"{site.url}/oidc/callback?{'&' * 1500}").status == 400
    assert provider.calls == []


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ('after_logout = "//evil.example"', "is not a location"),
        ('callback_path = "/a b"', "callback_path"),
        ('callback_path = "/a;b"', "callback_path"),
        ('callback_path = "//a"', "callback_path"),
        ('callback_path = "/ä"', "callback_path"),
        ('logout_path = "/a/../b"', "logout_path"),
        ('logout_path = "/%41"', "logout_path"),
        ('external_url = "https://"', "external_url"),
        ('external_url = "https://a:b"', "external_url"),
        ('session_ttl = "0s"', "session_ttl must be at least 1s"),
    ],
)
def test_paths_and_urls_that_would_never_work(key: str, reason: str) -> None:
    text = '[plugins.p]\ncategory = "oidc"\nissuer = "https://a"\nclient_id = "a"\n'
    found = configuration_problems(f'{text}session_keys = ["{"hush" * 8}"]\n{key}\n')
    assert any(reason in one for one in found), found


# What the site and its users have in common.


def test_keys_in_a_file_are_rotated_without_a_reload(
    start: Callable[..., StrangeSite], provider: StrangeProvider, tmp_path: Path
) -> None:
    path, secret = tmp_path / "key", tmp_path / "secret"
    path.write_text("b" * 32)
    secret.write_text("first")
    keys = {"session_keys": [f"file:{path}"], "client_secret": f"file:{secret}"}
    site, browser = start(**keys), Browser()
    site.log_in(browser)
    assert browser.get(site.url + "/").status == 200
    path.write_text("c" * 32)
    secret.write_text("second")
    site.proxy.wait_for_log("was read again")
    assert browser.get(site.url + "/").status == 302
    site.log_in(browser)
    assert browser.get(site.url + "/").status == 200
    assert provider.secrets == [f"{CLIENT}:first", f"{CLIENT}:second"]


def test_only_trusted_proxies_say_where_the_site_is(
    start: Callable[..., StrangeSite], proxy: Proxy
) -> None:
    proxy.configure("basic", trusted_proxies=["192.0.2.0/24"])
    site = start()
    forged = {
        "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "1",
        "Forwarded": "host=evil.example;proto=https", "X_Forwarded_Host": "evil.example",
        "X-Original-URL": "/evil", "X-Rewrite-URL": "/evil",
    }  # fmt: skip
    answer = Browser().get(site.url + "/", **forged)
    sent = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert sent["redirect_uri"] == [f"{site.url}/oidc/callback"]
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_a_cache_keeps_users_apart(
    start: Callable[..., StrangeSite], provider: StrangeProvider, proxy: Proxy, upstream: Upstream
) -> None:
    upstream.on(
        "/",
        lambda served, request: served.respond(
            (request.header("x-user") or "").encode(), headers={"Cache-Control": "max-age=60"}
        ),
    )
    proxy.configure("plugins.kept", category="cache")
    site, browsers = start(("kept",), claim_headers={"X-User": "sub"}), {}
    for name in ("alice", "bob"):
        provider.claims, browsers[name] = {"sub": name}, Browser()
        site.log_in(browsers[name])
    for _ in range(2):
        for name, browser in browsers.items():
            assert browser.get(site.url + "/").text == name
    assert len(upstream.requests) == 2
    assert told(Browser().get(site.url + "/", Accept="*/*")) == LOGIN


def test_websockets_and_grpc_need_a_session(
    start: Callable[..., StrangeSite], upstream: Upstream
) -> None:
    site, browser = start(), Browser()
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    assert told(browser.get(site.url + "/", **upgrade)) == LOGIN
    with site.proxy.connect_http2() as client:
        headers = {"content-type": "application/grpc", "te": "trailers"}
        assert client.request("POST", "/a.B/C", body=b"\0" * 5, headers=headers).status == 401
    assert upstream.requests == []


def test_a_strict_cookie_is_set_by_a_page(start: Callable[..., StrangeSite]) -> None:
    """A redirect that another site began has no strict cookies, so the login would begin again for ever."""
    site, browser = start(same_site="Strict"), Browser()
    answer = site.log_in(browser, "/a?b=c&d='\"%22<script>")
    assert (answer.status, answer.header("location")) == (200, None)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-store"
    [url] = re.findall(r'content="0;url=([^"]*)"', answer.text)
    assert html.unescape(url) == "/a?b=c&d='%22%22%3Cscript%3E"
    assert "<script" not in answer.text
    assert browser.get(site.url + "/a").status == 200


# Logouts that the provider reports.

EVENT = {"http://schemas.openid.net/event/backchannel-logout": {}}


def report(site: StrangeSite, token: str, method: str = "POST") -> Answer:
    return site.proxy.request(
        method,
        "/oidc/ended",
        body=f"logout_token={token}".encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )


def logout_token(provider: StrangeProvider, **changes: Any) -> str:
    claims = {**provider.right_claims(), "events": EVENT, "jti": "1", "nonce": None, **changes}
    return signed({name: one for name, one in claims.items() if one is not None})


@pytest.mark.parametrize("named", [{"sid": "s-1"}, {"sid": "s-1", "sub": None}, {"sub": "alice"}])
def test_a_logout_that_the_provider_reports(
    start: Callable[..., StrangeSite],
    provider: StrangeProvider,
    clock: Clock,
    named: dict[str, Any],
) -> None:
    site = start(backchannel_logout_path="/oidc/ended")
    users = {("alice", "s-1"): Browser(), ("alice", "s-2"): Browser(), ("bob", "s-3"): Browser()}
    for (sub, sid), browser in users.items():
        provider.claims = {"sub": sub, "sid": sid}
        site.log_in(browser)
    clock.advance(2)  # a token ends what began before it
    token = logout_token(provider, **named)
    assert told(report(site, token)) == (200, "")
    found = [one.get(site.url + "/", Accept="*/*").status for one in users.values()]
    assert found == [401, 200 if "sid" in named else 401, 200]
    clock.advance(5)
    provider.claims = {"sub": "alice", "sid": "s-4"}
    site.log_in(users["alice", "s-1"])
    assert report(site, token).status == 200  # sent again
    assert users["alice", "s-1"].get(site.url + "/").status == 200


def test_reports_that_are_wrong(
    start: Callable[..., StrangeSite], provider: StrangeProvider, clock: Clock
) -> None:
    site, browser = start(backchannel_logout_path="/oidc/ended"), Browser()
    site.log_in(browser)
    clock.advance(2)
    right = {**provider.right_claims(), "events": EVENT, "nonce": None}
    wrong: list[dict[str, Any]] = [
        {"nonce": "x"}, {"events": None}, {"events": {}}, {"events": [EVENT]}, {"events": {"a": {}}},
        {"events": dict.fromkeys(EVENT, 1)}, {"aud": "another"}, {"iss": "http://evil.example"},
        {"exp": 1}, {"iat": None}, {"iat": "1"}, {"iat": True}, {"iat": 10**300}, {"sub": None},
        {"sub": 1}, {"sid": 1}, {"sid": ""},
    ]  # fmt: skip
    tokens = [logout_token(provider, **one) for one in wrong]
    forged = {name: one for name, one in right.items() if one is not None}
    tokens += [
        unsigned(forged),
        hs256_with_public_key(forged),
        signed(forged, KEYS[1]),
        "",
        "a.b.c",
    ]
    for token in [*tokens, provider.id_token(), "x" * 15_000]:
        assert told(report(site, token)) == (400, "Invalid logout token"), token
    good = logout_token(provider)
    assert report(site, "x" * 20_000).status == 413
    assert report(site, f"{good}&logout_token={good}").status == 400
    assert report(site, good, "PUT").status == 400
    answer = site.proxy.request("POST", "/oidc/ended", body=f"logout_token={good}".encode())
    assert answer.status == 400  # no form
    assert browser.get(site.url + "/").status == 200
    assert report(site, good).status == 200
    assert browser.get(site.url + "/").status == 302
