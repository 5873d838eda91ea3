"""``forward_auth`` as clients, the upstream and the service see it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pingap.testing import Answer, Clock, Proxy, Upstream, configuration_problems

FAILED = (502, "Forward auth request failed")


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text


@pytest.fixture
def service() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


def make_site(proxy: Proxy, service: Upstream, **more: Any) -> Proxy:
    proxy.configure("servers.web", enabled_h2=True, access_log="{:door.failure} {status}")
    url = f"http://{service.addr}/check?app=shop"
    proxy.configure("plugins.door", category="forward_auth", auth_url=url, **more)
    proxy.location("/", plugins=["door"])
    return proxy


def test_what_the_service_is_told(proxy: Proxy, upstream: Upstream, service: Upstream) -> None:
    site = make_site(proxy, service)
    headers = {
        "Host": "shop.example:8080",
        "Cookie": "sid=1",
        "X-Custom": "a",
        "Authorization": "b",
    }
    assert site.request("POST", "/%61/b?c=%20d", headers=headers, body=b"the body").status == 200
    asked = service.received_once()
    assert (asked.method, asked.target, asked.body) == ("GET", "/check?app=shop", b"")
    found = {name.lower(): value for name, value in asked.headers}
    assert found["x-forwarded-method"] == "POST"
    assert found["x-forwarded-uri"] == "/%61/b?c=%20d"
    assert found["x-forwarded-host"] == "shop.example:8080"
    assert found["x-forwarded-proto"] == "http"
    assert found["x-forwarded-for"] == "127.0.0.1"
    assert (found["cookie"], found["x-custom"], found["authorization"]) == ("sid=1", "a", "b")
    assert found["host"] == service.addr
    assert "content-length" not in found
    assert upstream.received_once().body == b"the body"


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-For",
        "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "X-Original-URL", "x-forwarded-URI",
        "X-Rewrite-URL", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User", "X_Forwarded_Uri",
        "X-Original-Host", "True-Client-IP", "CF-Connecting-IP",
    ],
)  # fmt: skip
def test_a_client_cannot_speak_for_pingap(proxy: Proxy, service: Upstream, name: str) -> None:
    proxy.configure("basic", trusted_proxies=[])
    site = make_site(proxy, service)
    site.get("/secret", headers=[(name, "/public"), (name, "/other")])
    asked = service.received_once()
    assert "/public" not in str(asked.headers)
    assert asked.headers.get_all("x-forwarded-uri") == ["/secret"]


def test_fields_of_the_connection_are_not_copied(proxy: Proxy, service: Upstream) -> None:
    site = make_site(proxy, service)
    site.request(
        "POST",
        "/",
        headers={
            "Connection": "X-Hop",
            "X-Hop": "1",
            "TE": "trailers",
            "Keep-Alive": "5",
            "X-A": "1",
            "If-None-Match": "*",
            "Range": "bytes=0-1",
        },
        body=[b"x"],
    )
    found = [name.lower() for name, _ in service.received_once().headers]
    assert "x-a" in found
    for name in (
        "x-hop",
        "te",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "content-type",
        "if-none-match",
        "range",
    ):
        assert name not in found


def test_only_chosen_headers(proxy: Proxy, service: Upstream) -> None:
    site = make_site(proxy, service, request_headers=["Cookie", "x-a"])
    site.get("/", headers=[("Cookie", "a=b"), ("X-A", "1"), ("X-A", "2"), ("X-B", "3")])
    asked = service.received_once()
    assert (asked.header("cookie"), asked.header("x-a"), asked.header("x-b")) == (
        "a=b",
        "1, 2",
        None,
    )
    assert asked.header("x-forwarded-method") == "GET"


def test_another_proxy_may_have_set_headers_that_are_chosen(
    proxy: Proxy, service: Upstream
) -> None:
    site = make_site(proxy, service, request_headers=["CF-Connecting-IP", "X-Forwarded-Uri"])
    site.get("/a", headers={"CF-Connecting-IP": "192.0.2.1", "X-Forwarded-Uri": "/b"})
    asked = service.received_once()
    assert asked.header("cf-connecting-ip") == "192.0.2.1"
    assert asked.headers.get_all("x-forwarded-uri") == ["/a"]


def test_cookies_over_http2_are_one_field(proxy: Proxy, service: Upstream) -> None:
    site = make_site(proxy, service)
    with site.connect_http2() as client:
        client.request("GET", "/", headers=[("cookie", "a=b"), ("cookie", "c=d")])
    assert service.received_once().headers.get_all("cookie") == ["a=b; c=d"]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_permission(proxy: Proxy, upstream: Upstream, service: Upstream, status: int) -> None:
    service.reply("/check", b"" if status == 204 else b"yes", status=status)
    assert told(make_site(proxy, service).get("/")) == (200, "ok")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 400, 401, 403, 404, 429, 500, 503])
def test_everything_else_is_relayed(
    proxy: Proxy, upstream: Upstream, service: Upstream, status: int
) -> None:
    headers = [
        ("Location", "https://login.example/?next=1"), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"),
        ("WWW-Authenticate", "Bearer"), ("Content-Type", "text/html"), ("Connection", "X-Hop"),
        ("X-Hop", "1"), ("Cache-Control", "no-store"),
    ]  # fmt: skip
    service.reply("/check", b"<p>no", status=status, headers=headers)
    service.reply("/", b"a page that answers 200")
    answer = make_site(proxy, service).get("/")
    assert told(answer) == (status, "<p>no")
    assert answer.headers["Location"] == "https://login.example/?next=1"
    assert answer.headers.get_all("Set-Cookie") == ["a=b", "c=d"]
    assert answer.headers.get_all("Cache-Control") == ["no-store"]
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.header("x-hop") is None
    assert upstream.requests == []
    assert len(service.requests) == 1  # it was not followed


def test_a_refusal_of_head_and_its_length(proxy: Proxy, service: Upstream) -> None:
    service.reply("/check", b"no" * 1000, status=403)
    site = make_site(proxy, service)
    with site.connect() as client:
        assert client.request("HEAD", "/").body == b""
        answer = client.get("/")
        assert (len(answer.body), answer.headers["Content-Length"]) == (2000, "2000")


def test_a_service_that_is_not_there(proxy: Proxy, upstream: Upstream, service: Upstream) -> None:
    site = make_site(proxy, service, add_headers=["X-User"])
    service.raw("/check", b"HTTP/1.1 20", then="reset")
    assert told(site.get("/")) == FAILED
    service.raw("/check", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"half")
    assert told(site.get("/")) == FAILED
    service.raw("/check", b"nonsense\r\n\r\n")
    assert told(site.get("/")) == FAILED
    service.reply("/check", b"x" * (1024 * 1024 + 1), status=403)
    assert told(site.get("/")) == FAILED
    service.raw(
        "/check", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"
    )
    assert told(site.get("/")) == FAILED
    service.raw("/check", b"HTTP/1.1 200 OK\r\nX-User: a\1b\r\nContent-Length: 0\r\n\r\n")
    assert told(site.get("/")) == FAILED
    assert upstream.requests == []
    assert site.access_log == ["no answer 502"] * 6
    assert "app=shop" not in site.log


def test_a_service_that_is_slow(proxy: Proxy, upstream: Upstream, service: Upstream) -> None:
    late = threading.Event()
    service.reply("/check", b"", until=late)
    site = make_site(proxy, service, timeout="200ms")
    assert told(site.get("/")) == FAILED
    late.set()
    assert upstream.requests == []


def test_headers_of_the_service_reach_the_upstream(
    proxy: Proxy, upstream: Upstream, service: Upstream
) -> None:
    site = make_site(proxy, service, add_headers=["X-User", "X-Groups"])
    service.reply(
        "/check", b"", headers=[("X-User", "alice"), ("X-User", "second"), ("X-Other", "1")]
    )
    site.get("/", headers=[("X-User", "root"), ("x-GROUPS", "admin"), ("X-Groups", "more")])
    request = upstream.received_once()
    assert request.headers.get_all("x-user") == ["alice"]
    assert request.header("x-groups") is None
    assert request.header("x-other") is None


def test_cookies_of_a_permission_reach_the_client(
    proxy: Proxy, upstream: Upstream, service: Upstream
) -> None:
    upstream.reply("/", b"ok", headers={"Set-Cookie": "own=1"})
    service.reply("/check", b"", headers=[("Set-Cookie", "sid=2"), ("Set-Cookie", "x=3")])
    answer = make_site(proxy, service).get("/")
    assert answer.headers.get_all("Set-Cookie") == ["own=1", "sid=2", "x=3"]


def test_connections_are_reused(proxy: Proxy, service: Upstream) -> None:
    site = make_site(proxy, service)
    for _ in range(5):
        assert site.get("/").status == 200
    assert {one.connection for one in service.requests} == {service.requests[0].connection}


# The memory of permissions.


def test_each_request_is_asked_for_unless_it_is_switched_on(
    proxy: Proxy, service: Upstream
) -> None:
    site = make_site(proxy, service)
    for _ in range(3):
        site.get("/")
    assert len(service.requests) == 3


def test_a_permission_is_remembered(
    proxy: Proxy, service: Upstream, upstream: Upstream, clock: Clock
) -> None:
    service.reply("/check", b"", headers={"X-User": "alice"})
    site = make_site(proxy, service, cache="1m", request_headers=["Cookie"], add_headers=["X-User"])
    for _ in range(3):
        assert site.get("/a", headers={"Cookie": "sid=1"}).status == 200
    assert len(service.requests) == 1
    assert {one.header("x-user") for one in upstream.requests} == {"alice"}
    different = [
        ("GET", "/a", "sid=2"),
        ("GET", "/b", "sid=1"),
        ("POST", "/a", "sid=1"),
        ("GET", "/a?x", "sid=1"),
    ]
    for number, (method, target, cookie) in enumerate(different, 2):
        site.request(method, target, headers={"Cookie": cookie})
        assert len(service.requests) == number
    site.get("/a", headers={"Cookie": "sid=1", "Host": "other.example"})
    assert len(service.requests) == 6
    clock.advance(61)
    site.get("/a", headers={"Cookie": "sid=1"})
    assert len(service.requests) == 7


def test_a_refusal_and_no_store_are_not_remembered(proxy: Proxy, service: Upstream) -> None:
    site = make_site(proxy, service, cache="1m", request_headers=["Cookie"])
    service.reply("/check", b"no", status=403)
    assert [site.get("/").status for _ in range(2)] == [403, 403]
    service.reply("/check", b"", headers={"Cache-Control": "private, No-Store"})
    assert [site.get("/").status for _ in range(2)] == [200, 200]
    service.reply("/check", b"", headers={"Set-Cookie": "a=b"})
    assert [site.get("/").headers.get_all("Set-Cookie") for _ in range(2)] == [["a=b"], ["a=b"]]
    assert len(service.requests) == 6


def test_a_header_cannot_be_hidden_in_another_one(proxy: Proxy, service: Upstream) -> None:
    """What is remembered is told apart, whatever the values contain."""
    site = make_site(proxy, service, cache="1m", request_headers=["X-A", "X-B"])
    for headers in (
        {"X-A": "1", "X-B": "2"},
        {"X-A": "1x-b: 2"},
        {"X-A": "1, x-b: 2"},
        {"X-B": "2"},
    ):
        site.get("/", headers=headers)
    assert len(service.requests) == 4


def test_a_cache_keeps_users_apart(proxy: Proxy, upstream: Upstream, service: Upstream) -> None:
    service.on(
        "/check",
        lambda served, request: served.respond(
            b"", headers={"X-User": request.header("cookie") or ""}
        ),
    )
    upstream.on(
        "/",
        lambda served, request: served.respond(
            (request.header("x-user") or "").encode(), headers={"Cache-Control": "max-age=60"}
        ),
    )
    proxy.configure("plugins.kept", category="cache")
    url = f"http://{service.addr}/check"
    proxy.location(
        "/", plugins=[("forward_auth", {"auth_url": url, "add_headers": ["X-User"]}), "kept"]
    )
    for _ in range(2):
        for name in ("alice", "bob"):
            assert proxy.get("/", headers={"Cookie": name}).text == name
    assert len(upstream.requests) == 2


# Attempts to pass.


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "TRACE", "X"])
def test_methods(proxy: Proxy, upstream: Upstream, service: Upstream, method: str) -> None:
    service.reply("/check", b"no", status=403)
    assert make_site(proxy, service).request(method, "/").status in (403, 405)
    assert upstream.requests == []


def test_other_versions_and_upgrades(proxy: Proxy, upstream: Upstream, service: Upstream) -> None:
    service.reply("/check", b"no", status=403)
    site = make_site(proxy, service)
    with site.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().status == 403
    with site.connect_http2() as client:
        assert client.request("GET", "/").status == 403
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    assert site.get("/", headers=upgrade).status == 403
    assert "upgrade" not in {name.lower() for name, _ in service.requests[-1].headers}
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("", "auth_url"),
        ('auth_url = "check"', "expected an http or https URL"),
        ('auth_url = "http://"', "expected an http or https URL"),
        ('auth_url = "http:///check"', "expected an http or https URL"),
        ('auth_url = "http://a/b c"', "expected an http or https URL"),
        ('auth_url = "http://a/#b"', "expected an http or https URL"),
        ('auth_url = "http://user:hush@a/"', "without user name and password"),
        ('auth_url = "http://a"\nadd_headers = ["a b"]', "is not a header name"),
        ('auth_url = "http://a"\ntimeout = "1x"', "timeout"),
        ('auth_url = "http://a"\ntimeout = "30s"', "less than 30s"),
        ('auth_url = "http://a"\ncache = "1m"', "cache needs request_headers"),
        ('auth_url = "http://a"\nfail_open = true', "fail_open"),
        ('auth_url = "http://a"\nca = "/none"', "cannot be read"),
    ],
)
def test_mistakes(keys: str, reason: str) -> None:
    found = configuration_problems(f'[plugins.p]\ncategory = "forward_auth"\n{keys}\n')
    assert any(reason in one for one in found), found
