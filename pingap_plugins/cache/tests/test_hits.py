"""What clients get from the store, through a real proxy."""

from __future__ import annotations

import pytest
from pingap_cache.plugin import Cache
from waiting import fill, written

from pingap import Plugin, Request, hookimpl
from pingap.testing import Clock, Proxy, Upstream

FRESH = {"Cache-Control": "max-age=60", "ETag": '"v1"'}
OLD = "Mon, 01 Jan 2001 00:00:00 GMT"


@pytest.fixture
def cached(proxy: Proxy, upstream: Upstream, clock: Clock, kept: dict[str, object]) -> Proxy:
    """A proxy with a cache in front of a page."""
    proxy.location(plugins=[(Cache, kept)])
    upstream.reply("/a", b"0123456789", headers=FRESH)
    return proxy


def test_a_response_is_served_again(cached: Proxy, upstream: Upstream, clock: Clock) -> None:
    first = cached.get("/a")
    written(cached)
    assert (first.body, first.headers["X-Cache-Status"]) == (b"0123456789", "miss")
    assert first.headers["Cache-Status"] == "pingap; fwd=uri-miss; stored"
    assert "Age" not in first.headers
    clock.advance(10)
    second = cached.get("/a")
    assert (second.body, second.headers["X-Cache-Status"]) == (b"0123456789", "hit")
    assert second.headers["Age"] in ("10", "11")
    assert second.headers["Cache-Status"].startswith("pingap; hit; ttl=")
    assert second.headers["Content-Length"] == "10"
    upstream.received_once()


def test_a_client_that_has_it_gets_304(cached: Proxy, upstream: Upstream) -> None:
    fill(cached, "/a")
    answer = cached.get("/a", headers={"If-None-Match": '"v0", W/"v1"'})
    assert (answer.status, answer.body) == (304, b"")
    assert (answer.headers["ETag"], answer.headers["X-Cache-Status"]) == ('"v1"', "hit")
    assert "Content-Length" not in answer.headers
    assert cached.get("/a", headers={"If-None-Match": '"v0"'}).status == 200
    upstream.received_once()


def test_parts_are_cut_from_the_whole(cached: Proxy, upstream: Upstream) -> None:
    fill(cached, "/a")
    part = cached.get("/a", headers={"Range": "bytes=2-4"})
    assert (part.status, part.body) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    several = cached.get("/a", headers={"Range": "bytes=0-1,8-9"})
    assert several.status == 206
    boundary = several.headers["Content-Type"].partition("boundary=")[2].encode()
    assert several.body.count(b"--" + boundary) == 3
    assert b"bytes 8-9/10\r\n\r\n89\r\n" in several.body
    beyond = cached.get("/a", headers={"Range": "bytes=10-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */10")
    changed = cached.get("/a", headers={"Range": "bytes=2-4", "If-Range": '"v0"'})
    assert (changed.status, changed.body) == (200, b"0123456789")
    upstream.received_once()


def test_head_is_answered_from_get(cached: Proxy, upstream: Upstream) -> None:
    fill(cached, "/a")
    answer = cached.request("HEAD", "/a")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "10")
    assert answer.headers["X-Cache-Status"] == "hit"
    upstream.received_once()


def test_a_head_that_found_nothing_stores_nothing(cached: Proxy, upstream: Upstream) -> None:
    assert "X-Cache-Status" not in cached.request("HEAD", "/a").headers
    assert cached.get("/a").headers["X-Cache-Status"] == "miss"
    assert [one.method for one in upstream.requests] == ["HEAD", "GET"]


def test_a_head_that_tells_of_another_version_removes_what_is_stored(
    cached: Proxy, upstream: Upstream, clock: Clock
) -> None:
    fill(cached, "/a")
    upstream.reply("/a", b"new", headers={**FRESH, "ETag": '"v2"'})
    written(cached)
    clock.advance(100)
    cached.request("HEAD", "/a")
    answer = cached.get("/a")
    assert (answer.body, answer.headers["X-Cache-Status"]) == (b"new", "miss")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "LOCK"])
