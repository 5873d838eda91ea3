"""Attempts to pass a limit."""

from __future__ import annotations

import pytest

from pingap.testing import Clock, Proxy, Upstream


@pytest.fixture(autouse=True)
def _frozen(clock: Clock) -> None:
    """Windows do not end because a machine is busy."""


def limited(proxy: Proxy, **settings: object) -> None:
    proxy.configure("plugins.slow", category="limit", **{"max": 1, "interval": "10h"} | settings)
    proxy.location("/", plugins=["slow"])


def raw(proxy: Proxy, request: bytes) -> int:
    with proxy.connect() as client:
        client.send(request)
        return client.read_head().status


@pytest.mark.parametrize(
    "fields",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-For": "203.0.113.9, 203.0.113.10"},
        {"X-Real-IP": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Client-IP": "203.0.113.9"},
    ],
)
def test_an_address_that_the_client_claims(proxy: Proxy, fields: dict[str, str]) -> None:
    proxy.configure("basic", trusted_proxies=["192.0.2.1"])
    limited(proxy)
    assert proxy.get("/").status == 200
    assert proxy.get("/", headers=fields).status == 429


def test_an_address_in_front_of_that_of_a_trusted_proxy(proxy: Proxy) -> None:
    limited(proxy)
    for claimed in ("198.51.100.1", "198.51.100.2", "::1"):
        fields = {"X-Forwarded-For": f"{claimed}, 203.0.113.9"}
        found = proxy.get("/", headers=fields).status
        assert found == (200 if claimed == "198.51.100.1" else 429)


@pytest.mark.parametrize("form", ["::ffff:203.0.113.9", "::FFFF:cb00:7109"])
def test_another_form_of_an_address(proxy: Proxy, form: str) -> None:
    limited(proxy)
    assert proxy.get("/", client_ip="203.0.113.9").status == 200
    assert proxy.get("/", client_ip=form).status == 429


@pytest.mark.parametrize(
    "target",
    ["/", "/other", "/%2e/", "/a/..", "//", "/?x=1", "http://upstream/", "/%00", "/%C0%AF"],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"POST"])
def test_forms_of_a_request(proxy: Proxy, upstream: Upstream, target: str, method: bytes) -> None:
    limited(proxy, max=0)
    line = method + b" " + target.encode() + b" HTTP/1.1\r\n"
    assert raw(proxy, line + b"Host: upstream\r\nContent-Length: 0\r\n\r\n") in (400, 429)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n"
        b"TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_kinds_of_requests(proxy: Proxy, upstream: Upstream, request_head: bytes) -> None:
    limited(proxy, max=0)
    status = raw(proxy, request_head)
    assert status in (200, 429)  # a gRPC call gets its status in a trailer
    assert upstream.requests == []


def test_pipelined_requests(proxy: Proxy, upstream: Upstream) -> None:
    limited(proxy)
    with proxy.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
        assert [client.answer().status for _ in range(3)] == [200, 429, 429]
    assert len(upstream.requests) == 1


