"""Attempts to pass the guards without a credential. Each has to fail for each of them."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from pingap import Plugin, Response, hookimpl
from pingap.testing import Proxy, Upstream

ALICE = b64encode(b"alice:sesame").decode()


@dataclass(frozen=True)
class Case:
    """A guard, and a request that passes it."""

    category: str
    settings: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""


CASES = [
    Case("basic_auth", {"authorizations": [ALICE]}, {"Authorization": f"Basic {ALICE}"}),
    Case("key_auth", {"header": "X-Key", "keys": ["sesame-1"]}, {"X-Key": "sesame-1"}),
    Case("key_auth", {"query": "key", "keys": ["sesame-2"]}, query="key=sesame-2"),
    Case(
        "jwt",
        {"header": "Authorization", "secret": "0123456789abcdef0123456789abcdef"},
        {
            "Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjQwMDAwMDAwMDB9"
            ".CnE7vlBbka0FBzR8M9Bqd-ACT74aYklUPEavoQiKyE0"
        },
    ),
]


CASES += [
    Case(
        "combined_auth",
        {"authorizations": [{"app_id": "a", "secret": "sesame-3", "deviation": 10**9}]},
        query="app_id=a&ts=1800000000&digest=" + sha256(b"sesame-3:1800000000").hexdigest(),
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.category + "-query" * bool(case.query))
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def site(proxy: Proxy, case: Case) -> Proxy:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/secret", plugins=[(case.category, dict(case.settings))])
    proxy.location("/", plugins=["pingap:ping"])
    return proxy


@pytest.fixture
def nothing_passes(upstream: Upstream) -> Iterator[None]:
    yield
    assert [one for one in upstream.requests if "secret" in one.target.lower()] == []


def test_the_right_request_passes(site: Proxy, upstream: Upstream, case: Case) -> None:
    """Otherwise the other tests would prove nothing."""
    assert site.get(f"/secret?{case.query}", headers=dict(case.headers)).status == 200
    with site.connect_http2() as client:
        headers = {name.lower(): value for name, value in case.headers.items()}
        assert client.request("GET", f"/secret?{case.query}", headers=headers).status == 200
    assert len(upstream.requests) == 2


@pytest.mark.usefixtures("nothing_passes")
class TestWithoutACredential:
    """Other methods, versions, targets and headers than those of a browser."""

    @pytest.mark.parametrize(
        "method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PURGE", "get", "X"]
    )
    def test_methods(self, site: Proxy, method: str) -> None:
        assert site.request(method, "/secret").status in (401, 405)

    @pytest.mark.parametrize(
        "target",
        [
            "/secret/",
            "/secret//",
            "/%73ecret",
            "/secret%2f",
            "/secret;x=1",
            "/secret/../secret/x",
            "/x/../secret",
            "/./secret",
            "/secret?",
            "/secret%00",
            "//secret",
            "/secret/%2e%2e/secret",
            "/secret\\x",
            "http://other/secret",
            "HTTP://user:password@127.0.0.1/secret",
            "/secret#x",
        ],
    )
    def test_targets(self, site: Proxy, target: str) -> None:
        with site.connect() as client:
            client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            assert client.answer().status in (400, 401, 404, 503)

    @pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
    def test_old_versions(self, site: Proxy, version: str) -> None:
        with site.connect() as client:
            client.send(f"GET /secret {version}\r\nHost: a\r\n\r\n".encode())
            assert client.answer().status == 401

    def test_http2(self, site: Proxy) -> None:
        with site.connect_http2() as client:
            assert client.request("GET", "/secret").status == 401
            trailers = {name.lower(): value for name, value in {"authorization": "Basic x"}.items()}
            assert client.request("POST", "/secret", body=b"x", trailers=trailers).status == 401

    def test_trailers_are_no_headers(self, site: Proxy, case: Case) -> None:
        answer = site.request(
            "POST", "/secret", body=[b"x"], trailers=dict(case.headers) or {"a": "b"}
        )
        assert answer.status == 401

    def test_a_websocket(self, site: Proxy) -> None:
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        assert site.get("/secret", headers=headers).status == 401

    def test_grpc(self, site: Proxy) -> None:
        with site.connect_http2() as client:
            answer = client.request(
                "POST",
                "/secret/pkg.S/M",
                body=b"\0" * 5,
                headers={"content-type": "application/grpc"},
            )
        assert answer.status == 401

    @pytest.mark.parametrize(
        "name",
        [
            "X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Original-URL", "X-Rewrite-URL",
            "X-Forwarded-User", "X-User", "X-HTTP-Method-Override", "Proxy-Authorization",
            "X-Authorization", "Authorization_", "Cookie", "Cookie2", "X-Forwarded-Uri",
        ],
    )  # fmt: skip
    def test_headers_that_others_trust(self, site: Proxy, name: str) -> None:
        for value in ("127.0.0.1", "admin", "/ping", "for=127.0.0.1", f"Basic {ALICE}"):
            assert site.get("/secret", headers={name: value}).status == 401

    def test_a_credential_that_the_connection_header_lists(self, site: Proxy, case: Case) -> None:
        """It counts for this hop; nothing may pass because it was dropped, or be checked twice."""
        for name in case.headers:
            headers = {name: "wrong", "Connection": f"close, {name}"}
            assert site.get("/secret", headers=headers).status == 401

    def test_a_pipelined_request_needs_its_own(self, site: Proxy, case: Case) -> None:
        with site.connect() as client:
            client.send(
                b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\nGET /secret HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            assert [client.answer().status, client.answer().status] == [200, 401]

    def test_a_large_value(self, site: Proxy, case: Case) -> None:
        for name, value in case.headers.items():
            assert site.get("/secret", headers={name: value + "A" * 30_000}).status == 401

    @pytest.mark.parametrize("extra", ["\u00e9", "\x7f", "\x80", " x", ",", ";", "="])
    def test_a_value_with_more(self, site: Proxy, case: Case, extra: str) -> None:
        for name, value in case.headers.items():
            if extra == "=" and case.category == "basic_auth":
                continue  # padding, which may be any
            for text in (value + extra + "x", extra + value):
                assert site.get("/secret", headers={name: text}).status in (400, 401)


class Kept(Plugin):
    """A cache that keeps everything."""

    category = "kept"

    @hookimpl
    def request(self) -> Response:
        return Response.text(200, "the secret")


def test_a_cached_answer_needs_a_credential(proxy: Proxy, case: Case) -> None:
    proxy.location("/", plugins=[(case.category, dict(case.settings)), Kept])
    assert proxy.get("/").status == 401
    assert proxy.get(f"/?{case.query}", headers=dict(case.headers)).text == "the secret"


def test_lint_warns_of_an_order_that_defeats_it_and_explain_shows_no_secret(
    case: Case, tmp_path: Path
) -> None:
    path = tmp_path / "pingap.toml"
    path.write_text(
        f"""
        [plugins.page]
        category = "mock"
        data = "the secret"
        [plugins.guard]
        {as_toml({"category": case.category, **case.settings})}
        [locations.l]
        plugins = ["page", "guard"]
        [servers.s]
        addr = "127.0.0.1:0"
        locations = ["l"]
        """
    )
    command = [sys.executable, "-m", "pingap", "lint", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert '"page" may answer before the guard "guard" is asked' in done.stdout, done
    command = [sys.executable, "-m", "pingap", "explain", "GET", "/", "-c", str(path)]
    explained = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "guard" in explained.stdout, explained
    for secret in (ALICE, "sesame", "0123456789abcdef"):
        assert secret not in explained.stdout + explained.stderr + done.stdout + done.stderr


def as_toml(table: Mapping[str, object]) -> str:
    return "\n".join(f"{key} = {_value(value)}" for key, value in table.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f'"{k}" = {_value(v)}' for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def test_a_server_may_list_the_guard(proxy: Proxy, case: Case, upstream: Upstream) -> None:
    """It then guards all its locations."""
    proxy.configure("plugins.guard", category=case.category, **case.settings)
    proxy.configure("servers.web", plugins=["guard"])
    proxy.location("/a")
    proxy.location("/")
    assert [proxy.get(path).status for path in ("/a", "/")] == [401, 401]
    assert upstream.requests == []
    assert proxy.get(f"/a?{case.query}", headers=dict(case.headers)).status == 200


def test_a_connection_keeps_no_rights(site: Proxy, case: Case) -> None:
    with site.connect() as client:
        assert client.get(f"/secret?{case.query}", headers=dict(case.headers)).status == 200
        assert client.get("/secret").status == 401
        assert client.get(f"/secret?{case.query}", headers=dict(case.headers)).status == 200


def test_nothing_secret_is_logged_or_explained(site: Proxy, case: Case) -> None:
    site.get(f"/secret?{case.query}", headers=dict(case.headers))
    site.get("/secret", headers={name: f"{value}x" for name, value in case.headers.items()})
    metrics = str(site.metrics())
    for value in case.headers.values():
        assert value not in site.log + metrics
        assert value.rpartition(" ")[2] not in site.log + metrics
