"""Plugins of other distributions run before an application as before an upstream."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from urllib.parse import quote

import pytest

from pingap.testing import Proxy

Serve = Callable[..., Proxy]


def scripted(body: bytes, *headers: tuple[bytes, bytes]) -> str:
    start = {"type": "http.response.start", "status": 200, "headers": list(headers)}
    return "/?" + quote(repr([start, {"type": "http.response.body", "body": body}]), safe="")


def test_a_guard_and_its_user(serve: Serve) -> None:
    pytest.importorskip("pingap_auth")
    keys = ("key_auth", {"header": "X-Key", "named_keys": {"alice": "the-key-of-alice"}})
    proxy = serve("asgi_starlette:app", asgi_lifespan="on", plugins=[keys])
    assert proxy.get("/url").status == 401
    assert proxy.get("/url", headers={"X-Key": "the-key-of-alice"}).json()["user"] == "alice"


def test_a_cache_asks_the_application_once(serve: Serve) -> None:
    pytest.importorskip("pingap_cache")
    proxy = serve("asgi_raw:counted", plugins=[("cache", {})])
    assert [proxy.get("/a").text for _ in range(3)] == ["1", "1", "1"]
    assert proxy.get("/b").text == "2"


def test_compression(serve: Serve) -> None:
    pytest.importorskip("pingap_compression")
    proxy = serve("asgi_raw:scripted", plugins=[("compression", {"gzip_level": 6})])
    target = scripted(
        b"text " * 1000, (b"content-type", b"text/plain"), (b"content-length", b"5000")
    )
    answer = proxy.get(target, headers={"Accept-Encoding": "gzip"})
    assert answer.header("content-encoding") == "gzip"
    assert gzip.decompress(answer.body) == b"text " * 1000


def test_headers_of_the_location(serve: Serve) -> None:
    proxy = serve("asgi_raw:scope", proxy_set_headers=["X-Real: $client_ip"])
    assert "b'x-real': b'192.0.2.7'" in proxy.get("/", client_ip="192.0.2.7").text


def test_limits_of_the_location(serve: Serve) -> None:
    proxy = serve("asgi_raw:echo", client_max_body_size="10B")
    assert proxy.request("POST", "/", body=bytes(11)).status == 413


def test_a_plugin_that_answers(serve: Serve) -> None:
    proxy = serve("asgi_raw:scripted", plugins=["pingap:ping"])
    assert proxy.get("/ping").text == "pong"
