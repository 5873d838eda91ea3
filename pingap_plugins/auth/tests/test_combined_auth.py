"""``combined_auth`` as clients see it."""

from __future__ import annotations

import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pingap.testing import Answer, Clock, Proxy, Upstream, configuration_problems

SECRET = "sesame-of-the-app"
APPS = [
    {"app_id": "shop", "secret": SECRET, "deviation": 60},
    {"app_id": "inside", "secret": "other", "deviation": 60, "ip_list": ["192.0.2.0/24", "::1"]},
    {"app_id": "free", "secret": "*", "ip_list": ["192.0.2.9"]},
]


def signed(app_id: str = "shop", secret: str = SECRET, ts: Any = None) -> str:
    ts = int(time.time()) if ts is None else ts
    digest = sha256(f"{secret}:{ts}".encode()).hexdigest()
    return f"app_id={app_id}&ts={ts}&digest={digest}"


def message(answer: Answer) -> str:
    assert answer.status == 401
    assert answer.headers["Cache-Control"] == "private, no-store"
    before, _, found = answer.text.partition("Plugin combined_auth invalid, message: ")
    assert before == ""
    return found


@pytest.fixture
def site(proxy: Proxy) -> Proxy:
    proxy.configure("basic", trusted_proxies=["127.0.0.1"])
    proxy.configure("servers.web", access_log="[{:user}] {:apps.failure} {status}")
    proxy.configure("plugins.apps", category="combined_auth", authorizations=APPS)
    proxy.location("/", plugins=["apps"])
    return proxy


def test_a_signed_request(site: Proxy, upstream: Upstream) -> None:
    query = signed()
    assert site.get(f"/?{query}&x=1").status == 200
    assert site.get(f"/?{query.replace(query[-64:], query[-64:].upper())}").status == 200
    assert upstream.requests[0].target == f"/?{query}&x=1"
    assert site.access_log == ["[shop]  200"] * 2


def test_the_order_of_answers(site: Proxy, upstream: Upstream) -> None:
    now = int(time.time())
    expected = {
        "": "app id is empty",
        "app_id=": "app id is empty",
        "app_id=x": "app id is invalid",
        "app_id=Shop": "app id is invalid",
        "app_id=inside": "ip is invalid",
        "app_id=shop": "timestamp is empty",
        "app_id=shop&ts=": "timestamp is empty",
        "app_id=shop&ts=x": "invalid digit found in string",
        "app_id=shop&ts=1.5": "invalid digit found in string",
        f"app_id=shop&ts={10**30}": "number too large to fit in target type",
        f"app_id=shop&ts=-{10**30}": "number too small to fit in target type",
        f"app_id=shop&ts={'9' * 5000}": "timestamp is invalid",
        "app_id=shop&ts=1": "timestamp deviation is invalid",
        f"app_id=shop&ts={now + 100}": "timestamp deviation is invalid",
        f"app_id=shop&ts={now}": "digest is empty",
        f"app_id=shop&ts={now}&digest=x": "digest is invalid",
        f"app_id=shop&ts={now}&digest=%ff%00": "digest is invalid",
        signed(secret="other"): "digest is invalid",
        signed() + "&digest=x": "digest is invalid",
        signed() + "&app_id=free": "app id is invalid",
        "app_id=free&" + signed(): "app id is invalid",
        signed() + "&%74s=1": "timestamp is invalid",
    }
    for query, text in expected.items():
        assert message(site.get(f"/?{query}")) == text
    assert upstream.requests == []


def test_addresses(site: Proxy) -> None:
    query = signed("inside", "other")
    for address, status in {"192.0.2.7": 200, "::1": 200, "198.51.100.1": 401, "::2": 401}.items():
        assert site.get(f"/?{query}", headers={"X-Forwarded-For": address}).status == status


def test_an_address_cannot_be_claimed(proxy: Proxy) -> None:
    proxy.configure("basic", trusted_proxies=[])
    proxy.location("/", plugins=[("combined_auth", {"authorizations": APPS})])
    query = signed("inside", "other")
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP"):
        headers = {name: "for=192.0.2.7" if name == "Forwarded" else "192.0.2.7"}
        assert message(proxy.get(f"/?{query}", headers=headers)) == "ip is invalid"


