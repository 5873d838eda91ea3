"""``oidc`` with a real provider: logins, sessions, renewals, logouts, and attempts to pass without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from browser import Browser
from oidc_provider import CLIENT, SECRET
from pingap_auth.oidc.login import Login
from pingap_auth.oidc.session import Session
from provider_process import Place, provider

from pingap.testing import Answer, Clock, Proxy, Upstream, configuration_problems

KEYS = ["a" * 32, "b" * 32]
LOGIN = (401, "Login required")
FAILED = (400, "The login failed; please try again")
FORBIDDEN = (403, "You may not use this application")

TOML = """
[plugins.sso]
category = "oidc"
issuer = "{issuer}"
client_id = "{client}"
client_secret = "{secret}"
session_keys = {keys}
{more}

[upstreams.u]
addrs = ["{upstream}"]

[locations.bye]
path = "/bye"
upstream = "u"

[locations.l]
upstream = "u"
plugins = ["sso"]

[servers.web]
addr = "{addr}"
locations = ["bye", "l"]
access_log = "[{{:user}}] {{:sso.failure}} {{status}}"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with provider(tmp_path_factory.mktemp("provider")) as found:
        yield found


class Site:
    """A site behind pingap, and its users."""

    def __init__(self, place: Place, proxy: Proxy, upstream: Upstream) -> None:
        self.place, self.proxy, self.upstream = place, proxy, upstream
        self.url = place.site

    def log_in(self, browser: Browser, path: str = "/", user: str = "alice") -> tuple[str, Answer]:
        """Open a page, and log in at the provider if it asks."""
        url, answer = browser.visit(self.url + path)
        if "/accounts/login/" not in url:
            return url, answer
        url += f"&user={user}"
        return browser.follow(url, browser.get(url))

    def callback(self, browser: Browser, path: str = "/") -> str:
        """Log in, and return the URL of the callback without opening it."""
        url = self.url + path
        while not url.startswith(f"{self.url}/oidc/callback"):
            url = urljoin(url, browser.get(url).headers["Location"])
            if "/accounts/login/" in url:
                url += "&user=alice"
        return url


@pytest.fixture
def start(
    place: Place, start_proxy: Callable[..., Proxy], upstream: Upstream
) -> Callable[..., Site]:
    def starting(more: str = "", keys: list[str] | None = None) -> Site:
        toml = TOML.format(
            issuer=place.issuer,
            client=CLIENT,
            secret=SECRET,
            keys=json.dumps(keys or KEYS),
            more=more,
            upstream=upstream.addr,
            addr=place.addr,
        )
        return Site(place, start_proxy(toml), upstream)

    return starting


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


HEADERS = 'claim_headers = { "X-User" = "preferred_username", "X-Groups" = "groups" }'


def test_a_login_leads_back_to_the_page(start: Callable[..., Site]) -> None:
    site, browser = start(HEADERS), Browser()
    url, answer = site.log_in(browser, "/orders/7?a=%20b&c")
    assert (url, told(answer)) == (f"{site.url}/orders/7?a=%20b&c", (200, "ok"))
    request = site.upstream.received_once()
    assert (request.header("x-user"), request.header("x-groups")) == ("alice", "staff")
    assert request.header("cookie") is None  # the session is not for the upstream
    assert told(browser.get(site.url + "/second")) == (200, "ok")
    names = {name for of, name in browser.cookies if of == site.place.addr}
    assert names == {"pingap_session"}
    assert browser.attributes["pingap_session"] == "Max-Age=28800; Path=/; HttpOnly; SameSite=Lax"


