"""``ctx.read_body``: the whole request body in a phase, and the same request for the upstream."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest
from support.waiting import until

from pingap import (
    BodyFilter,
    HTTPError,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    hookimpl,
)
from pingap.testing import Clock, Proxy, Upstream

PHASES = ("early_request", "request", "proxy_upstream")


class Reads(Plugin):
    """Reads bodies in one of its phases, and says how many bytes they had."""

    category = "reads"
    body = "reads"
    may_fail_open = True

    class Settings(PluginSettings):
        phase: str = "request"
        limit: int = 1000
        twice: int = 0

    def __init__(self, settings: Any) -> None:
        self.phase, self.limit, self.twice = settings.phase, settings.limit, settings.twice
        self.log: list[str] = []
        self.began = threading.Event()

    async def read(self, phase: str, request: Request, ctx: RequestContext) -> Response | None:
        if self.phase != phase:
            return None
        self.began.set()
        body = await ctx.read_body(self.limit)
        assert not request.has_body or request.body == body
        if self.twice:
            assert await ctx.read_body(self.twice) == body
        request.headers.set("X-Body", body.decode())
        if body == b"answer":
            return Response.text(200, "by plugin")
        return None

    @hookimpl
    async def early_request(self, request: Request, ctx: RequestContext) -> None:
        await self.read("early_request", request, ctx)

    @hookimpl
    async def request(self, request: Request, ctx: RequestContext) -> Response | None:
        return await self.read("request", request, ctx)

    @hookimpl
    async def proxy_upstream(self, request: Request, ctx: RequestContext) -> Response | None:
        return await self.read("proxy_upstream", request, ctx)

    @hookimpl
    async def upstream_response(self, request: Request, ctx: RequestContext) -> None:
        if self.phase == "upstream_response":
            await ctx.read_body(self.limit)

    @hookimpl
    def request_body(self) -> BodyFilter:
        return Count(self.log)

    @hookimpl
    async def logging(self, ctx: RequestContext) -> None:
        self.log.append(f"logged {ctx.status} {ctx.outcome}")
        with pytest.raises(RuntimeError, match="is over"):
            await ctx.read_body(self.limit)


class Count(BodyFilter):
    def __init__(self, log: list[str]) -> None:
        self.log, self.size = log, 0

    def feed(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        return chunk

    def end(self, trailers: Any) -> bytes:
        self.log.append(f"filtered {self.size}")
        return b""


def serve(proxy: Proxy, **settings: Any) -> Reads:
    plugin = Reads(Reads.Settings(**settings))
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    return plugin


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("http2", [False, True])
def test_a_body_is_read_and_sent_on_as_it_came(
    proxy: Proxy, upstream: Upstream, phase: str, http2: bool
) -> None:
    plugin = serve(proxy, phase=phase)
    client: Any = proxy.connect_http2() if http2 else proxy.connect()
    assert client.request("POST", "/", headers={"Content-Length": "5"}, body=b"sized").status == 200
    client.request("POST", "/", body=[b"in ", b"chunks"], trailers={"X-T": "t"})
    client.get("/")
    one, two, three = upstream.requests
    assert [one.header("x-body"), one.header("content-length"), one.body] == [
        "sized",
        "5",
        b"sized",
    ]
    assert [two.header("x-body"), two.header("content-length"), two.body] == [
        "in chunks",
        None,
        b"in chunks",
    ]
    assert two.trailers.get("x-t") == "t"
    assert [three.header("x-body"), three.body] == ["", b""]
    until(lambda: len(plugin.log) == 5)
    assert plugin.log[0::2] == ["filtered 5", "filtered 9", "logged 200 complete"]


def test_an_answer_may_depend_on_the_body(proxy: Proxy, upstream: Upstream) -> None:
    serve(proxy)
    with proxy.connect() as client:
        for _ in range(3):
            assert client.request("POST", "/", body=b"answer").text == "by plugin"
        assert client.request("POST", "/", body=b"other").body == b"other"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(
    proxy: Proxy, upstream: Upstream, chunked: bool, http2: bool
) -> None:
    plugin = serve(proxy, limit=10)
    client: Any = proxy.connect_http2() if http2 else proxy.connect()
    body = b"x" * 11
    answer = client.request("POST", "/", body=[body[:5], body[5:]] if chunked else body)
    assert answer.status == 413
    until(lambda: plugin.log == ["logged 413 complete"])
    assert upstream.requests == []


@pytest.mark.parametrize("chunked", [False, True])
def test_another_reader_may_want_less(proxy: Proxy, upstream: Upstream, chunked: bool) -> None:
    serve(proxy, twice=4)
    body = b"12345"
    answer = proxy.request("POST", "/", body=[body] if chunked else body)
    assert answer.status == 413
    assert proxy.request("POST", "/", body=b"1234").status == 200


def test_a_client_that_waits_to_be_asked_is_asked(proxy: Proxy, upstream: Upstream) -> None:
    serve(proxy)
    with proxy.connect() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"abc")
        assert client.answer().body == b"abc"
    assert upstream.requests[0].header("expect") is None


def test_the_time_limit_of_the_plugin_does_not_run_for_the_client(
    proxy: Proxy, upstream: Upstream, clock: Clock
) -> None:
    proxy.location("/", plugins=[(Reads, {"timeout": "1s"})])
    proxy.configure("servers.web", downstream_read_timeout="10m")
    with proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        proxy.settle()
        for _ in range(3):
            clock.advance(20)
        client.send(b"bc")
        assert client.answer().body == b"abc"


def test_a_client_that_is_too_slow_gets_408(proxy: Proxy, clock: Clock) -> None:
    plugin = serve(proxy)
    with proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
        assert plugin.began.wait(10)
        proxy.settle()
        clock.advance(3600)
        assert client.answer().status == 408


@pytest.mark.parametrize("http2", [False, True])
def test_a_client_that_leaves_ends_the_reading(proxy: Proxy, http2: bool) -> None:
    plugin = serve(proxy)
    if http2:
        client: Any = proxy.connect_http2()

        def pieces() -> Any:
            yield b"a"
            assert plugin.began.wait(10)
            client.cancel(1)

        client.send_request("POST", "/", body=pieces())
    else:
        with proxy.connect() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
            assert plugin.began.wait(10)
            client.reset()
    until(lambda: plugin.log == ["logged 499 client_gone"])


def test_a_request_that_was_sent_cannot_be_read(proxy: Proxy) -> None:
    serve(proxy, phase="upstream_response")
    assert proxy.request("POST", "/", body=b"abc").status == 500
    assert "the request was sent" in proxy.expect_error("RuntimeError")
    assert proxy.get("/").status == 200  # there is nothing to read


class Waits(Reads):
    """Reads, but not for long."""

    category = "waits"

    @hookimpl
    async def request(self, request: Request, ctx: RequestContext) -> Response | None:
        with anyio.move_on_after(0.05):
            await ctx.read_body(2)
        return None


def test_reading_may_be_given_up(proxy: Proxy, upstream: Upstream) -> None:
    """The request then passes as if nobody had read it, whatever the limit was."""
    proxy.location("/", plugins=[Waits])
    with proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        until(lambda: upstream.requests)
        client.send(b"5\r\nbcdef\r\n0\r\n\r\n")
        assert client.answer().body == b"abcdef"


class WholeAndReads(Reads):
    """Wants whole bodies, and reads them all the same."""

    category = "whole_and_reads"
    whole_request_body = 100


def test_bodies_that_are_there_are_read_again(proxy: Proxy) -> None:
    proxy.location("/", plugins=[WholeAndReads(WholeAndReads.Settings())])
    assert proxy.request("POST", "/", body=b"abc").body == b"abc"
    assert proxy.request("POST", "/", body=[b"ab", b"c"]).body == b"abc"
    assert proxy.request("POST", "/", body=[b"x" * 101]).status == 413
    assert proxy.get("/").status == 200


class Refuses(Plugin):
    """Refuses a body before it has come."""

    category = "refuses"

    @hookimpl
    async def request(self, ctx: RequestContext) -> None:
        await ctx.read_body(10)
        raise HTTPError(403, "No")


def test_a_refusal_may_follow(proxy: Proxy) -> None:
    proxy.location("/", plugins=[Refuses])
    with proxy.connect() as client:
        for _ in range(2):
            assert client.request("POST", "/", body=b"abc").status == 403


def test_a_body_read_before_the_location_was_known_keeps_to_its_limit(proxy: Proxy) -> None:
    class ReadsAll(Plugin):
        category = "reads_all"

        @hookimpl
        async def server_request(self, ctx: RequestContext) -> None:
            await ctx.read_body(1000)

    proxy.configure("plugins.all", category="reads_all")
    proxy.location("/", client_max_body_size="10B")
    proxy.configure("servers.web", plugins=["all"])
    proxy._categories.append(ReadsAll)
    assert proxy.request("POST", "/", body=[b"x" * 10]).status == 200
    assert proxy.request("POST", "/", body=[b"x" * 11]).status == 413