def test_streams_of_http2(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("servers.web", enabled_h2=True)
    limited(proxy, max=2)
    with proxy.connect_http2() as client:
        streams = [client.send_request("GET", "/") for _ in range(5)]
        found = sorted(client.answer(stream).status for stream in streams)
    assert found == [200, 200, 429, 429, 429]
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "fields",
    [
        b"Cookie: sid=a; sid=b\r\n",
        b"Cookie: sid=a\r\nCookie: sid=b\r\n",
        b"Cookie: x=1;sid=a\r\n",
        b"Cookie:sid=a;\r\n",
    ],
)
def test_a_cookie_that_is_sent_twice(proxy: Proxy, fields: bytes) -> None:
    limited(proxy, tag="cookie", key="sid")
    assert proxy.get("/", headers={"Cookie": "sid=a"}).status == 200
    assert raw(proxy, b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n") == 429


@pytest.mark.parametrize("name", ["x-key", "X-KEY", "x-Key"])
def test_a_header_in_another_case(proxy: Proxy, name: str) -> None:
    limited(proxy, tag="header", key="X-Key")
    assert proxy.get("/", headers={"X-Key": "a"}).status == 200
    assert proxy.get("/", headers={name: "a"}).status == 429


@pytest.mark.parametrize(
    "lines",
    [
        [("X-Key", "a"), ("x-key", "a")],
        [("X-Key", ""), ("X-Key", "a")],
        [("X-Key", "a"), ("X-Key", "")],
    ],
)
def test_a_valid_key_in_several_lines(proxy: Proxy, lines: list[tuple[str, str]]) -> None:
    proxy.configure("plugins.keys", category="key_auth", header="X-Key", keys=["a"])
    proxy.configure("plugins.slow", category="limit", max=1, tag="header", key="X-Key")
    proxy.location("/", plugins=["keys", "slow"])
    assert proxy.get("/", headers={"X-Key": "a"}).status == 200
    assert proxy.get("/", headers=lines).status == 429


@pytest.mark.parametrize("query", ["k=a&k=a", "k=&k=a", "k&k=a", "%6b=%61", "k=a&k"])
def test_a_valid_key_in_several_parameters(proxy: Proxy, query: str) -> None:
    proxy.configure("plugins.keys", category="key_auth", query="k", keys=["a"])
    proxy.configure("plugins.slow", category="limit", max=1, tag="query", key="k")
    proxy.location("/", plugins=["keys", "slow"])
    assert proxy.get("/?k=a").status == 200
    assert proxy.get(f"/?{query}").status == 429


def test_a_key_that_connection_lists(proxy: Proxy) -> None:
    limited(proxy, tag="header", key="X-Key", missing="refuse")
    fields = {"X-Key": "a", "Connection": "close, X-Key"}
    assert proxy.get("/", headers={"X-Key": "a"}).status == 200
    assert proxy.get("/", headers=fields).status in (400, 429)


def test_a_key_in_a_trailer_is_none(proxy: Proxy) -> None:
    limited(proxy, tag="header", key="X-Key", missing="refuse")
    answer = proxy.request("POST", "/", body=[b"x"], trailers={"X-Key": "a"})
    assert answer.status == 400


@pytest.mark.parametrize("host", ["A.example", "a.example:80", "a.example."])
def test_another_form_of_a_host(proxy: Proxy, host: str) -> None:
    limited(proxy, tag="host")
    assert proxy.get("/", headers={"Host": "a.example"}).status == 200
    assert proxy.get("/", headers={"Host": host}).status == 429


@pytest.mark.parametrize("line", [b"", b"Host:\r\n"])
def test_a_request_without_a_host(proxy: Proxy, line: bytes) -> None:
    limited(proxy, tag="host")
    request = b"GET / HTTP/1.0\r\n" + line + b"\r\n"
    assert [raw(proxy, request) for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("path", ["/shop", "/%73hop", "/x/../shop", "/./shop"])
def test_another_form_of_a_path(proxy: Proxy, path: str) -> None:
    limited(proxy, tag="path")
    assert proxy.get("/shop").status == 200
    assert proxy.get(path).status == 429


def test_a_query_with_too_many_parameters(proxy: Proxy, upstream: Upstream) -> None:
    limited(proxy, tag="query", key="k")
    assert proxy.get("/?" + "a&" * 1001).status == 400
    assert upstream.requests == []


def test_a_key_of_any_length(proxy: Proxy) -> None:
    limited(proxy, tag="header", key="X-Key")
    long = {"X-Key": "k" * 7000}
    assert [proxy.get("/", headers=long).status for _ in range(2)] == [200, 429]
    other = {"X-Key": "k" * 6999 + "x"}
    assert [proxy.get("/", headers=other).status for _ in range(2)] == [200, 429]


def test_a_body_that_never_comes_counts(proxy: Proxy) -> None:
    limited(proxy)
    with proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        client.send(b"x")
        proxy.settle()
        assert proxy.get("/").status == 429


def test_a_plugin_behind_it_changes_nothing(proxy: Proxy) -> None:
    """What a cache or mock answers behind it counts, too."""
    proxy.configure("plugins.slow", category="limit", max=1, interval="1h")
    proxy.configure("plugins.here", category="mock", data="mine")
    proxy.location("/", plugins=["slow", "here"])
    assert [proxy.get("/").status for _ in range(2)] == [200, 429]