def test_what_is_sent_to_the_provider(start: Callable[..., Site]) -> None:
    site, browser = start(), Browser()
    answer = browser.get(site.url + "/")
    assert answer.status == 302
    assert answer.headers["Cache-Control"] == "private, no-store"
    url = urlsplit(answer.headers["Location"])
    sent = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert f"http://{url.netloc}{url.path}" == f"{site.place.issuer}/authorize/"
    assert sent["redirect_uri"] == f"{site.url}/oidc/callback"
    assert (sent["response_type"], sent["client_id"]) == ("code", CLIENT)
    assert (sent["scope"], sent["code_challenge_method"]) == ("openid profile email", "S256")
    assert min(len(sent["state"]), len(sent["nonce"])) == 32
    again = parse_qs(urlsplit(browser.get(site.url + "/").headers["Location"]).query)
    for name in ("state", "nonce", "code_challenge"):
        assert again[name] != [sent[name]]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"Accept": "application/json"}),
        ("GET", {"Accept": "*/*"}),
        ("GET", {"X-Requested-With": "XMLHttpRequest"}),
        ("GET", {"Sec-Fetch-Mode": "cors"}),
        ("POST", {}),
        ("HEAD", {}),
        ("OPTIONS", {}),
    ],
)
def test_scripts_get_401(start: Callable[..., Site], method: str, headers: dict[str, str]) -> None:
    site, browser = start(), Browser()
    answer = browser.get(site.url + "/", method, **headers)
    assert answer.status == 401
    assert method == "HEAD" or answer.text == "Login required"
    assert answer.header("set-cookie") is None
    assert site.upstream.requests == []


def test_api_paths_get_401(start: Callable[..., Site]) -> None:
    site, browser = start("api_paths = '^/api/'"), Browser()
    assert told(browser.get(site.url + "/api/x")) == LOGIN
    assert browser.get(site.url + "/apis").status == 302


def test_several_tabs_log_in_at_the_same_time(start: Callable[..., Site]) -> None:
    site, browser = start(), Browser()
    first, second = site.callback(browser, "/first"), site.callback(browser, "/second")
    for callback, path in ((second, "/second"), (first, "/first")):
        answer = browser.get(callback)
        assert (answer.status, answer.headers["Location"]) == (303, path)


# Claims.


def test_only_users_with_the_claims(start: Callable[..., Site]) -> None:
    site = start('required_claims = { "groups" = ["staff", "admins"] }')
    _, answer = site.log_in(Browser(), user="bob")
    assert told(answer) == FORBIDDEN
    assert site.upstream.requests == []
    assert site.log_in(Browser(), user="alice")[1].status == 200


def test_a_session_from_before_the_claims_were_required(
    start: Callable[..., Site], start_proxy: Callable[..., Proxy]
) -> None:
    browser = Browser()
    site = start()
    assert site.log_in(browser, user="bob")[1].status == 200
    site.proxy.stop()
    site = start('required_claims = { "groups" = ["staff"] }')
    assert told(browser.get(site.url + "/")) == FORBIDDEN


def test_headers_of_a_client_are_removed(start: Callable[..., Site]) -> None:
    site, browser = start(HEADERS + '\naccess_token_header = "X-Token"'), Browser()
    site.log_in(browser)
    browser.get(site.url + "/", **{"X-User": "root", "x-GROUPS": "admin", "X-Token": "Bearer x"})
    request = site.upstream.requests[-1]
    assert request.headers.get_all("x-user") == ["alice"]
    assert request.headers.get_all("x-groups") == ["staff"]
    [token] = request.headers.get_all("x-token")
    assert token.startswith("Bearer ")
    assert token != "Bearer x"


# Sessions.


def test_keys_are_rotated(start: Callable[..., Site]) -> None:
    browser = Browser()
    site = start(keys=["b" * 32])
    site.log_in(browser)
    site.proxy.stop()
    site = start(keys=["c" * 32, "b" * 32])
    assert browser.get(site.url + "/").status == 200
    site.proxy.stop()
    site = start(keys=["c" * 32])
    assert browser.get(site.url + "/").status == 302


def test_a_session_ends(start: Callable[..., Site], clock: Clock) -> None:
    site, browser = start('session_ttl = "30m"'), Browser()
    site.log_in(browser)
    clock.advance(1790)
    assert browser.get(site.url + "/").status == 200
    clock.advance(20)
    assert browser.get(site.url + "/").status == 302