def test_an_unsafe_request_removes_what_it_changes(
    cached: Proxy, upstream: Upstream, method: str
) -> None:
    fill(cached, "/a")
    fill(cached, "/other")
    upstream.reply("/made", b"", 201, headers={"Location": "/a"})
    assert cached.get("/a").headers["X-Cache-Status"] == "hit"
    cached.request(method, "/made", body=b"x")
    assert cached.get("/a").headers["X-Cache-Status"] == "miss"
    upstream.reply("/refused", b"", 403, headers={"Location": "/a"})
    cached.request(method, "/refused", body=b"x")
    assert cached.get("/a").headers["X-Cache-Status"] == "hit"


def test_only_if_cached(cached: Proxy, upstream: Upstream) -> None:
    headers = {"Cache-Control": "only-if-cached"}
    answer = cached.get("/a", headers=headers)
    assert (answer.status, upstream.requests) == (504, [])
    assert answer.headers["Cache-Status"].startswith("pingap; fwd=request")
    fill(cached, "/a")
    assert cached.get("/a", headers=headers).status == 200


def test_fields_of_one_request_are_not_replayed(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[("request_id", {}), (Cache, kept)])
    names = ("X-Trace-Id", "X-Span-Id", "traceparent", "uber-trace-id", "traceresponse")
    traces = {**dict.fromkeys(names, "t"), "X-Request-Id": "of the origin"}
    upstream.reply("/a", b"text", headers={**FRESH, **traces})
    fill(proxy, "/a", headers={"X-Request-Id": "one"})
    hit = proxy.get("/a", headers={"X-Request-Id": "two"})
    assert (hit.headers["X-Cache-Status"], hit.headers["X-Request-Id"]) == ("hit", "two")
    assert [name for name in names if name in hit.headers] == []


def test_hosts_and_queries_have_entries_of_their_own(cached: Proxy, upstream: Upstream) -> None:
    for host in ("one.example", "two.example"):
        for target in ("/a", "/a?", "/a?b", "/a?c&b", "/a?b&c"):
            answer = cached.get(target, headers={"Host": host})
            assert answer.headers["X-Cache-Status"] == "miss", (host, target)
    assert (
        cached.get("/a?b&c", headers={"Host": "TWO.example:80"}).headers["X-Cache-Status"] == "hit"
    )


def test_parts_of_queries_can_be_left_out(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "query_sort": True, "query_ignore": ["utm_*", "x"]})])
    upstream.reply("/a", b"text", headers=FRESH)
    assert proxy.get("/a?b=2&a=1&utm_source=mail").headers["X-Cache-Status"] == "miss"
    for query in ("?a=1&b=2", "?x=9&b=2&utm_medium=x&a=1"):
        assert proxy.get(f"/a{query}").headers["X-Cache-Status"] == "hit"
    assert proxy.get("/a?b=2&a=1&xx=1").headers["X-Cache-Status"] == "miss"
    assert upstream.requests[0].query == "b=2&a=1&utm_source=mail"


def test_headers_are_part_of_the_key(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "headers": ["X-Tenant", "X-Mode"]})])
    upstream.reply("/a", b"text", headers=FRESH)
    kinds = [
        {},
        {"X-Tenant": "a"},
        {"X-Mode": "a"},
        {"X-Tenant": ""},
        {"X-Tenant": "a", "X-Mode": "a"},
    ]
    assert [proxy.get("/a", headers=one).headers["X-Cache-Status"] for one in kinds] == ["miss"] * 5
    assert [proxy.get("/a", headers=one).headers["X-Cache-Status"] for one in kinds] == ["hit"] * 5


class Device(Plugin):
    """Says that responses depend on a header, without ``Vary``."""

    category = "device"

    @hookimpl
    def request(self, request: Request, ctx) -> None:  # type: ignore[no-untyped-def]
        ctx.variants["device"] = request.header("X-Device") or "other"


def test_variants_of_other_plugins_are_part_of_the_key(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[Device, (Cache, kept)])
    upstream.on(
        "/a",
        lambda served, request: served.respond(request.header("x-device").encode(), headers=FRESH),
    )
    for status in ("miss", "hit"):
        for device in ("phone", "desktop"):
            answer = proxy.get("/a", headers={"X-Device": device})
            assert (answer.text, answer.headers["X-Cache-Status"]) == (device, status)


