"""``mount``, through sockets: what the upstream gets, and what the client gets back."""

from __future__ import annotations

from pathlib import Path

import pytest
from pingap_rewrite.mount import Mount

from pingap.plugins.chains import Instance
from pingap.plugins.order_lint import hazards
from pingap.testing import Proxy, Upstream, configuration_problems

APP = ("mount", {"prefix": "/app"})


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ("/app/", "/"),
        ("/app/x?a=%20&b", "/x?a=%20&b"),
        ("/app/caf%c3%a9%20x//y", "/caf%c3%a9%20x//y"),  # byte for byte
        ("/%61pp/%7e", "/%7e"),
        ("/x/../app/%7E", "/~"),  # normalised: the rest depends on a dot segment
        ("/app/./..;a", None),
        ("/app//x", "/x"),
        ("/apple", "/apple"),
        ("/APP/x", "/APP/x"),
        ("/app/../x", "/x"),
        ("/app/%2e%2e/x", "/app/%2e%2e/x"),  # normalised, it is not below the prefix
    ],
)
def test_what_the_upstream_gets(
    proxy: Proxy, upstream: Upstream, sent: str, got: str | None
) -> None:
    proxy.location("/", plugins=[APP])
    answer = proxy.get(sent)
    if got is None:
        assert answer.status == 400
        assert upstream.requests == []
        return
    request = upstream.received_once()
    if sent == "/app/../x":
        assert request.target == sent  # not mounted, so nothing is changed
    else:
        assert request.target == got
    mounted = not sent.startswith(("/apple", "/APP", "/app/..", "/app/%2e%2e"))
    assert request.header_all("x-forwarded-prefix") == (["/app"] if mounted else [])


def test_later_plugins_see_the_normalised_path(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[APP, ("ping", {"path": "/ping"})])
    assert proxy.get("/app/p%69ng").body == b"pong"
    assert upstream.requests == []


def test_clients_cannot_say_where_the_application_is(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[APP])
    forged = {"X-Forwarded-Prefix": "/evil", "X_Forwarded_Prefix": "/evil"}
    for path in ("/app/x", "/x"):
        assert proxy.get(path, headers=forged).status == 200
    first, second = upstream.requests
    assert first.header_all("x-forwarded-prefix") == ["/app"]
    assert second.header_all("x-forwarded-prefix") == []
    assert first.header_all("x_forwarded_prefix") == second.header_all("x_forwarded_prefix") == []


@pytest.mark.parametrize(
    ("settings", "method", "target", "location"),
    [
        ({}, "GET", "/app", "/app/"),
        ({}, "HEAD", "/app?a=b&c", "/app/?a=b&c"),
        ({}, "GET", "/%61pp?\xff", "/app/?%FF"),
        ({}, "POST", "/app", None),
        ({}, "GET", "/app/", None),
        ({"add_slash": False}, "GET", "/app", None),
    ],
)
def test_the_prefix_alone_is_redirected(
    proxy: Proxy,
    upstream: Upstream,
    settings: dict[str, object],
    method: str,
    target: str,
    location: str | None,
) -> None:
    proxy.location("/", plugins=[("mount", {"prefix": "/app/", **settings})])
    answer = proxy.request(method, target)
    if location is None:
        assert (answer.status, upstream.received_once().target) == (200, "/")
    else:
        assert (answer.status, answer.header("location")) == (301, location)
        assert upstream.requests == []


ANSWER = [
    ("Location", "/login"), ("Content-Location", "http://test/x"), ("Refresh", "5; url=/y"),
    ("Link", "</a>; rel=next"), ("Link", "<https://cdn.test/b>"), ("Set-Cookie", "a=b; Path=/"),
    ("Set-Cookie", "c=d; Path=/x"), ("X-Url", "/z"),
]  # fmt: skip


def test_what_the_client_gets(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[APP])
    upstream.reply("/x", status=302, headers=ANSWER)
    answer = proxy.get("/app/x")
    assert answer.header_all("location") == ["/app/login"]
    assert answer.header_all("content-location") == ["http://test/app/x"]
    assert answer.header_all("refresh") == ["5; url=/app/y"]
    assert answer.header_all("link") == ["</app/a>; rel=next", "<https://cdn.test/b>"]
    assert answer.header_all("set-cookie") == ["a=b; Path=/app", "c=d; Path=/app/x"]
    assert answer.header_all("x-url") == ["/z"]