def test_a_session_is_renewed(start: Callable[..., Site], clock: Clock) -> None:
    site, browser = start(HEADERS), Browser()
    site.log_in(browser)
    old = browser.cookies[site.place.addr, "pingap_session"]
    clock.advance(3580)
    answer = browser.get(site.url + "/")
    assert told(answer) == (200, "ok")
    assert answer.headers["Cache-Control"] == "private, no-store"
    new = browser.cookies[site.place.addr, "pingap_session"]
    assert new != old
    assert site.upstream.requests[-1].header("x-user") == "alice"
    # A request that was sent with the old cookie at the same time does not use the old token again.
    browser.cookies[site.place.addr, "pingap_session"] = old
    assert told(browser.get(site.url + "/")) == (200, "ok")
    assert browser.cookies[site.place.addr, "pingap_session"] == new


def test_a_user_whom_the_provider_no_longer_knows(
    start: Callable[..., Site], clock: Clock, place: Place
) -> None:
    site, browser = start(), Browser()
    site.log_in(browser)
    old = browser.cookies[site.place.addr, "pingap_session"]
    clock.advance(3580)
    assert browser.get(site.url + "/").status == 200
    browser.cookies[site.place.addr, "pingap_session"] = old
    clock.advance(200)  # the refresh token of this session was used, so the provider refuses it
    assert browser.get(site.url + "/").status == 302
    assert told(browser.get(site.url + "/", Accept="application/json")) == LOGIN


def test_a_logout_ends_the_session_everywhere(start: Callable[..., Site]) -> None:
    site, browser = start('after_logout = "/bye"'), Browser()
    site.log_in(browser)
    stolen = Browser(dict(browser.cookies))
    url, answer = browser.visit(site.url + "/oidc/logout")
    assert (url, answer.text) == (f"{site.url}/bye", "ok")
    assert any("/o/logout/" in one and "id_token_hint" in one for one in browser.visited)
    assert (site.place.addr, "pingap_session") not in browser.cookies
    assert told(stolen.get(site.url + "/", Accept="application/json")) == LOGIN
    url, _ = browser.visit(site.url + "/")
    assert "/accounts/login/" in url  # the provider has ended its session, too


def test_another_site_cannot_log_a_user_out(start: Callable[..., Site]) -> None:
    site, browser = start(), Browser()
    site.log_in(browser)
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        assert browser.get(site.url + "/oidc/logout", **headers).status == 403
    assert browser.get(site.url + "/").status == 200


# Attempts to pass.


@pytest.mark.parametrize("value", ["", "x", "a.b.c", "gAAAAA", "A" * 30_000, "é", "null", "{}"])
def test_a_made_up_session(start: Callable[..., Site], value: str) -> None:
    site, browser = start(), Browser()
    answer = browser.get(site.url + "/", Accept="*/*", Cookie=f"pingap_session={value}")
    assert told(answer) == LOGIN
    assert site.upstream.requests == []


def test_a_session_that_was_changed_or_is_for_something_else(start: Callable[..., Site]) -> None:
    site, browser = start(), Browser()
    login = browser.get(site.url + "/").headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    site.log_in(browser)
    _, value = browser.cookies[site.place.addr, "pingap_session"]
    for at in (0, 10, len(value) // 2, len(value) - 2):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        assert (
            told(Browser().get(site.url + "/", Accept="*/*", Cookie=f"pingap_session={changed}"))
            == LOGIN
        )
    for cookie in (
        f"pingap_session={login}",
        f"pingap_session={value}; pingap_session={value}",
        f"PINGAP_SESSION={value}",
    ):
        assert told(Browser().get(site.url + "/", Accept="*/*", Cookie=cookie)) == LOGIN


def test_a_callback_of_another_browser(start: Callable[..., Site]) -> None:
    """Login CSRF: the victim opens the callback of the attacker."""
    site, attacker, victim = start(), Browser(), Browser()
    callback = site.callback(attacker)
    victim.get(site.url + "/")
    assert told(victim.get(callback)) == FAILED
    assert (site.place.addr, "pingap_session") not in victim.cookies


