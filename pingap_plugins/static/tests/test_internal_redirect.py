"""``internal_redirect``: an upstream decides, an internal location answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pingap.testing import Proxy, Upstream, configuration_problems

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def site(proxy: Proxy, upstream: Upstream, root: Path) -> Proxy:
    (root / "a b.bin").write_bytes(CONTENT)
    (root / "page.txt").write_text("protected")
    proxy.configure("plugins.files", category="directory", path=str(root), strip_prefix="/files")
    proxy.location("/files", plugins=["files"], internal=True, upstream="")
    proxy.location("/remote", internal=True, proxy_set_headers=["X-Inner: yes"])
    proxy.location("/", internal_redirect=["X-Pingap-Redirect", "X-Accel-Redirect"])
    return proxy


def redirecting(upstream: Upstream, target: str, **headers: str) -> None:
    fields = {"X-Accel-Redirect": target, **{k.replace("_", "-"): v for k, v in headers.items()}}
    upstream.reply("/app", body=b"never seen", headers=fields)


def test_the_file_is_sent_with_what_the_upstream_says_about_it(
    site: Proxy, upstream: Upstream
) -> None:
    redirecting(
        upstream,
        "/files/a%20b.bin",
        Content_Type="application/x-thing",
        Content_Disposition='attachment; filename="a.bin"',
        Set_Cookie="seen=1",
        Cache_Control="private, max-age=5",
        X_Accel_Expires="10",
        ETag='"of the page"',
    )
    answer = site.get("/app")
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.header("content-type") == "application/x-thing"
    assert answer.header("content-disposition") == 'attachment; filename="a.bin"'
    assert (answer.header("set-cookie"), answer.header("cache-control")) == (
        "seen=1",
        "private, max-age=5",
    )
    assert answer.header("etag") not in (None, '"of the page"')
    assert "x-accel" not in str(answer.headers).lower()


def test_ranges_conditions_and_head(site: Proxy, upstream: Upstream) -> None:
    redirecting(upstream, "/files/a%20b.bin", Content_Type="application/x-thing")
    part = site.get("/app", headers={"Range": "bytes=1-3"})
    assert (part.status, part.body) == (206, CONTENT[1:4])
    etag = site.get("/app").header("etag")
    assert etag is not None
    unchanged = site.get("/app", headers={"If-None-Match": etag})
    assert (unchanged.status, unchanged.header("content-type")) == (304, None)
    head = site.request("HEAD", "/app")
    assert (head.status, head.header("content-length")) == (200, str(len(CONTENT)))
    several = site.get("/app", headers={"Range": "bytes=0-0,5-5"})
    assert str(several.header("content-type")).startswith("multipart/byteranges")


def test_clients_cannot_reach_an_internal_location(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/files/page.txt", body=b"of the app")
    assert site.get("/files/page.txt").body == b"of the app"


def test_an_upstream_can_be_behind_the_internal_location(site: Proxy, upstream: Upstream) -> None:
    redirecting(upstream, "/remote/x?y=1", Content_Type="text/x-app")
    upstream.reply("/remote/x", body=b"remote", headers={"X-Accel-Redirect": "/secret"})
    with site.connect() as client:
        for _ in range(2):
            answer = client.request("POST", "/app", body=b"data" * 20_000)
            assert (answer.status, answer.body) == (200, b"remote")
            assert answer.header("content-type") == "text/x-app"
            assert answer.header("x-accel-redirect") is None
    second = upstream.requests[1]
    assert (second.method, second.target, second.body) == ("GET", "/remote/x?y=1", b"")
    assert second.header("x-inner") == "yes"
    assert second.header("content-length") is None
    assert upstream.requests[0].header("x-inner") is None


def test_the_log_shows_the_request_of_the_client(
    start_proxy: Callable[[str], Proxy], upstream: Upstream, root: Path
) -> None:
    (root / "page.txt").write_text("protected")
    proxy = start_proxy(f"""
