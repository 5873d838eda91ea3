"""Variants that are not stored, while others of the same URL are (RFC 9111, 4.1 and 4.3.1)."""

from __future__ import annotations

import pytest
from pingap_cache.plugin import Cache
from waiting import fill, until, written

from pingap import Plugin, Request, RequestContext, hookimpl
from pingap.testing import Clock, Proxy, Received, Served, Upstream


@pytest.fixture
def cached(proxy: Proxy, kept: dict[str, object]) -> Proxy:
    """A proxy with a cache."""
    proxy.location(plugins=[(Cache, {**kept, "purge_ip_list": ["192.0.2.0/24"]})])
    return proxy


def by_language(served: Served, request: Received) -> None:
    """German for those who begin with it, else English; 304 to those who have it."""
    german = (request.header("accept-language") or "").startswith("de")
    fields = {
        "Cache-Control": "max-age=60",
        "Vary": "Accept-Language",
        "ETag": '"de"' if german else '"en"',
        "X-For": request.header("accept-language") or "",
    }
    if fields["ETag"] in (request.header("if-none-match") or ""):
        served.respond(b"", 304, headers=fields)
    else:
        served.respond(b"Hallo" if german else b"hello", headers=fields)


def language(value: str) -> dict[str, str]:
    return {"Accept-Language": value}


def test_the_origin_is_told_which_variants_there_are(cached: Proxy, upstream: Upstream) -> None:
    upstream.on("/a", by_language)
    for value in ("de", "en"):
        fill(cached, "/a", language(value))
    answer = cached.get("/a", headers=language("de, fr"))
    assert (answer.status, answer.body, answer.headers["X-For"]) == (200, b"Hallo", "de, fr")
    assert answer.headers["X-Cache-Status"] == "revalidated"
    assert answer.headers["Cache-Status"] == "pingap; fwd=vary-miss; fwd-status=304; stored"
    assert upstream.requests[2].header("if-none-match") == '"de", "en"'
    written(cached)
    # It is stored for requests like this one, too.
    until(lambda: cached.get("/a", headers=language("fr, de")).headers["X-Cache-Status"] == "hit")
    count = len(upstream.requests)
    for value, body in (("de", b"Hallo"), ("en", b"hello"), ("de, fr", b"Hallo")):
        answer = cached.get("/a", headers=language(value))
        assert (answer.body, answer.headers["X-Cache-Status"]) == (body, "hit")
    assert len(upstream.requests) == count


def test_conditions_and_parts_of_the_client(cached: Proxy, upstream: Upstream) -> None:
    upstream.on("/a", by_language)
    fill(cached, "/a", language("de"))
    answer = cached.get("/a", headers={**language("de, x"), "If-None-Match": '"de"'})
    assert (answer.status, answer.headers["X-Cache-Status"]) == (304, "revalidated")
    assert upstream.requests[-1].header("if-none-match") == '"de"'
    answer = cached.get("/a", headers={**language("de, y"), "If-None-Match": '"other"'})
    assert (answer.status, answer.body) == (200, b"Hallo")


def test_a_purge_forgets_them(cached: Proxy, upstream: Upstream) -> None:
    upstream.on("/a", by_language)
    fill(cached, "/a", language("de"))
    assert cached.request("PURGE", "/a", client_ip="192.0.2.7").status == 204
    fill(cached, "/a", language("en"))
    fill(cached, "/a", language("de, fr"))
    assert [one.header("if-none-match") for one in upstream.requests] == [None, None, '"en"']


def test_a_variant_that_is_gone(cached: Proxy, upstream: Upstream, clock: Clock) -> None:
    upstream.on("/a", by_language)
    fill(cached, "/a", language("de"))
    clock.advance(3 * 86400)
    answer = cached.get("/a", headers=language("de, fr"))
    assert (answer.status, answer.body) == (200, b"Hallo")
    assert [one.header("if-none-match") for one in upstream.requests] == [None, '"de"', None]
    written(cached)
    assert cached.get("/a", headers=language("de, fr")).headers["X-Cache-Status"] == "hit"


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"'])
def test_codings_are_not_mixed_up(cached: Proxy, upstream: Upstream, etag: str) -> None:
    """Even if an origin has one tag for all codings, and compares it before it compresses."""

    def coded(served: Served, request: Received) -> None:
        zipped = "gzip" in (request.header("accept-encoding") or "")
        fields = {
            "Cache-Control": "max-age=60",
            "Vary": "Accept-Encoding, Accept-Language",
            "ETag": etag,
        }
        if zipped:
            fields["Content-Encoding"] = "gzip"
        if etag in (request.header("if-none-match") or ""):
            served.respond(b"", 304, headers=fields)
        else:
            served.respond(b"ZIPPED" if zipped else b"plain", headers=fields)

    upstream.on("/a", coded)
    for name, body in (("br", b"plain"), ("gzip", b"ZIPPED"), ("br", b"plain")):
        for language in ("de", "en"):
            headers = {"Accept-Encoding": name, "Accept-Language": language}
            assert cached.get("/a", headers=headers).body == body
            written(cached)
    offered = [one.header("if-none-match") for one in upstream.requests]
    expected = None if etag.startswith("W/") else etag  # (a weak tag may stand for several)
    assert offered == [None, expected, None, expected]


def test_an_origin_whose_304_does_not_name_the_variant(cached: Proxy, upstream: Upstream) -> None:
    """It is not told again."""

    def nameless(served: Served, request: Received) -> None:
        fields = {"Cache-Control": "max-age=60", "Vary": "Accept-Language"}
        if request.header("if-none-match"):
            served.respond(b"", 304, headers=fields)
        else:
            served.respond(b"whole", headers={**fields, "ETag": '"v1"'})

    upstream.on("/a", nameless)
    for value in ("a", "b", "c"):
        assert cached.get("/a", headers=language(value)).body == b"whole"
        written(cached)
    offered = [one.header("if-none-match") for one in upstream.requests]
    assert offered == [None, '"v1"', None, None]


class Coding(Plugin):
    """A plugin that makes variants of its own."""

    category = "coding"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        if (value := request.header("X-Own")) is not None:
            ctx.variants["coding"] = value


def test_variants_of_plugins_are_not_offered_for_each_other(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[Coding, (Cache, kept)])
    upstream.on("/a", by_language)
    fill(proxy, "/a", {**language("de"), "X-Own": "a"})
    fill(proxy, "/a", {**language("de"), "X-Own": "b"})
    fill(proxy, "/a", {**language("de, en"), "X-Own": "b"})
    assert [one.header("if-none-match") for one in upstream.requests] == [None, None, '"de"']
