"""The configuration of the page about gRPC-Web does what the page says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from docs.blocks import shown_file

from pingap.testing import Proxy, Upstream

MESSAGE = b"\x00\x00\x00\x00\x03\n\x01a"
ORIGIN = "https://app.example.com"


@pytest.fixture
def site(upstream: Upstream) -> Iterator[Proxy]:
    toml = shown_file("grpc-web.md", "pingap.toml")
    toml = toml.replace("127.0.0.1:50051", upstream.addr).replace("127.0.0.1:8080", "127.0.0.1:0")
    with Proxy(toml=toml) as proxy:
        yield proxy


def test_a_page_of_another_origin_may_call(site: Proxy, upstream: Upstream) -> None:
    kind = {"Content-Type": "application/grpc"}
    upstream.reply("/library.Books/Find", MESSAGE, headers=kind, trailers={"grpc-status": "0"})
    headers = {"Content-Type": "application/grpc-web+proto", "Origin": ORIGIN}
    answer = site.request("POST", "/library.Books/Find", headers=headers, body=MESSAGE)
    assert answer.body == MESSAGE + b"\x80\x00\x00\x00\x10grpc-status: 0\r\n"
    assert answer.header("access-control-allow-origin") == ORIGIN


def test_its_preflight_is_answered(site: Proxy, upstream: Upstream) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-grpc-web",
    }
    answer = site.request("OPTIONS", "/library.Books/Find", headers=asked)
    assert answer.status == 204
    assert answer.header("access-control-allow-origin") == ORIGIN
    assert "x-grpc-web" in (answer.header("access-control-allow-headers") or "")
    assert upstream.requests == []
