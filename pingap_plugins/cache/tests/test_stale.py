"""What happens to responses that are stale: validated, refreshed, served in place of errors."""

from __future__ import annotations

import threading

import pytest
from pingap_cache.plugin import Cache
from waiting import fill, until, written

from pingap.testing import Clock, Proxy, Received, Served, Upstream

ETAG = {"Cache-Control": "max-age=10", "ETag": '"v1"'}
MODIFIED = {"Cache-Control": "max-age=10", "Last-Modified": "Mon, 01 Jan 2001 00:00:00 GMT"}


@pytest.fixture
def cached(proxy: Proxy, kept: dict[str, object]) -> Proxy:
    """A proxy with a cache."""
    proxy.location(plugins=[(Cache, kept)])
    return proxy


def validating(served: Served, request: Received) -> None:
    """Answer 304 to those who know the version, else the whole."""
    if request.header("if-none-match") or request.header("if-modified-since"):
        served.respond(b"", 304, headers={"Cache-Control": "max-age=20", "X-New": "yes"})
    else:
        served.respond(b"0123456789", headers=ETAG if request.path == "/etag" else MODIFIED)


@pytest.mark.parametrize("path", ["/etag", "/modified"])
def test_a_stale_response_is_validated(
    cached: Proxy, upstream: Upstream, clock: Clock, path: str
) -> None:
    upstream.on(path, validating)
    cached.get(path)
    written(cached)
    clock.advance(11)
    answer = cached.get(path)
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert (answer.headers["X-Cache-Status"], answer.headers["X-New"]) == ("revalidated", "yes")
    assert answer.headers["Cache-Status"] == "pingap; fwd=stale; fwd-status=304; stored"
    written(cached)
    clock.advance(15)
    answer = cached.get(path)
    assert (answer.headers["X-Cache-Status"], answer.headers["X-New"]) == ("hit", "yes")
    assert len(upstream.requests) == 2


def test_a_stale_response_that_changed_is_replaced(
    cached: Proxy, upstream: Upstream, clock: Clock
) -> None:
    upstream.reply("/a", b"one", headers=ETAG)
    fill(cached, "/a")
    upstream.reply("/a", b"two", headers={**ETAG, "ETag": '"v2"'})
    written(cached)
    clock.advance(11)
    answer = cached.get("/a")
    assert (answer.body, answer.headers["X-Cache-Status"]) == (b"two", "expired")
    assert upstream.requests[1].header("if-none-match") == '"v1"'
    assert cached.get("/a").body == b"two"


def test_validation_is_for_all_clients(cached: Proxy, upstream: Upstream, clock: Clock) -> None:
    """What a client has, and what part it wants, does not go to the origin."""
    upstream.on("/etag", validating)
    fill(cached, "/etag")
    for headers, status, body in (
        ({"If-None-Match": '"v1"'}, 304, b""),
        ({"If-None-Match": '"v0"'}, 200, b"0123456789"),
        ({"Range": "bytes=2-3"}, 206, b"23"),
    ):
        written(cached)
        clock.advance(21)
        answer = cached.get("/etag", headers=headers)
        assert (answer.status, answer.body) == (status, body)
        assert answer.headers["X-Cache-Status"] == "revalidated"
        asked = upstream.requests[-1]
        assert (asked.header("if-none-match"), asked.header("range")) == ('"v1"', None)


def test_a_304_may_end_caching(cached: Proxy, upstream: Upstream, clock: Clock) -> None:
    upstream.reply("/a", b"one", headers=ETAG)
    fill(cached, "/a")
    upstream.reply("/a", b"", 304, headers={"Cache-Control": "no-store"})
    written(cached)
    clock.advance(11)
    answer = cached.get("/a")
    assert (answer.body, answer.headers["X-Cache-Status"]) == (b"one", "revalidated-nocache")
    upstream.reply("/a", b"two", headers=ETAG)
    assert cached.get("/a").body == b"two"


def test_a_304_about_another_version_is_not_used(
    cached: Proxy, upstream: Upstream, clock: Clock
) -> None:
    """The whole is asked for instead (RFC 9111, 4.3.3 and 4.3.4)."""

    def renamed(served: Served, request: Received) -> None:
        if request.header("if-none-match"):
            served.respond(b"", 304, headers={"ETag": '"v2"'})
        else:
            served.respond(b"two", headers={**ETAG, "ETag": '"v2"'})

    upstream.reply("/a", b"one", headers=ETAG)
    fill(cached, "/a")
    upstream.on("/a", renamed)
    clock.advance(11)
    answer = cached.get("/a", headers={"If-None-Match": '"v0"'})
    assert (answer.status, answer.body) == (200, b"two")
    assert [one.header("if-none-match") for one in upstream.requests] == [None, '"v1"', None]
    written(cached)
    assert cached.get("/a").headers["X-Cache-Status"] == "hit"


