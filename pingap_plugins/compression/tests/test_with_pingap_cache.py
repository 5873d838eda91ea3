"""With pingap-cache in the same location, where it is installed."""

from __future__ import annotations

import gzip

import pytest

from pingap.testing import Answer, Proxy, Upstream

pytest.importorskip("pingap_cache", reason="pingap-cache is not installed")

TEXT = b"some text, and again some text, and again\n" * 50
HTML = {"Content-Type": "text/html", "ETag": '"a"', "Cache-Control": "max-age=60"}
UP = ("compression", {"gzip_level": 5, "br_level": 4, "mode": "upstream"})
DOWN = ("compression", {"gzip_level": 5})
CACHE = ("cache", {})


def ask(proxy: Proxy, accept: str) -> Answer:
    return proxy.get("/", headers={"Accept-Encoding": accept})


@pytest.mark.parametrize("plugins", [[DOWN, CACHE], [CACHE, DOWN]])
def test_downstream_one_plain_body_serves_everybody(
    plugins: list[tuple[str, dict[str, object]]], proxy: Proxy, upstream: Upstream
) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=plugins)
    for accept, coding in (("gzip", "gzip"), ("identity", None), ("gzip", "gzip")):
        answer = ask(proxy, accept)
        assert answer.header("content-encoding") == coding
        assert (gzip.decompress(answer.body) if coding else answer.body) == TEXT
        assert "accept-encoding" in (answer.header("vary") or "").lower()
    assert len(upstream.requests) == 1


def test_upstream_each_coding_is_stored_once(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=[UP, CACHE])
    for accept, coding in (
        ("gzip", "gzip"),
        ("br", "br"),
        ("identity", None),
        ("gzip", "gzip"),
        ("br", "br"),
    ):
        answer = ask(proxy, accept)
        assert answer.header("content-encoding") == coding
        if coding == "gzip":
            assert gzip.decompress(answer.body) == TEXT
        elif coding is None:
            assert answer.body == TEXT
    assert len(upstream.requests) == 3


def test_a_client_that_has_a_compressed_body_gets_304(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=[DOWN, CACHE])
    tag = ask(proxy, "gzip").header("etag")
    assert tag == 'W/"a"'
    again = proxy.get("/", headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    assert len(upstream.requests) == 1
