"""``ctx.read_ahead``: a response is read although its client takes it slowly."""

from __future__ import annotations

import threading

from pingap import BodyFilter, Headers, Plugin, Request, RequestContext, hookimpl
from pingap.testing import Proxy, Upstream

SIZE = 40_000_000


class Reading(BodyFilter):
    """Reads a body up to some point as fast as it comes."""

    def __init__(self, plugin: Ahead, ctx: RequestContext) -> None:
        self.plugin, self.ctx, self.size = plugin, ctx, 0

    def feed(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        self.plugin.began.set()
        if self.size > self.plugin.until:
            self.ctx.read_ahead(False)
        return chunk

    def end(self, trailers: Headers) -> bytes:
        self.plugin.ended.set()
        return b""


class Ahead(Plugin):
    """Lets a body be read when a test says so."""

    category = "ahead"
    body = "reads"
    until = SIZE

    def __init__(self, settings: object) -> None:
        self.began, self.ended = threading.Event(), threading.Event()
        self.contexts: list[RequestContext] = []

    @hookimpl
    def upstream_response_body(self, request: Request, ctx: RequestContext) -> BodyFilter | None:
        if request.path != "/large":
            return None
        self.contexts.append(ctx)
        return Reading(self, ctx)

    @hookimpl
    def request(self, ctx: RequestContext) -> None:
        for other in self.contexts:
            other.read_ahead()


def test_a_response_is_read_though_its_client_reads_nothing(
    proxy: Proxy, upstream: Upstream
) -> None:
    plugin = Ahead(Ahead.Settings())
    proxy.location(plugins=[plugin])
    upstream.reply("/large", b"x" * SIZE)
    with proxy.connect() as client:
        client.send_request("GET", "/large")
        assert plugin.began.wait(10)
        proxy.settle()
        assert not plugin.ended.is_set()
        assert proxy.get("/").status == 200  # which lets the other one go on
        assert plugin.ended.wait(20)
        answer = client.answer()
        assert (len(answer.body), answer.complete) == (SIZE, True)


def test_it_can_be_stopped(proxy: Proxy, upstream: Upstream) -> None:
    plugin = Ahead(Ahead.Settings())
    plugin.until = 1_000_000
    proxy.location(plugins=[plugin])
    upstream.reply("/large", b"x" * SIZE)
    with proxy.connect() as client:
        client.send_request("GET", "/large")
        assert plugin.began.wait(10)
        assert proxy.get("/").status == 200
        proxy.settle()
        assert not plugin.ended.is_set()
        assert len(client.answer().body) == SIZE


def test_it_does_nothing_when_there_is_nothing_to_read(proxy: Proxy) -> None:
    class Early(Plugin):
        category = "early"

        @hookimpl
        def request(self, ctx: RequestContext) -> None:
            ctx.read_ahead()
            assert ctx.reads_ahead

    proxy.location(plugins=[Early])
    assert proxy.get("/").status == 200
