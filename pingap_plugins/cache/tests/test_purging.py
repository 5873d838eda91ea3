"""PURGE: by URL, prefix, namespace and tag, hard and soft."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from pingap_cache.plugin import Cache
from waiting import written

from pingap.testing import Answer, Clock, Proxy, Upstream

LOCAL = {"purge_ip_list": ["192.0.2.0/24", "2001:db8::1"]}
FRESH = {"Cache-Control": "max-age=60", "ETag": '"v1"'}


@pytest.fixture
def cached(proxy: Proxy, upstream: Upstream, kept: dict[str, object]) -> Proxy:
    """A proxy with a cache that has some pages."""
    proxy.location(plugins=[(Cache, {**kept, **LOCAL})])
    for path, tag in (("/a", "red, blue"), ("/b", "blue"), ("/c/1", "green"), ("/c/2", "red")):
        upstream.reply(path, path.encode(), headers={**FRESH, "Cache-Tag": tag})
    for path in ("/a", "/a?x", "/b", "/c/1", "/c/2"):
        proxy.get(path)
    written(proxy)
    return proxy


def purge(proxy: Proxy, target: str, client_ip: str = "192.0.2.7", **headers: str) -> Answer:
    """Send a PURGE."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return proxy.request("PURGE", target, headers=fields, client_ip=client_ip)


def stored(proxy: Proxy) -> set[str]:
    """Return the paths that are answered from the store."""
    only = {"Cache-Control": "only-if-cached"}
    paths = ("/a", "/a?x", "/b", "/c/1", "/c/2")
    return {path for path in paths if proxy.get(path, headers=only).status == 200}


def test_a_url(cached: Proxy, upstream: Upstream) -> None:
    assert purge(cached, "/a").status == 204
    assert stored(cached) == {"/a?x", "/b", "/c/1", "/c/2"}
    assert purge(cached, "/never-stored").status == 204
    assert "PURGE" not in [one.method for one in upstream.requests]


def test_a_prefix(cached: Proxy) -> None:
    assert purge(cached, "/c/*").text == "purged: 2, fail: 0"
    assert stored(cached) == {"/a", "/a?x", "/b"}


def test_everything(cached: Proxy) -> None:
    answer = purge(cached, "/*")
    assert (answer.status, answer.text) == (200, "purged: 5, fail: 0")
    assert stored(cached) == set()


@pytest.mark.parametrize("header", ["Cache_Tag", "Surrogate_Key"])
def test_a_tag(cached: Proxy, header: str) -> None:
    assert purge(cached, "/", **{header: "red"}).status == 204
    assert stored(cached) == {"/b", "/c/1"}


def test_softly(cached: Proxy, upstream: Upstream) -> None:
    purge(cached, "/a", x_purge="soft")
    assert stored(cached) == {"/a?x", "/b", "/c/1", "/c/2"}
    upstream.reply("/a", b"", 304)
    answer = cached.get("/a")
    assert (answer.body, answer.headers["X-Cache-Status"]) == (b"/a", "revalidated")
    assert "/a" in stored(cached)


def test_variants_go_with_their_url(cached: Proxy, upstream: Upstream) -> None:
    upstream.reply("/v", b"v", headers={**FRESH, "Vary": "Accept"})
    for status in ("miss", "hit"):
        for kind in ("text/html", "image/png"):
            assert cached.get("/v", headers={"Accept": kind}).headers["X-Cache-Status"] == status
        written(cached)
    purge(cached, "/v")
    for kind in ("text/html", "image/png"):
        assert cached.get("/v", headers={"Accept": kind}).headers["X-Cache-Status"] == "miss"


@pytest.mark.parametrize("address", ["192.0.3.1", "2001:db8::2"])
def test_others_may_not(cached: Proxy, address: str) -> None:
    answer = purge(cached, "/a", address)
    assert (answer.status, answer.text) == (403, "Forbidden, ip is not allowed")
    assert "/a" in stored(cached)


@pytest.mark.parametrize("address", ["::ffff:192.0.2.1", "2001:db8::1"])
def test_every_spelling_of_an_address(cached: Proxy, address: str) -> None:
    assert purge(cached, "/a", address).status == 204