def test_a_star_means_that_nothing_else_is_checked(site: Proxy) -> None:
    """As in pingap: not even the address."""
    assert site.get("/?app_id=free").status == 200


def test_a_request_can_be_repeated_unless_it_is_forbidden(proxy: Proxy, clock: Clock) -> None:
    settings = {"authorizations": APPS, "replay_protection": True}
    proxy.location("/twice", plugins=[("combined_auth", {"authorizations": APPS})])
    proxy.location("/once", plugins=[("combined_auth", settings)])
    query, ts = signed(), int(time.time())
    assert [proxy.get(f"/twice?{query}").status for _ in range(2)] == [200, 200]
    assert proxy.get(f"/once?{query}").status == 200
    assert message(proxy.get(f"/once?{query}")) == "digest is invalid"
    assert (
        message(
            proxy.get(
                f"/once?{query.upper().replace('APP_ID=SHOP', 'app_id=shop').replace('TS', 'ts').replace('DIGEST', 'digest')}"
            )
        )
        == "digest is invalid"
    )
    assert (
        message(proxy.get(f"/once?{signed(ts=f'+{ts}').replace('+', '%2b')}"))
        == "digest is invalid"
    )
    assert message(proxy.get(f"/once?{signed(ts=f'0{ts}')}")) == "digest is invalid"
    clock.advance(1)
    assert proxy.get(f"/once?{signed(ts=ts + 1)}").status == 200


def test_hidden_parameters(proxy: Proxy, upstream: Upstream) -> None:
    settings = {"authorizations": APPS, "hide_credentials": True}
    proxy.location("/", plugins=[("combined_auth", settings)])
    assert proxy.get(f"/%61?x=%20&{signed()}&y").status == 200
    assert upstream.received_once().target == "/%61?x=%20&y"


def test_a_secret_in_a_file_is_followed(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one")
    apps = [{"app_id": "shop", "secret": f"file:{tmp_path}/secret", "deviation": 60}]
    proxy.location("/", plugins=[("combined_auth", {"authorizations": apps})])
    assert proxy.get(f"/?{signed(secret='one')}").status == 200
    (tmp_path / "secret").write_text("two")
    proxy.wait_for_log("was read again")
    assert message(proxy.get(f"/?{signed(secret='one')}")) == "digest is invalid"
    assert proxy.get(f"/?{signed(secret='two')}").status == 200


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("", "app_id"),
        ('app_id = "a"', "secret"),
        ('app_id = "a"\nsecret = ""\ndeviation = 1', "a: the secret is empty"),
        ('app_id = ""\nsecret = "hush"\ndeviation = 1', "app_id"),
        ('app_id = "a"\nsecret = "hush"', "a: deviation must be greater than 0"),
        ('app_id = "a"\nsecret = "hush"\ndeviation = -1', "a: deviation must be greater than 0"),
        ('app_id = "a"\nsecret = "hush"\ndeviation = "1"', "deviation"),
        ('app_id = "a"\nsecret = "hush"\ndeviation = 1\nip_list = ["x"]', "is not an IP address"),
        ('app_id = "a"\nsecret = "hush"\ndeviation = 1\nip = []', "ip: unknown key"),
    ],
)
def test_mistakes(entry: str, reason: str) -> None:
    head = '[plugins.p]\ncategory = "combined_auth"\n[[plugins.p.authorizations]]\n'
    found = configuration_problems(head + entry + "\n")
    assert any(reason in one for one in found), found
    assert not any("hush" in one for one in found)


def test_no_application_or_one_twice() -> None:
    head = '[plugins.p]\ncategory = "combined_auth"\n'
    assert configuration_problems(head)
    assert configuration_problems(head + "authorizations = []\n")
    entry = '[[plugins.p.authorizations]]\napp_id = "a"\nsecret = "b"\ndeviation = 1\n'
    assert configuration_problems(head + entry) == []
    assert "same app_id" in configuration_problems(head + entry + entry)[0]