def test_callbacks_that_are_wrong(start: Callable[..., Site]) -> None:
    site, browser = start(), Browser()
    callback = site.callback(browser)
    found = parse_qs(urlsplit(callback).query)
    code, state = found["code"][0], found["state"][0]
    base = f"{site.url}/oidc/callback"
    wrong = [
        "", f"?code={code}", f"?state={state}x&code={code}", f"?state={state}&state={state}&code={code}",
        f"?state=&code={code}", f"?state={state}&code={code}&iss=http://evil.example",
    ]  # fmt: skip
    kept = dict(browser.cookies)
    for query in wrong:
        assert told(browser.get(base + query)) == FAILED
    assert told(browser.get(callback, "POST")) == FAILED
    browser.cookies = dict(kept)
    assert told(browser.get(f"{base}?state={state}&code=made-up")) == FAILED
    browser.cookies = dict(kept)
    assert (
        told(browser.get(f"{base}?state={state}&error=access_denied&error_description=<b>"))
        == FAILED
    )
    browser.cookies = dict(kept)
    assert browser.get(callback).status == 303  # it would have been right
    assert told(browser.get(callback)) == FAILED  # but only once
    browser.cookies = dict(kept)
    assert told(browser.get(callback)) == FAILED  # the provider knows that the code was used
    assert site.upstream.requests == []


def test_a_login_that_took_too_long(start: Callable[..., Site], clock: Clock) -> None:
    site, browser = start(), Browser()
    callback = site.callback(browser)
    clock.advance(1000)
    assert told(browser.get(callback)) == FAILED


@pytest.mark.parametrize("target", ["//evil.example/", "/\\\\evil.example", "///evil.example"])
def test_a_login_leads_to_no_other_site(start: Callable[..., Site], target: str) -> None:
    site, browser = start(), Browser()
    with site.proxy.connect() as client:
        head = f"GET {target} HTTP/1.1\r\nHost: {site.place.addr}\r\nAccept: text/html\r\n\r\n"
        client.send(head.encode())
        answer = client.answer()
    if answer.status != 302:
        assert answer.status in (400, 404)
        return
    browser.keep(site.place.addr, answer.headers["Set-Cookie"])
    url = answer.headers["Location"]
    while not url.startswith(f"{site.url}/oidc/callback"):
        url = urljoin(url, browser.get(url).headers["Location"])
        url += "&user=alice" * ("/accounts/login/" in url)
    assert browser.get(url).headers["Location"] in ("/", "/evil.example")


def test_a_host_that_the_provider_does_not_know(start: Callable[..., Site]) -> None:
    """The provider compares the callback, so a forged host leads nowhere."""
    site, browser = start(), Browser()
    answer = browser.get(site.url + "/", Host="evil.example")
    url, answer = browser.visit(answer.headers["Location"] + "&user=alice")
    assert "evil.example" not in urlsplit(url).netloc


# The provider.


def test_a_provider_that_is_not_there(
    start_proxy: Callable[..., Proxy], place: Place, upstream: Upstream
) -> None:
    toml = TOML.format(
        issuer="http://127.0.0.1:1", client=CLIENT, secret=SECRET, keys=json.dumps(KEYS), more="",
        upstream=upstream.addr, addr=place.addr,
    )  # fmt: skip
    proxy = start_proxy(toml)
    proxy.wait_for_log("cannot be used")
    answer = Browser().get(place.site + "/", Accept="*/*")
    assert told(answer) == LOGIN
    assert SECRET not in proxy.log


@pytest.mark.timeout(120)
def test_a_provider_that_goes_away(
    start_proxy: Callable[..., Proxy], tmp_path: Path, upstream: Upstream, clock: Clock
) -> None:
    browser = Browser()
    with provider(tmp_path) as place:
        toml = TOML.format(
            issuer=place.issuer, client=CLIENT, secret=SECRET, keys=json.dumps(KEYS), more="",
            upstream=upstream.addr, addr=place.addr,
        )  # fmt: skip
        site = Site(place, start_proxy(toml), upstream)
        assert site.log_in(browser)[1].status == 200
        callback = site.callback(second := Browser())
    assert browser.get(site.url + "/").status == 200  # sessions do not need it
    answer = second.get(callback)
    assert told(answer) == (503, "The login is not available at the moment")
    clock.advance(3580)
    answer = browser.get(site.url + "/")
    assert told(answer) == (503, "The login is not available at the moment")
    assert answer.headers["Retry-After"] == "5"
    assert "a session cannot be renewed" in site.proxy.log
    assert len(upstream.requests) == 2


