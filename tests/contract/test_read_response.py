"""``ctx.read_response``: the whole body of an upstream in ``upstream_response``, and another one in its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from pingap import BodyFilter, Plugin, PluginSettings, RequestContext, Response, hookimpl
from pingap.testing import Clock, Proxy, Upstream, make_context


class Shouts(Plugin):
    """Makes bodies within a limit upper case, before later plugins see them."""

    category = "shouts"
    body = "reads"

    class Settings(PluginSettings):
        limit: int = 1000

    def __init__(self, settings: Any) -> None:
        self.limit = settings.limit
        self.began = threading.Event()
        self.read: list[bytes | None] = []

    @hookimpl
    async def upstream_response(self, response: Response, ctx: RequestContext) -> None:
        self.began.set()
        body = await ctx.read_response(response, self.limit)
        self.read.append(body)
        if body:
            response.body = body.upper() * 2
            response.headers.set("X-Was", str(len(body)))


class Sees(Plugin):
    """Records the responses that a cache would store."""

    category = "sees"
    body = "reads"

    def __init__(self, settings: Any) -> None:
        self.heads: list[tuple[int | None, str | None]] = []
        self.bodies: list[bytes] = []

    @hookimpl
    def upstream_response(self, response: Response) -> None:
        self.heads.append((response.content_length, response.headers.get("x-was")))

    @hookimpl
    def upstream_response_body(self) -> BodyFilter:
        plugin = self

        class Body(BodyFilter):
            def feed(self, chunk: bytes) -> bytes:
                plugin.bodies.append(chunk)
                return chunk

        return Body()


@pytest.fixture
def shouts() -> Shouts:
    return Shouts(Shouts.Settings())


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"abc", b"def"), (b"a", b"b", b"cdef")])
@pytest.mark.parametrize("http2", [False, True])
def test_later_plugins_and_the_client_get_the_other_body(
    shouts: Shouts, proxy: Proxy, upstream: Upstream, pieces: tuple[bytes, ...], http2: bool
) -> None:
    sees = Sees(Sees.Settings())
    proxy.location(plugins=[shouts, sees])
    proxy.configure("servers.web", enabled_h2=http2)
    upstream.stream("/", lambda: iter(pieces))
    with proxy.connect_http2() if http2 else proxy.connect() as client:
        answer = client.request("GET", "/")
    assert (answer.status, answer.body) == (200, b"ABCDEFABCDEF")
    assert (answer.header("content-length"), answer.header("x-was")) == ("12", "6")
    assert sees.heads == [(12, "6")]
    assert b"".join(sees.bodies) == b"ABCDEFABCDEF"


def test_a_body_at_once(shouts: Shouts, proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[shouts])
    upstream.reply("/", b"abc")
    with proxy.connect() as client:
        assert [client.get("/").body for _ in range(3)] == [b"ABCABC"] * 3
    assert len({one.connection for one in upstream.requests}) == 1  # it is kept


@pytest.mark.parametrize("announced", [True, False])
def test_a_larger_body_passes_on(
    shouts: Shouts, proxy: Proxy, upstream: Upstream, announced: bool
) -> None:
    proxy.location(plugins=[shouts])
    body = b"x" * 3_000_000
    if announced:
        upstream.reply("/", body)
    else:
        upstream.stream("/", lambda: iter([body[:10], body[10:]]))
    answer = proxy.get("/")
    assert (answer.body, answer.header("x-was"), answer.complete) == (body, None, True)
    assert shouts.read == [None]


def test_the_limit_is_reached_exactly(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/six", plugins=[(Shouts, {"limit": 6})])
    proxy.location("/five", plugins=[(Shouts, {"limit": 5})])
    for path in ("/six", "/five"):
        upstream.stream(path, lambda: iter([b"abc", b"def"]))
    assert proxy.get("/six").body == b"ABCDEFABCDEF"
    assert proxy.get("/five").body == b"abcdef"


def test_head_keeps_the_announced_length(shouts: Shouts, proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[shouts])
    upstream.reply("/", b"abc")
    answer = proxy.request("HEAD", "/")
    assert (answer.status, answer.header("content-length")) == (200, "3")
    assert shouts.read == [b""]


def test_a_body_that_breaks_off_is_502(shouts: Shouts, proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[shouts])
    upstream.raw("/", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"half", then="reset")
    assert proxy.get("/").status == 502
    assert shouts.read == []


def test_a_client_that_leaves_cancels_it(shouts: Shouts, proxy: Proxy, upstream: Upstream) -> None:
    go, ended = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            yield b"abc"
            go.wait(10)
            yield b"def"
        finally:
            ended.set()

    proxy.location(plugins=[shouts])
    proxy.configure("servers.web", access_log="{status}")
    upstream.stream("/", pieces)
    with proxy.connect() as client:
        client.send_request("GET", "/")
        assert shouts.began.wait(10)
    proxy.wait_for_access_log(1)
    assert proxy.access_log == ["499"]
    go.set()
    assert ended.wait(10)
    assert shouts.read == []


def test_the_limit_of_the_phase_does_not_count_the_upstream(
    proxy: Proxy, upstream: Upstream, clock: Clock
) -> None:
    go = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"abc"
        go.wait(10)
        yield b"def"

    plugin = Shouts(Shouts.Settings())
    proxy.location(plugins=[plugin])
    proxy.configure("upstreams.upstream", read_timeout="100s")
    upstream.stream("/", pieces)
    with proxy.connect() as client:
        client.send_request("GET", "/")
        assert plugin.began.wait(10)
        clock.advance(60)  # a hook may take 10 s
        go.set()
        assert client.answer().body == b"ABCDEFABCDEF"


def test_in_a_later_phase_it_is_refused(shouts: Shouts, proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(plugins=[shouts, (Late, {})])
    upstream.stream("/", lambda: iter([b"abc", b"def"]))
    with proxy.connect() as client:
        client.send_request("GET", "/")
        client.read_head()
        client.read_rest()
    proxy.expect_error("call read_response in upstream_response")


class Late(Plugin):
    """Asks for a body that is being sent."""

    category = "late"

    @hookimpl
    async def logging(self, response: Response, ctx: RequestContext) -> None:
        await ctx.read_response(response, 1000)


def test_without_it_the_body_of_an_upstream_cannot_be_assigned(
    proxy: Proxy, upstream: Upstream
) -> None:
    class Assigns(Plugin):
        category = "assigns"

        @hookimpl
        def upstream_response(self, response: Response) -> None:
            response.body = b"other"

    proxy.location(plugins=[Assigns])
    assert proxy.get("/").status == 500
    proxy.expect_error("ctx.read_response")


def test_in_a_unit_test_the_body_of_the_response_is_read() -> None:
    ctx, response = make_context(), Response(200, b"abc")
    assert anyio.run(ctx.read_response, response, 3) == b"abc"
    assert anyio.run(ctx.read_response, response, 2) is None