def test_nobody_may_unless_listed(proxy: Proxy, kept: dict[str, object]) -> None:
    proxy.location(plugins=[(Cache, kept)])
    assert purge(proxy, "/a", "127.0.0.1").status == 403


def test_namespaces_are_apart(proxy: Proxy, upstream: Upstream, kept: dict[str, object]) -> None:
    for name in ("one", "two"):
        settings = {"namespace": name, **LOCAL}
        proxy.location(f"/{name}", plugins=[(Cache, {**kept, **settings})])
        upstream.reply(f"/{name}/a", b"text", headers=FRESH)
    for name in ("one", "two"):
        proxy.get(f"/{name}/a")
    written(proxy, plugin="cache")
    written(proxy, plugin="cache_2")
    assert purge(proxy, "/one/*").text == "purged: 1, fail: 0"
    assert proxy.get("/one/a").headers["X-Cache-Status"] == "miss"
    assert proxy.get("/two/a").headers["X-Cache-Status"] == "hit"


@pytest.mark.parametrize("how", ["purge", "post"])
def test_what_is_fetched_meanwhile_is_not_kept(
    cached: Proxy, upstream: Upstream, how: str, kept: dict[str, object]
) -> None:
    """What the origin sent before a purge may be what was purged."""
    go = threading.Event()
    upstream.reply("/new", b"old", headers=FRESH, until=go)
    with cached.connect() as client:
        client.send_request("GET", "/new")
        upstream.wait_for_request(6)
        if how == "purge":
            purge(cached, "/new")
        else:
            upstream.reply("/change", b"", 201, headers={"Location": "/new"})
            cached.request("POST", "/change")
        go.set()
        assert client.answer().body == b"old"
    upstream.reply("/new", b"new", headers=FRESH)
    assert cached.get("/new").body == b"new"


def test_a_purge_says_nothing_about_later_responses(
    cached: Proxy, upstream: Upstream, clock: Clock
) -> None:
    purge(cached, "/a")
    cached.get("/a")
    assert cached.get("/a").headers["X-Cache-Status"] == "hit"


def test_with_many_locations(proxy: Proxy, upstream: Upstream, kept: dict[str, object]) -> None:
    proxy.configure("plugins.c", category="cache", **{**kept, **LOCAL})
    for number in range(20):
        proxy.location(f"/{number}/", name=f"l{number}", plugins=["c"])
    upstream.reply("/3/a", b"text", headers=FRESH)
    upstream.reply("/3/ab", b"text", headers=FRESH)
    for remove in ("PURGE", "POST"):
        for target in ("/3/a", "/3/ab"):
            proxy.get(target)
        written(proxy)
        proxy.request(remove, "/3/a", client_ip="192.0.2.7")
        assert proxy.get("/3/ab").headers["X-Cache-Status"] == "hit"
        assert proxy.get("/3/a").headers["X-Cache-Status"] == "miss"
        written(proxy)


@pytest.mark.parametrize("target", ["/new", "/*", "/"])
def test_nobody_joins_what_was_purged(cached: Proxy, upstream: Upstream, target: str) -> None:
    more = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"old"
        more.wait(10)

    upstream.stream("/new", parts, headers={**FRESH, "Cache-Tag": "red"})
    with cached.connect() as client:
        client.send_request("GET", "/new")
        client.read_head()
        purge(cached, target, **({"Cache_Tag": "red"} if target == "/" else {}))
        upstream.reply("/new", b"new", headers=FRESH)
        assert cached.get("/new").body == b"new"
        more.set()
        assert client.read_rest() == b"old"
    written(cached)
    assert cached.get("/new").body == b"new"


@pytest.mark.parametrize(
    ("address", "networks", "status"),
    [
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], 204),
        ("::ffff:11.1.2.3", ["10.0.0.0/8"], 403),
        ("10.1.2.3", ["::ffff:10.0.0.0/104"], 204),
        ("2001:db8::1", ["2001:db8::/32"], 204),
    ],
)
def test_ipv4_mapped_addresses(
    proxy: Proxy, upstream: Upstream, address: str, networks: list[str], status: int
) -> None:
    proxy.location(plugins=[(Cache, {"purge_ip_list": networks})])
    assert proxy.request("PURGE", "/a", client_ip=address).status == status