def test_a_304_that_nobody_asked_for(cached: Proxy, upstream: Upstream, clock: Clock) -> None:
    upstream.reply("/a", b"", 304, headers=ETAG)
    assert cached.get("/a").status == 502
    assert cached.get("/a", headers={"If-None-Match": '"v1"'}).status == 502
    upstream.reply("/a", b"one", headers=ETAG)
    assert cached.get("/a").body == b"one"


def test_what_a_304_says_to_one_client(cached: Proxy, upstream: Upstream, clock: Clock) -> None:
    """Fields that may not be stored reach the client whose request caused the 304, and no other one."""
    upstream.reply("/a", b"one", headers={**ETAG, "Cache-Control": 'max-age=10, no-cache="x-one"'})
    fill(cached, "/a")
    upstream.reply(
        "/a",
        b"",
        304,
        headers={"X-One": "1", "X-Two": "2", "Set-Cookie": "a=b", "X-Request-Id": "77"},
    )
    clock.advance(11)
    answer = cached.get("/a")
    assert answer.headers["X-Cache-Status"] == "revalidated"
    assert [answer.headers.get(name) for name in ("X-One", "X-Two", "Set-Cookie")] == [
        "1",
        "2",
        "a=b",
    ]
    assert answer.headers["X-Request-Id"] == "77"
    written(cached)
    answer = cached.get("/a")
    assert answer.headers["X-Cache-Status"] == "hit"
    assert answer.headers["X-Two"] == "2"
    assert not {"X-One", "Set-Cookie", "X-Request-Id"} & {*answer.headers}


def test_a_client_that_has_what_is_fetched_gets_304(cached: Proxy, upstream: Upstream) -> None:
    upstream.on("/etag", validating)
    answer = cached.get("/etag", headers={"If-None-Match": '"v1"'})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", '"v1"')
    assert upstream.received_once().header("if-none-match") is None
    hit = cached.get("/etag")
    assert (hit.body, hit.headers["X-Cache-Status"]) == (b"0123456789", "hit")


def test_what_cannot_be_stored_is_validated_by_the_origin(
    cached: Proxy, upstream: Upstream
) -> None:
    headers = {"Cache-Control": "private", "ETag": '"v1"'}
    upstream.reply("/a", b"text", headers=headers)
    assert cached.get("/a", headers={"If-None-Match": '"v1"'}).status == 200
    fill(cached, "/a", headers={"If-None-Match": '"v1"'})
    assert [one.header("if-none-match") for one in upstream.requests] == [None, '"v1"']


def test_no_cache_of_a_request_leads_to_the_origin(cached: Proxy, upstream: Upstream) -> None:
    upstream.on("/etag", validating)
    fill(cached, "/etag")
    answer = cached.get("/etag", headers={"Cache-Control": "no-cache"})
    assert (answer.body, answer.headers["X-Cache-Status"]) == (b"0123456789", "revalidated")
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504, 0])
def test_stale_if_error(cached: Proxy, upstream: Upstream, clock: Clock, status: int) -> None:
    headers = {"Cache-Control": "max-age=10, stale-if-error=100"}
    upstream.reply("/a", b"text", headers=headers)
    fill(cached, "/a")
    if status:
        upstream.reply("/a", b"broken", status)
    else:
        upstream.raw("/a", b"HTTP/1.1 2", then="reset")
    written(cached)
    clock.advance(50)
    answer = cached.get("/a")
    assert (answer.status, answer.body, answer.headers["X-Cache-Status"]) == (200, b"text", "stale")
    assert answer.headers["Cache-Status"].startswith("pingap; hit; ttl=-4")
    written(cached)
    clock.advance(100)
    assert cached.get("/a").status == (status or 502)


def test_must_revalidate_forbids_stale(cached: Proxy, upstream: Upstream, clock: Clock) -> None:
    headers = {"Cache-Control": "max-age=10, stale-if-error=100, must-revalidate"}
    upstream.reply("/a", b"text", headers=headers)
    fill(cached, "/a")
    upstream.reply("/a", b"broken", 503)
    written(cached)
    clock.advance(50)
    assert cached.get("/a").status == 503