def test_answers_to_other_paths_are_not_changed(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[APP])
    upstream.reply("/x", status=302, headers=ANSWER)
    assert proxy.get("/x").header_all("location") == ["/login"]


@pytest.mark.parametrize(
    ("url", "corrected"),
    [
        ("https://shop.test/x", True),
        ("http://shop.test/x", True),
        ("http://inner.test:81/x", True),
        ("https://shop.test:8443/x", False),
        ("https://other.test/x", False),
    ],
)
def test_the_host_behind_a_trusted_proxy(
    proxy: Proxy, upstream: Upstream, url: str, corrected: bool
) -> None:
    proxy.configure("basic", trusted_proxies=["127.0.0.0/8"])
    proxy.location("/", plugins=[APP])
    upstream.reply("/x", status=302, headers={"Location": url})
    headers = {
        "Host": "inner.test:81",
        "X-Forwarded-Host": "shop.test",
        "X-Forwarded-Proto": "https",
    }
    answer = proxy.get("/app/x", headers=headers)
    assert answer.header("location") == (url.replace("/x", "/app/x") if corrected else url)


def test_a_location_that_rewrites_as_well(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", rewrite="^/v1/(.*) /app/$1", plugins=[APP])
    assert proxy.get("/v1/x").status == 200
    assert upstream.received_once().target == "/x"


def test_over_http2(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", plugins=[APP])
    upstream.reply("/x", status=302, headers={"Location": "http://test/y"})
    with proxy.connect_http2() as client:
        assert client.get("/app/x").header("location") == "http://test/app/y"


def test_a_websocket(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[APP])
    for path in ("/chat", "/"):
        upstream.websocket(path)
    for path in ("/app/chat", "/app"):  # (browsers follow no redirect of a WebSocket)
        with proxy.connect_websocket(path) as socket:
            socket.send("hello")
            assert socket.receive() == "hello"


def test_a_directory(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.html").write_text("hello")
    proxy.location("/", plugins=[APP, ("directory", {"path": str(tmp_path)})])
    moved = proxy.get("/app/docs")
    assert (moved.status, moved.header("location")) == (301, "/app/docs/")
    assert proxy.get("/app/docs/").body == b"hello"
    assert proxy.get("/docs").header("location") == "/docs/"


def test_a_cache_behind_it(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[APP, ("cache", {})])
    upstream.reply("/x", headers=[("Cache-Control", "max-age=60"), ("Link", "</y>; rel=next")])
    for _ in range(2):
        assert proxy.get("/app/x").header("link") == "</app/y>; rel=next"
    assert len(upstream.requests) == 1
    assert proxy.get("/x").header("link") == "</y>; rel=next"
    assert len(upstream.requests) == 1  # it is the same page of the same site


def test_the_order_of_plugins() -> None:
    class Cache(Mount):
        category = "cache"

    cache = Instance("store", Cache(Mount.Settings(prefix="/x")))
    mount = Instance("app", Mount(Mount.Settings(prefix="/app")))
    [hazard] = hazards([cache, mount])
    assert '"app" (mount) belongs in front of "store"' in str(hazard)
    assert hazards([mount, cache]) == []


def test_an_application_of_this_process(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "mounted_app.py").write_text("""
async def app(scope, receive, send):
    text = f"{scope['path']} {scope['root_path']} {scope['raw_path'].decode()}"
    headers = [(b"location", b"/x"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
""")
    keys = {
        "asgi": "mounted_app:app",
        "asgi_dir": str(tmp_path),
        "asgi_lifespan": "off",
        "upstream": "",
    }
    proxy.location("/", plugins=[APP], **keys)
    proxy.location(
        "/rooted", plugins=[("mount", {"prefix": "/rooted"})], asgi_root_path="/rooted", **keys
    )
    answer = proxy.get("/app/%7ea")
    assert (answer.text, answer.header("location")) == ("/~a  /%7ea", "/app/x")
    assert proxy.get("/rooted/a").text == "/rooted/a /rooted /rooted/a"


def test_settings() -> None:
    table = '[plugins.app]\ncategory = "mount"\n'
    [problem] = configuration_problems(f'{table}prefix = "app"')
    assert 'found "app", expected a path such as "/app"' in problem
    [missing] = configuration_problems(table)
    assert "prefix: this key is required" in missing