def test_variants_by_vary(proxy: Proxy, upstream: Upstream, kept: dict[str, object]) -> None:
    proxy.location(plugins=[(Cache, kept)])
    headers = {**FRESH, "Vary": "Accept-Language"}

    def speak(served, request):  # type: ignore[no-untyped-def]
        served.respond((request.header("accept-language") or "none").encode(), headers=headers)

    upstream.on("/a", speak)
    for status in ("miss", "hit"):
        for language in ("de", "en", "fr;q=0.5, en"):
            answer = proxy.get("/a", headers={"Accept-Language": language})
            assert (answer.text, answer.headers["X-Cache-Status"]) == (language, status)
        assert proxy.get("/a").headers["X-Cache-Status"] == status
    assert proxy.get("/a", headers={"Accept-Language": "EN , FR;q=0.5"}).text == "fr;q=0.5, en"
    proxy.request("POST", "/a")
    assert proxy.get("/a", headers={"Accept-Language": "de"}).headers["X-Cache-Status"] == "miss"


def test_what_bypasses(proxy: Proxy, upstream: Upstream, kept: dict[str, object]) -> None:
    proxy.location(plugins=[(Cache, {**kept, "skip": r"^/private/(?!shared)|\?preview"})])
    for path in ("/a", "/private/x", "/private/shared"):
        upstream.reply(path, b"text", headers=FRESH)
    for path in ("/private/x", "/a?preview=1"):
        assert [proxy.get(path).headers.get("X-Cache-Status") for _ in range(2)] == [None, None]
    for path in ("/private/shared", "/a"):
        assert [proxy.get(path).headers.get("X-Cache-Status") for _ in range(2)] == ["miss", "hit"]


@pytest.mark.parametrize(
    ("headers", "settings"),
    [
        ({"Cache-Control": "no-store"}, {}),
        ({"Cache-Control": "private, max-age=60"}, {}),
        ({"Cache-Control": "max-age=60", "Vary": "*"}, {}),
        ({"Set-Cookie": "a=b", "Last-Modified": "Mon, 01 Jan 2001 00:00:00 GMT"}, {}),
        ({"Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}, {"check_cache_control": True}),
        ({"Cache-Control": "max-age=60"}, {"max_file_size": "9B"}),
        ({}, {}),
    ],
)
def test_what_is_not_stored(
    proxy: Proxy,
    upstream: Upstream,
    headers: dict[str, str],
    settings: dict[str, object],
    kept: dict[str, object],
) -> None:
    proxy.location(plugins=[(Cache, {**kept, **settings})])
    upstream.reply("/a", b"0123456789", headers=headers)
    for _ in range(2):
        answer = proxy.get("/a")
        assert "X-Cache-Status" not in answer.headers
        assert answer.headers["Cache-Status"].startswith("pingap; fwd=uri-miss; detail=")
    assert len(upstream.requests) == 2


def test_a_body_of_unknown_length_that_is_too_large_is_not_stored(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "max_file_size": "100KiB"})])
    upstream.stream("/a", lambda: iter([b"x" * 60_000] * 2), headers=FRESH)
    assert len(proxy.get("/a").body) == 120_000
    assert len(proxy.get("/a").body) == 120_000
    assert len(upstream.requests) == 2


def test_max_ttl(proxy: Proxy, upstream: Upstream, clock: Clock, kept: dict[str, object]) -> None:
    proxy.location(plugins=[(Cache, {**kept, "max_ttl": "10s"})])
    upstream.reply("/a", b"text", headers={"Expires": "Thu, 01 Jan 2099 00:00:00 GMT"})
    fill(proxy, "/a")
    written(proxy)
    clock.advance(9)
    assert proxy.get("/a").headers["X-Cache-Status"] == "hit"
    written(proxy)
    clock.advance(2)
    assert proxy.get("/a").headers["X-Cache-Status"] != "hit"