REFRESHED = {"Cache-Control": "max-age=10, stale-while-revalidate=100", "ETag": '"v1"'}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_is_refreshed_in_the_background(
    proxy: Proxy, upstream: Upstream, clock: Clock, kept: dict[str, object], method: str
) -> None:
    """Nobody waits for the refresh, and there is only one; it gets what the location sets."""
    proxy.location(plugins=[(Cache, kept)], proxy_set_headers=["X-Location: set"])
    upstream.reply("/a", b"one", headers=REFRESHED)
    fill(proxy, "/a")
    go = threading.Event()
    upstream.reply("/a", b"two", headers=REFRESHED, until=go)
    clock.advance(11)
    for headers in ({"Range": "bytes=0-0"}, {"If-None-Match": '"v0"'}, {}):
        answer = proxy.request(method, "/a", headers=headers)
        body = b"" if method == "HEAD" else b"o" if "Range" in headers else b"one"
        assert (answer.body, answer.headers["X-Cache-Status"]) == (body, "stale-updating")
    upstream.wait_for_request(2)
    go.set()
    until(lambda: proxy.get("/a").headers["X-Cache-Status"] == "hit")
    assert proxy.get("/a").body == b"two"
    assert len(upstream.requests) == 2
    asked = upstream.requests[1]
    assert asked.method == "GET"
    assert (asked.header("if-none-match"), asked.header("range")) == ('"v1"', None)
    assert asked.header("x-location") == "set"


def test_a_304_in_the_background(cached: Proxy, upstream: Upstream, clock: Clock) -> None:
    upstream.reply("/a", b"one", headers=REFRESHED)
    fill(cached, "/a")
    upstream.reply("/a", b"", 304, headers={"Cache-Control": "max-age=60", "X-New": "yes"})
    clock.advance(11)
    assert cached.get("/a").headers["X-Cache-Status"] == "stale-updating"
    until(lambda: cached.get("/a").headers["X-Cache-Status"] == "hit")
    answer = cached.get("/a")
    assert (answer.body, answer.headers["X-New"]) == (b"one", "yes")
    assert len(upstream.requests) == 2
    requests = cached.metrics().value
    assert requests("pingap_cache_requests_total", status="revalidated") == 0
    assert requests("pingap_cache_requests_total", status="stale-updating") >= 1


@pytest.mark.parametrize("status", [0, 503, 404])
def test_a_refresh_that_fails(cached: Proxy, upstream: Upstream, clock: Clock, status: int) -> None:
    """An error leaves what is stored; what is gone takes it along."""
    upstream.reply("/a", b"one", headers=REFRESHED)
    fill(cached, "/a")
    if status:
        upstream.reply("/a", b"no", status)
    else:
        upstream.raw("/a", b"HTTP/1.1 2", then="reset")
    clock.advance(11)
    assert cached.get("/a").body == b"one"
    upstream.wait_for_request(2)
    cached.settle()
    if status == 404:
        until(lambda: cached.get("/a").status == 404)
        return
    upstream.reply("/a", b"two", headers=REFRESHED)
    until(lambda: cached.get("/a").body == b"two")


def test_no_store_of_a_request_refreshes_nothing(
    cached: Proxy, upstream: Upstream, clock: Clock
) -> None:
    upstream.reply("/a", b"one", headers=REFRESHED)
    fill(cached, "/a")
    clock.advance(11)
    answer = cached.get("/a", headers={"Cache-Control": "no-store"})
    assert answer.body == b"one"
    cached.settle()
    upstream.received_once()


@pytest.mark.parametrize("key", ["stale_while_revalidate", "stale_if_error"])
def test_settings_allow_stale_responses(
    proxy: Proxy, upstream: Upstream, clock: Clock, kept: dict[str, object], key: str
) -> None:
    proxy.location(plugins=[(Cache, {**kept, key: "1m"})])
    for path, more in (
        ("/a", ""),
        ("/b", ", must-revalidate"),
        ("/c", f", {key.replace('_', '-')}=0"),
    ):
        upstream.reply(path, b"one", headers={"Cache-Control": f"max-age=10{more}"})
        fill(proxy, path)
        upstream.reply(path, b"broken", 503)
    clock.advance(30)
    assert [proxy.get(path).status for path in ("/a", "/b", "/c")] == [200, 503, 503]
    clock.advance(60)
    assert proxy.get("/a").status == 503


def test_a_304_that_changes_vary_ends_sharing(
    cached: Proxy, upstream: Upstream, clock: Clock
) -> None:
    upstream.reply("/a", b"one", headers=ETAG)
    fill(cached, "/a", {"Accept-Language": "de"})
    upstream.reply(
        "/a", b"", 304, headers={"Vary": "Accept-Language", "Cache-Control": "max-age=60"}
    )
    clock.advance(11)
    fill(cached, "/a", {"Accept-Language": "de"})
    upstream.reply("/a", b"english", headers={**ETAG, "Vary": "Accept-Language"})
    assert cached.get("/a", headers={"Accept-Language": "en"}).body == b"english"
