"""Heads that wait for their bodies: a filter may still change them at the end, or the error takes their place."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio.lowlevel
import pytest
from support.waiting import until

from pingap import (
    AsyncBodyFilter,
    BodyFilter,
    Headers,
    HTTPError,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    RequestOutcome,
    Response,
    ThreadedBodyFilter,
    hookimpl,
)
from pingap.testing import Proxy, Received, Served, Upstream

LIMIT = 1000


class Digest(BodyFilter):
    """Adds a digest of the body, and answers 304 if the client has it."""

    hold_head = LIMIT

    def __init__(self, request: Request, response: Response, log: list[str]) -> None:
        self.request, self.response, self.log = request, response, log
        self.hash = hashlib.sha256()

    def feed(self, chunk: bytes) -> bytes:
        self.hash.update(chunk)
        if b"boom" in chunk:
            raise RuntimeError("no digest")
        return chunk

    def end(self, trailers: Headers) -> bytes:
        tag = f'"{self.hash.hexdigest()[:8]}"'
        self.log.append("ended")
        if self.request.query == "late":
            self.response.headers.set("ETag", tag)
        if self.response.sent:
            trailers.set("X-ETag", tag)
        elif self.request.header("if-none-match") == tag:
            self.response.status = 304
        else:
            self.response.headers.set("ETag", tag)
        if self.request.query == "refuse":
            raise HTTPError(422, "not like that")
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        self.log.append(outcome.value)


class AsyncDigest(AsyncBodyFilter):
    hold_head = LIMIT

    def __init__(self, *args: Any) -> None:
        self.inner = Digest(*args)

    async def feed(self, chunk: bytes) -> bytes:
        await anyio.lowlevel.checkpoint()
        return self.inner.feed(chunk)

    async def end(self, trailers: Headers) -> bytes:
        await anyio.lowlevel.checkpoint()
        return self.inner.end(trailers)

    def abandoned(self, outcome: RequestOutcome) -> None:
        self.inner.abandoned(outcome)


MAKE: dict[str, Any] = {
    "sync": Digest,
    "async": AsyncDigest,
    "threads": lambda *args: ThreadedBodyFilter(Digest(*args)),
}


class Digests(Plugin):
    """Adds digests to responses of upstreams, and to those that it makes itself."""

    category = "digests"

    class Settings(PluginSettings):
        how: str = "sync"

    def __init__(self, settings: Any) -> None:
        self.make = MAKE[settings.how]
        self.log: list[str] = []

    @hookimpl
    def request(self, request: Request) -> Response | None:
        if request.path == "/bytes":
            return Response.text(200, "by plugin")
        return Response(200, self.pieces()) if request.path == "/pieces" else None

    async def pieces(self) -> AsyncIterator[bytes]:
        yield b"by "
        await anyio.lowlevel.checkpoint()
        yield b"plugin"

    @hookimpl
    def response_body(self, request: Request, response: Response) -> Any:
        return self.make(request, response, self.log)

    @hookimpl
    def logging(self, ctx: RequestContext) -> None:
        self.log.append(f"logged {ctx.status} {ctx.outcome}")


class Reading(Digests):
    """Promises to keep the length."""

    category = "reading"
    body = "reads"


class Rewriting(Digests):
    """Promises nothing."""

    category = "rewriting"
    body = "rewrites"


@pytest.fixture(params=MAKE)
def plugin(request: pytest.FixtureRequest) -> Rewriting:
    return Rewriting(Rewriting.Settings(how=request.param))


@pytest.fixture
def held(proxy: Proxy, plugin: Rewriting) -> Proxy:
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    return proxy


def tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:8]}"'


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("path", ["/", "/bytes", "/pieces", "/chunked", "/empty"])
def test_a_digest_of_the_body_is_in_the_head(
    held: Proxy, upstream: Upstream, path: str, http2: bool
) -> None:
    upstream.reply("/", b"x" * LIMIT)
    upstream.stream("/chunked", [b"in ", b"chunks"])
    upstream.reply("/empty", b"")
    client: Any = held.connect_http2() if http2 else held.connect()
    body = {"/": b"x" * LIMIT, "/chunked": b"in chunks", "/empty": b""}.get(path, b"by plugin")
    for _ in range(2):
        answer = client.get(path)
        assert (answer.status, answer.body, answer.header("etag")) == (200, body, tag(body))
        assert answer.header("content-length") == str(len(body))
        assert answer.header("transfer-encoding") is None
        answer = client.get(path, headers={"If-None-Match": tag(body)})
        assert (answer.status, answer.body) == (304, b"")


def test_a_filter_that_reads_keeps_the_length(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[Reading])
    upstream.reply("/", b"abc")
    answer = proxy.get("/")
    assert (answer.body, answer.header("content-length")) == (b"abc", "3")
    assert answer.header("etag") == tag(b"abc")


def test_trailers_stay_trailers(held: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", b"abc", trailers={"X-T": "t"})
    answer = held.get("/")
    assert (answer.body, answer.header("etag")) == (b"abc", tag(b"abc"))
    assert answer.trailers == [("X-T", "t")]


@pytest.mark.parametrize("http2", [False, True])
def test_a_larger_body_does_not_wait(
    held: Proxy, plugin: Rewriting, upstream: Upstream, http2: bool
) -> None:
    go_on = threading.Event()

    def large(served: Served, request: Received) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        served.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        served.send(b"1\r\ny\r\n")
        served.wait(go_on)
        served.send(b"1\r\nz\r\n0\r\n\r\n")

    upstream.on("/", large)
    if http2:
        client = held.connect_http2()
        stream = client.send_request("GET", "/")
        while stream not in client._answers:
            client._read()
        go_on.set()
        answer = client.answer(stream)
    else:
        other = held.connect()
        other.send_request("GET", "/")
        answer = other.read_head()
        go_on.set()
        answer.body = other.read_rest()
        answer.trailers = other._body.trailers  # type: ignore[union-attr]
    body = b"x" * 1000 + b"yz"
    assert (answer.body, answer.header("etag")) == (body, None)
    assert answer.trailers is not None
    assert answer.trailers.get("x-etag") == tag(body)


def test_changing_a_head_that_was_sent_raises(held: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", b"x" * 100_000)
    answer = held.get("/?late")
    assert (answer.status, answer.complete) == (200, False)
    held.expect_error("can no longer be")


@pytest.mark.parametrize("http2", [False, True])
def test_an_upstream_that_breaks_off_is_answered_for(
    held: Proxy, plugin: Rewriting, upstream: Upstream, http2: bool
) -> None:
    upstream.raw("/", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    client: Any = held.connect_http2() if http2 else held.connect()
    answer = client.get("/")
    assert (answer.status, answer.complete) == (502, True)
    assert b"abc" not in answer.body
    until(lambda: "logged 502 complete" in plugin.log)
    assert plugin.log == ["complete", "logged 502 complete"]
    assert client.get("/bytes").body == b"by plugin"


@pytest.mark.parametrize("path", ["/", "/chunked"])
def test_a_filter_that_fails_answers_500(
    held: Proxy, plugin: Rewriting, upstream: Upstream, path: str
) -> None:
    upstream.reply("/", b"boom")
    upstream.stream("/chunked", lambda: iter([b"some", b"boom"]), pause=0.05)
    with held.connect() as client:
        answer = client.get(path)
        assert (answer.status, answer.complete) == (500, True)
        assert b"some" not in answer.body
        held.expect_error("no digest")
        assert client.get("/bytes").body == b"by plugin"


class Pages(Plugin):
    """Makes error pages that are sent as they come."""

    category = "pages"

    @hookimpl
    def error_page(self, request: Request, error: HTTPError) -> Response:
        return Response(error.status, self.text(request.query == "fails"))

    async def text(self, fails: bool) -> AsyncIterator[bytes]:
        if fails:
            raise RuntimeError("no page")
        yield b"the page"
        await anyio.lowlevel.checkpoint()
        yield b" of a plugin"


def test_an_error_page_of_a_plugin_may_be_sent_as_it_comes(
    proxy: Proxy, plugin: Rewriting, upstream: Upstream
) -> None:
    proxy.location("/", plugins=[plugin, Pages])
    upstream.reply("/", b"boom")
    answer = proxy.get("/")
    assert (answer.status, answer.body) == (500, b"the page of a plugin")
    proxy.expect_error("no digest")
    with proxy.connect() as client:  # there is nothing left to say if the page fails, too
        client.send_request("GET", "/?fails")
        assert client.read_to_end() == b""
    proxy.expect_error("no page")


def test_a_filter_may_refuse_at_the_end(held: Proxy, plugin: Rewriting) -> None:
    assert held.get("/?refuse").status == 422
    until(lambda: "logged 422 complete" in plugin.log)
    assert plugin.log == ["ended", "logged 422 complete"]


@pytest.mark.parametrize("http2", [False, True])
def test_a_client_that_leaves_meanwhile_got_no_status(
    held: Proxy, plugin: Rewriting, upstream: Upstream, http2: bool
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(served: Served, request: Received) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        began.set()
        served.wait(go_on)

    upstream.on("/", slow)
    client: Any = held.connect_http2() if http2 else held.connect()
    stream = client.send_request("GET", "/")
    assert began.wait(10)
    held.settle()
    if http2:
        client.cancel(stream)
    else:
        client.reset()
    until(lambda: plugin.log == ["client_gone", "logged 499 client_gone"])
    go_on.set()


def test_without_a_filter_no_head_waits(proxy: Proxy, upstream: Upstream) -> None:
    go_on = threading.Event()

    def slow(served: Served, request: Received) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        served.wait(go_on)
        served.send(b"abc")

    upstream.on("/", slow)
    proxy.location("/")
    with proxy.connect() as client:
        client.send_request("GET", "/")
        assert client.read_head().status == 200
        go_on.set()
        assert client.read_rest() == b"abc"
