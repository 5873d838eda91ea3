"""With a cache in the same location: what it stores depends on mode and order, and lint tells.

The cache is a small one that uses the phases of pingap-cache: it answers in ``request``, decides in
``upstream_response``, and stores what passes ``upstream_response_body``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pingap_compression.compression import Compression

from pingap import (
    BodyFilter,
    Headers,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    hookimpl,
)
from pingap.testing import Answer, Proxy, Upstream

TEXT = b"some text, and again some text, and again\n" * 50
HTML = {"Content-Type": "text/html", "ETag": '"a"'}
UP = {"gzip_level": 5, "mode": "upstream"}
DOWN = {"gzip_level": 5}


class Cache(Plugin):
    category = "cache"
    body = "reads"

    def __init__(self, settings: PluginSettings) -> None:
        self.stored: dict[tuple[str, str], tuple[Headers, bytes]] = {}

    def key(self, request: Request, ctx: RequestContext) -> tuple[str, str]:
        return request.target, str(sorted(ctx.variants.items()))

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        found = self.stored.get(self.key(request, ctx))
        return None if found is None else Response(200, found[1], found[0])

    @hookimpl
    def upstream_response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        ctx.state["cache"] = response.headers.copy()

    @hookimpl
    def upstream_response_body(self, request: Request, ctx: RequestContext) -> BodyFilter:
        return Store(self, self.key(request, ctx), ctx.state["cache"])


class Store(BodyFilter):
    def __init__(self, cache: Cache, key: tuple[str, str], headers: Headers) -> None:
        self.cache, self.key, self.headers = cache, key, headers
        self.body = b""

    def feed(self, chunk: bytes) -> bytes:
        self.body += chunk
        return chunk

    def end(self, trailers: Headers) -> bytes:
        self.cache.stored[self.key] = (self.headers, self.body)
        return b""


@pytest.fixture
def cache() -> Cache:
    return Cache(Cache.Settings())


def ask(proxy: Proxy, accept: str) -> Answer:
    return proxy.get("/", headers={"Accept-Encoding": accept})


@pytest.mark.parametrize("first", [True, False])
def test_downstream_a_cache_stores_one_plain_body(
    first: bool, cache: Cache, proxy: Proxy, upstream: Upstream
) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    down = ("compression", DOWN)
    proxy.location("/", plugins=[down, cache] if first else [cache, down])
    answers = [ask(proxy, "gzip"), ask(proxy, "gzip"), ask(proxy, "br")]
    assert [one.header("content-encoding") for one in answers] == ["gzip", "gzip", None]
    assert len(upstream.requests) == 1
    [(headers, body)] = cache.stored.values()
    assert (body, headers["ETag"], "Content-Encoding" in headers) == (TEXT, '"a"', False)


def test_upstream_in_front_a_cache_stores_a_variant_of_each_coding(
    cache: Cache, proxy: Proxy, upstream: Upstream
) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=[("compression", {**UP, "br_level": 4}), cache])
    for accept in ("gzip", "gzip, deflate", "br, gzip", "br", "deflate"):
        ask(proxy, accept)
    codings = [headers.get("content-encoding") for headers, _ in cache.stored.values()]
    assert codings == ["gzip", "br", None]
    assert len(upstream.requests) == 3
    for headers, _ in cache.stored.values():
        assert headers["Vary"] == "Accept-Encoding"
    assert ask(proxy, "gzip").header("etag") == 'W/"a"'


def test_upstream_behind_stores_plain_bodies(
    cache: Cache, proxy: Proxy, upstream: Upstream
) -> None:
    """And what the cache answers with is not compressed: lint tells of this order."""
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=[cache, ("compression", UP)])
    assert [ask(proxy, "gzip").header("content-encoding") for _ in range(2)] == ["gzip", None]


def test_only_upstream_has_a_place_in_front_of_the_cache() -> None:
    assert Compression(Compression.Settings(**UP)).before == ("cache",)
    assert Compression(Compression.Settings(**DOWN)).before == ()


def test_lint_tells_of_a_wrong_order(tmp_path: Path) -> None:
    toml = """
    [plugins.adjust]
    category = "accept_encoding"
    encodings = "gzip"
    [locations.l]
    upstream = "u"
    plugins = ["pingap:compression", "adjust"]
    [upstreams.u]
    addrs = ["127.0.0.1:1"]
    [servers.s]
    addr = "127.0.0.1:0"
    locations = ["l"]
    """
    path = tmp_path / "pingap.toml"
    path.write_text(toml)
    command = [sys.executable, "-m", "pingap", "lint", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    wanted = '"adjust" (accept_encoding) belongs in front of "pingap:compression"'
    assert wanted in done.stdout, done


def test_an_adjustment_in_front_narrows_what_is_compressed(
    proxy: Proxy, upstream: Upstream
) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    keys = {"gzip_level": 5, "zstd_level": 3}
    adjustment = ("accept_encoding", {"encodings": "gzip"})
    proxy.location("/", plugins=[adjustment, ("compression", keys)])
    assert ask(proxy, "zstd, gzip").header("content-encoding") == "gzip"