[upstreams.app]
addrs = ["{upstream.addr}"]
[plugins.files]
category = "directory"
path = "{root}"
[plugins.one]
category = "response_headers"
add_headers = ["X-Order: outer"]
[plugins.two]
category = "response_headers"
add_headers = ["X-Order: inner"]
[locations.app]
upstream = "app"
internal_redirect = ["X-Pingap-Redirect"]
plugins = ["one"]
[locations.files]
path = "/page.txt"
plugins = ["two", "files"]
internal = true
[servers.web]
addr = "127.0.0.1:0"
locations = ["app", "files"]
access_log = "{{method}} {{uri}} {{status}}"
""")
    upstream.reply("/app", headers={"X-Pingap-Redirect": "/page.txt"})
    answer = proxy.request("POST", "/app?a=b", body=b"1")
    assert (answer.status, answer.text) == (200, "protected")
    assert answer.header_all("x-order") == ["inner", "outer"]
    assert proxy.wait_for_access_log(1) == ["POST /app?a=b 200"]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/files/missing", 404),
        ("/files/../page.txt", 404),
        ("/files/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/elsewhere", 404),
        ("//files/page.txt", 502),
        ("http://other.test/files/page.txt", 502),
        ("files/page.txt", 502),
        ("/files/a\x7fb", 502),
    ],
)
def test_other_targets_are_errors(
    site: Proxy, upstream: Upstream, target: str, status: int
) -> None:
    redirecting(upstream, target, Set_Cookie="a=1", Content_Type="video/mp4")
    answer = site.get("/app", headers={"Accept": "application/json"})
    assert answer.status == status
    assert answer.header("content-type") == "application/json; charset=utf-8"
    assert site.get("/app").status == status


def test_the_last_dots_in_a_path_are_resolved(site: Proxy, upstream: Upstream) -> None:
    redirecting(upstream, "/files/x/../page.txt")
    assert site.get("/app").text == "protected"


def test_a_loop_ends(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/again", internal=True, internal_redirect=["X-Accel-Redirect"])
    proxy.location("/", internal_redirect=["X-Accel-Redirect"])
    upstream.reply("/app", headers={"X-Accel-Redirect": "/again"})
    upstream.reply("/again", headers={"X-Accel-Redirect": "/again"})
    answer = proxy.get("/app")
    assert (answer.status, len(upstream.requests)) == (502, 11)


def test_the_header_is_dropped_if_only_the_other_one_counts(
    proxy: Proxy, upstream: Upstream
) -> None:
    proxy.location("/", internal_redirect=["X-Pingap-Redirect"])
    upstream.reply("/app", body=b"page", headers={"X-Accel-Redirect": "/files/page.txt"})
    answer = proxy.get("/app")
    assert (answer.body, answer.header("x-accel-redirect")) == (b"page", None)


def test_the_connection_to_the_upstream_is_kept(site: Proxy, upstream: Upstream) -> None:
    redirecting(upstream, "/files/page.txt")
    assert [site.get("/app").text for _ in range(3)] == ["protected"] * 3
    assert len({request.connection for request in upstream.requests}) == 1


def test_http2(site: Proxy, upstream: Upstream) -> None:
    site.configure("servers.web", enabled_h2=True)
    redirecting(upstream, "/files/a%20b.bin")
    with site.connect_http2() as client:
        answer = client.request("POST", "/app", body=b"x" * 100_000)
        assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ('internal_redirect = ["X-Sendfile"]', "X-Accel-Redirect"),
        ("internal_redirect = []", "at least one header"),
        ("internal = true\nmax_processing = 1", "no effect with internal"),
    ],
)
def test_mistakes_are_told(keys: str, text: str) -> None:
    toml = f'[locations.a]\nplugins = ["pingap:ping"]\n{keys}\n'
    [problem] = configuration_problems(toml)
    assert text in problem


def test_a_cache_of_the_first_location_stores_nothing(
    proxy: Proxy, upstream: Upstream, root: Path
) -> None:
    (root / "page.txt").write_text("protected")
    proxy.configure("plugins.files", category="directory", path=str(root), max_age="1h")
    proxy.location("/page.txt", plugins=["files"], internal=True, upstream="")
    proxy.location("/", plugins=[("cache", {})], internal_redirect=["X-Accel-Redirect"])
    redirecting(upstream, "/page.txt", Cache_Control="public, max-age=60")
    assert [proxy.get("/app").text for _ in range(2)] == ["protected"] * 2
    assert len(upstream.requests) == 2


def test_plugins_of_the_server_run_once(proxy: Proxy, upstream: Upstream, root: Path) -> None:
    (root / "page.txt").write_text("protected")
    proxy.configure("plugins.files", category="directory", path=str(root))
    proxy.configure("plugins.mark", category="response_headers", add_headers=["X-Mark: 1"])
    proxy.configure("servers.web", plugins=["mark"], via="gate")
    proxy.location("/page.txt", plugins=["files"], internal=True, upstream="")
    proxy.location("/remote", internal=True)
    proxy.location("/", internal_redirect=["X-Accel-Redirect"])
    redirecting(upstream, "/page.txt")
    answer = proxy.get("/app")
    assert (answer.text, answer.header_all("x-mark")) == ("protected", ["1"])
    redirecting(upstream, "/remote")
    assert proxy.get("/app").status == 200
    assert upstream.requests[-1].header_all("via") == ["1.1 gate"]