def test_an_incomplete_response_is_not_stored(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, kept)])
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\n"
    upstream.raw("/a", head, b"half", pause=0.01)
    assert not proxy.get("/a").complete
    upstream.reply("/a", b"all of it", headers=FRESH)
    assert proxy.get("/a").body == b"all of it"


def test_a_response_without_content(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, kept)])
    upstream.reply("/a", b"", 204, headers=FRESH)
    upstream.reply("/b", b"", 200, headers=FRESH)
    for path, status in (("/a", 204), ("/b", 200)):
        assert [proxy.get(path).headers["X-Cache-Status"] for _ in range(2)] == ["miss", "hit"]
        assert proxy.get(path).status == status


def test_all_versions_of_http_share_entries(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location(plugins=[(Cache, kept)])
    upstream.reply("/a", b"0123456789", headers=FRESH)
    host = {"Host": f"127.0.0.1:{proxy.port()}"}
    fill(proxy, "/a", host)
    with proxy.connect_http2(headers=host) as client:
        answer = client.get("/a")
        assert (answer.body, answer.headers["x-cache-status"]) == (b"0123456789", "hit")
        head = client.request("HEAD", "/a")
        assert (head.body, head.headers["content-length"]) == (b"", "10")
        assert client.get("/a", headers={"Range": "bytes=1-2"}).body == b"12"
        assert client.get("/a", headers={"If-None-Match": '"v1"'}).status == 304
    upstream.received_once()


def test_a_client_of_http_1_0(proxy: Proxy, upstream: Upstream, kept: dict[str, object]) -> None:
    proxy.location(plugins=[(Cache, kept)])
    upstream.reply("/a", b"0123456789", headers=FRESH)
    fill(proxy, "/a", {"Host": "old.example"})
    with proxy.connect() as client:
        client.send(b"GET /a HTTP/1.0\r\nHost: old.example\r\n\r\n")
        answer = client.answer()
    assert (answer.body, answer.headers["X-Cache-Status"]) == (b"0123456789", "hit")


def test_a_large_body_streams_from_the_store(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "max_file_size": 0})])
    body = bytes(range(256)) * 8192
    upstream.reply("/a", body, headers=FRESH)
    upstream.stream("/b", lambda: iter([body[:1_000_000], body[1_000_000:]]), headers=FRESH)
    for path in ("/a", "/b"):
        fill(proxy, path)
        answer = proxy.get(path)
        assert (answer.body == body, answer.headers["X-Cache-Status"]) == (True, "hit")
        assert answer.headers["Content-Length"] == str(len(body))
        parts = proxy.get(path, headers={"Range": "bytes=65530-65545,2000000-2000010"})
        assert parts.body.count(body[65530:65546]) == 1
        assert body[2000000:2000011] in parts.body
    assert len(upstream.requests) == 2


def test_a_hit_has_the_fields_of_the_origin_and_no_others(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, kept)])
    expires = "Thu, 01 Jan 2099 00:00:00 GMT"
    upstream.reply("/a", b"0123456789", headers={"Expires": expires, "X-A": "1", "ETag": '"v1"'})
    fill(proxy, "/a")
    for headers in ({}, {"Range": "bytes=1-2"}, {"If-None-Match": '"v1"'}):
        answer = proxy.get("/a", headers=headers)
        names = {name.lower() for name, _ in answer.headers} - {"content-length", "content-range"}
        assert names - {"accept-ranges", "x-cache-lookup"} == {
            *("expires", "x-a", "etag", "age", "x-cache-status", "cache-status", "date"),
        }


def test_a_response_keeps_the_date_at_which_it_came(
    proxy: Proxy, upstream: Upstream, clock: Clock, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, kept)])
    upstream.reply("/a", b"text", headers=FRESH)
    dates = {proxy.get("/a").headers["Date"]}
    written(proxy)
    clock.advance(30)
    assert {proxy.get("/a").headers["Date"]} == dates