def test_a_provider_with_another_name(
    start_proxy: Callable[..., Proxy], place: Place, upstream: Upstream
) -> None:
    toml = TOML.format(
        issuer=place.issuer + "/", client=CLIENT, secret=SECRET, keys=json.dumps(KEYS), more="",
        upstream=upstream.addr, addr=place.addr,
    )  # fmt: skip
    proxy = start_proxy(toml)
    proxy.wait_for_log("its description names another issuer")


def test_nothing_secret_is_logged(start: Callable[..., Site]) -> None:
    site, browser = start(), Browser()
    site.log_in(browser)
    _, value = browser.cookies[site.place.addr, "pingap_session"]
    for secret in (SECRET, value, *KEYS):
        assert secret not in site.proxy.log


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('client_id = "a"\nsession_keys = ["{key}"]', "issuer"),
        ('issuer = "https://a"\nsession_keys = ["{key}"]', "client_id"),
        ('issuer = "https://a"\nclient_id = "a"', "session_keys"),
        ('issuer = "https://a"\nclient_id = "a"\nsession_keys = []', "session_keys is empty"),
        (
            'issuer = "https://a"\nclient_id = "a"\nsession_keys = ["hush"]',
            "session_keys[0] has fewer than 32",
        ),
        (
            'issuer = "a"\nclient_id = "a"\nsession_keys = ["{key}"]',
            "expected an http or https URL",
        ),
        (
            'issuer = "https://a"\nclient_id = "a"\nsession_keys = ["{key}"]\nscopes = ["email"]',
            "openid",
        ),
        (
            'issuer = "https://a"\nclient_id = "a"\nsession_keys = ["{key}"]\nlogout_path = "/oidc/callback"',
            "are the same",
        ),
        (
            'issuer = "https://a"\nclient_id = "a"\nsession_keys = ["{key}"]\nafter_logout = "x"',
            "after_logout",
        ),
        (
            'issuer = "https://a"\nclient_id = "a"\nsession_keys = ["{key}"]\nfail_open = true',
            "fail_open",
        ),
    ],
)
def test_mistakes(keys: str, reason: str) -> None:
    text = keys.replace("{key}", "hush" * 8)
    found = configuration_problems(f'[plugins.p]\ncategory = "oidc"\n{text}\n')
    assert any(reason in one for one in found), found
    assert not any("hush" in one for one in found)


def test_cookies_of_another_version_are_none() -> None:
    login = Login.begin("/", "http://a/oidc/callback")
    assert Login.of(login.as_dict(), login.state) == login
    assert Login.of({**login.as_dict(), "more": 1}, login.state) is None
    session = Session("sid", {}, 1.0, 0.0, "", "", "")
    assert Session.of(session.as_dict()) == session
    assert Session.of({"sid": "sid"}) is None


def test_large_sessions_are_split() -> None:
    from pingap_auth.oidc.sealed import Sealer, SplitCookie

    from pingap import Cookie
    from pingap.testing import make_request

    sealer, cookie = Sealer(KEYS, "x"), SplitCookie(Cookie("s"))
    import os

    value: dict[str, Any] = {"a": os.urandom(4000).hex()}
    fields = cookie.set(text := sealer.seal(value))
    assert len(fields) == 4
    pairs = [line.decode().partition(": ")[2].partition(";")[0] for _, line in fields]
    request = make_request("GET", "/", headers={"Cookie": "; ".join(pairs)})
    assert cookie.read(request) == text
    assert sealer.open(text) == value
    with pytest.raises(ValueError, match="too large"):
        cookie.set("x" * 20_000)
