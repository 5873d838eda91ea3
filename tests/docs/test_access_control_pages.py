"""The walks for access control: done as they say."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docs.blocks import DOCS, ROOT, shown_file
from docs.walkthrough import Walkthrough

from pingap.testing import Proxy, Upstream

TOOLS = ROOT / "pingap_plugins" / "auth" / "tests"


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_an_admin_area_is_protected_as_the_page_says(tmp_path: Path) -> None:
    with Walkthrough(DOCS / "admin-area.md", tmp_path) as reader:
        assert reader.walk() == 6


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider and the browser of the tests of pingap-auth."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(TOOLS)])
    import browser
    import oidc_provider
    import provider_process

    return browser.Browser, provider_process.provider, (oidc_provider.CLIENT, oidc_provider.SECRET)


@pytest.mark.timeout(180)
def test_single_sign_on_works_as_the_page_says(
    tools: Any,
    tmp_path: Path,
    start_proxy: Callable[..., Proxy],
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browser, provider, (client, secret) = tools
    monkeypatch.setenv("OIDC_SECRET", secret)
    monkeypatch.setenv("SESSION_KEY", "0123456789abcdef" * 4)
    with provider(tmp_path) as place:
        toml = shown_file("single-sign-on.md", "wiki.toml")
        for shown, real in {
            "https://login.example.com/realms/company": place.issuer,
            'client_id = "wiki"': f'client_id = "{client}"',
            "127.0.0.1:3000": upstream.addr,
            "127.0.0.1:8080": place.addr,
            "/goodbye": "/bye",  # which is registered for the tests
        }.items():
            assert shown in toml
            toml = toml.replace(shown, real)
        proxy = start_proxy(toml)
        _walk(place, browser, upstream)
        assert [line.partition(" ")[2] for line in proxy.access_log][:2] == [
            "[] GET /page?a=b 302 no session",
            f"[] GET /oidc/callback{_query(proxy.access_log[1])} 303 ",
        ]


def _query(line: str) -> str:
    return "?" + line.partition("?")[2].partition(" ")[0]


def _walk(place: Any, browser: Any, upstream: Upstream) -> None:
    alice, bob = browser(), browser()
    for user, name in ((alice, "alice"), (bob, "bob")):
        url, _ = user.visit(f"{place.site}/page?a=b")
        assert "/accounts/login/" in url
        there, answer = user.follow(url, user.get(f"{url}&user={name}"))
        if name == "bob":
            assert (answer.status, answer.text) == (403, "You may not use this application")
        else:
            assert (there, answer.status) == (f"{place.site}/page?a=b", 200)
    request = upstream.received_once()
    assert (request.header("x-user"), request.header("x-groups")) == ("alice", "staff")
    answer = browser().get(f"{place.site}/api/pages")
    assert (answer.status, answer.text) == (401, "Login required")
    url, answer = alice.visit(f"{place.site}/oidc/logout")
    assert (url, answer.text) == (f"{place.site}/bye", "You are logged out.\n")
    assert alice.get(f"{place.site}/page").status == 302