def test_a_response_to_post_that_get_would_bring(cached: Proxy, upstream: Upstream) -> None:
    """It answers GET, if it has a lifetime and says so by Content-Location (RFC 9110, 9.3.3)."""
    fresh = {"Cache-Control": "max-age=60"}
    for path, status, headers, expected in (
        ("/same", 200, {**fresh, "Content-Location": "/same"}, b"posted"),
        ("/other", 200, {**fresh, "Content-Location": "/elsewhere"}, b"got"),
        ("/none", 200, fresh, b"got"),
        ("/guess", 200, {"Content-Location": "/guess", "Last-Modified": OLD}, b"got"),
        ("/error", 500, {**fresh, "Content-Location": "/error"}, b"got"),
        ("/private", 200, {"Cache-Control": "private", "Content-Location": "/private"}, b"got"),
    ):
        upstream.reply(path, b"posted", status, headers=headers)
        answer = cached.request("POST", path, body=b"abc")
        assert answer.status == status
        written(cached)
        upstream.reply(path, b"got", headers=fresh)
        assert cached.get(path).body == expected, path
    assert cached.get("/same").headers["X-Cache-Status"] == "hit"
    assert cached.request("HEAD", "/same").headers["Content-Length"] == "6"


def test_a_response_to_post_takes_the_place_of_one_to_get(
    cached: Proxy, upstream: Upstream
) -> None:
    fresh = {"Cache-Control": "max-age=60", "Content-Location": "/a"}
    fill(cached, "/a", {"X-Some": "1"})
    for body in (b"first", b"second"):
        upstream.reply("/a", body, headers=fresh)
        answer = cached.request("POST", "/a", body=b"abc")
        assert answer.headers["Cache-Status"] == "pingap; fwd=method; stored"
        written(cached)
        assert cached.get("/a").body == body
    assert len(upstream.requests) == 3


class Rewrite(Plugin):
    category = "rewrite"

    @hookimpl
    def request(self, request: Request) -> None:
        request.rewrite("/inside" + request.path)


def test_unsafe_requests_that_are_rewritten_behind_it(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    """What counts is the URL that the client asked for, as for GET."""
    proxy.location(plugins=[(Cache, kept), Rewrite])
    upstream.reply("/inside/a", b"one", headers=FRESH)
    fill(proxy, "/a")
    upstream.reply("/inside/a", b"two", headers=FRESH)
    proxy.request("POST", "/a", body=b"abc")
    assert proxy.get("/a").body == b"two"


@pytest.mark.parametrize("status", [102, 103])
def test_interim_responses_pass_and_are_not_stored(
    cached: Proxy, upstream: Upstream, status: int
) -> None:
    early = f"HTTP/1.1 {status} Early\r\nLink: </style.css>; rel=preload\r\n\r\n"
    final = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\none"
    upstream.raw("/early", (early + final).encode())
    answer = cached.get("/early")
    assert answer.body == b"one"
    [interim] = answer.interim
    assert (interim.status, interim.headers["Link"]) == (status, "</style.css>; rel=preload")
    written(cached)
    answer = cached.get("/early")
    assert (answer.headers["X-Cache-Status"], "Link" in answer.headers) == ("hit", False)


@pytest.mark.parametrize("asked", ["max-age=0", "no-cache", "min-fresh=100"])
def test_what_the_request_does_not_want(cached: Proxy, upstream: Upstream, asked: str) -> None:
    fill(cached, "/a")
    answer = cached.get("/a", headers={"Cache-Control": asked})
    assert answer.headers["Cache-Status"].startswith("pingap; fwd=request")


def test_only_some_content_types_are_stored(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "content_types": ["text/HTML", "image/*"]})])
    for path, kind in {
        "/page": "Text/html; charset=utf-8", "/image": "image/png", "/data": "application/json",
    }.items():  # fmt: skip
        upstream.reply(path, b"x", headers={**FRESH, "Content-Type": kind})
    upstream.reply("/none", b"x", headers=FRESH)
    found = {}
    for path in ("/page", "/image", "/data", "/none"):
        reason = proxy.get(path).headers["Cache-Status"]
        written(proxy)
        again = proxy.get(path).headers.get("X-Cache-Status")
        found[path] = again == "hit", "content_types" in reason
    stored, not_stored = (True, False), (False, True)
    assert found == {
        "/page": stored, "/image": stored, "/data": not_stored, "/none": not_stored,
    }  # fmt: skip
