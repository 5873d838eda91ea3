"""Async and threaded body filters through sockets: slow and leaving clients, pausing and failing upstreams."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import anyio
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


class Swap(AsyncBodyFilter):
    """Swaps the case of letters, a few turns of the event loop later."""

    def __init__(self, plugin: Swapping) -> None:
        self.plugin = plugin
        self.size = 0

    async def feed(self, chunk: bytes) -> bytes:
        self.plugin.fed += len(chunk)
        self.size += len(chunk)
        if b"boom" in chunk:
            raise RuntimeError("secret of the filter")
        if b"refuse" in chunk:
            raise HTTPError(422, "Not that")
        if b"wait" in chunk:
            try:
                self.plugin.waits.set()
                await anyio.sleep_forever()
            finally:
                self.plugin.log.append("cancelled")
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        return chunk.swapcase()

    async def end(self, trailers: Headers) -> bytes:
        await anyio.lowlevel.checkpoint()
        trailers.set("X-Size", str(self.size))
        self.plugin.log.append("ended")
        return b"!"

    def abandoned(self, outcome: RequestOutcome) -> None:
        self.plugin.log.append(outcome.value)


class SyncSwap(BodyFilter):
    def __init__(self, plugin: Swapping) -> None:
        self.plugin = plugin
        self.size = 0

    def feed(self, chunk: bytes) -> bytes:
        self.plugin.fed += len(chunk)
        self.size += len(chunk)
        return chunk.swapcase()

    def end(self, trailers: Headers) -> bytes:
        trailers.set("X-Size", str(self.size))
        return b"!"


MAKE: dict[str, Callable[[Any], Any]] = {
    "async": Swap,
    "threads": lambda plugin: ThreadedBodyFilter(SyncSwap(plugin)),
}


class Swapping(Plugin):
    """Filters both bodies, and answers some requests itself."""

    category = "swapping"
    body = "rewrites"

    class Settings(PluginSettings):
        how: str = "async"

    def __init__(self, settings: Any) -> None:
        self.make = MAKE[settings.how]
        self.fed = 0
        self.log: list[str] = []
        self.waits = threading.Event()

    @hookimpl
    def request(self, request: Request) -> Response | None:
        return Response.text(200, "by plugin") if request.path == "/plugin" else None

    @hookimpl
    def request_body(self) -> BodyFilter | AsyncBodyFilter | None:
        return self.make(self)

    @hookimpl
    def response_body(self, request: Request) -> BodyFilter | AsyncBodyFilter | None:
        return None if request.method == "PUT" else self.make(self)

    @hookimpl
    def logging(self, ctx: RequestContext) -> None:
        self.log.append(f"logged {ctx.outcome}")


@pytest.fixture
def plugin() -> Swapping:
    return Swapping(Swapping.Settings())


@pytest.fixture
def swapping(proxy: Proxy, plugin: Swapping) -> Proxy:
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    return proxy


@pytest.mark.parametrize("how", MAKE)
@pytest.mark.parametrize("http2", [False, True])
def test_both_bodies_are_filtered(proxy: Proxy, upstream: Upstream, how: str, http2: bool) -> None:
    proxy.location("/", plugins=[(Swapping, {"how": how})])
    proxy.configure("servers.web", enabled_h2=True)
    client: Any = proxy.connect_http2() if http2 else proxy.connect()
    body = b"".join(b"a%d," % number for number in range(100_000))
    answer = client.request("POST", "/", body=body, trailers={"X-T": "t"})
    assert answer.body == body + b"!!"  # swapped twice
    assert upstream.requests[0].body == body.swapcase() + b"!"
    assert upstream.requests[0].header("content-length") is None
    assert upstream.requests[0].trailers.get("x-size") == str(len(body))
    assert answer.trailers is not None
    assert answer.trailers.get("x-size") == str(len(body) + 1)
    assert client.get("/plugin").body == b"BY PLUGIN!"
    assert client.request("HEAD", "/").status == 200


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("how", MAKE)
def test_a_client_that_reads_slowly_slows_down_the_upstream(
    proxy: Proxy, upstream: Upstream, how: str, http2: bool
) -> None:
    plugin = Swapping(Swapping.Settings(how=how))
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    size = 12_000_000
    upstream.reply("/large", b"x" * size)
    client: Any = proxy.connect_http2() if http2 else proxy.connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    stream = client.send_request("GET", "/large")
    before = -1
    while plugin.fed != before or not before:  # until nothing moves any more
        before = plugin.fed
        threading.Event().wait(0.3)
        proxy.settle()
    assert before < 8_000_000
    answer = client.answer(stream) if http2 else client.answer()
    assert (len(answer.body), answer.complete) == (size + 1, True)


def test_an_upstream_that_takes_nothing_slows_down_the_client(
    swapping: Proxy, plugin: Swapping, upstream: Upstream
) -> None:
    go_on = threading.Event()

    def slow(served: Served) -> None:
        request = served.read_head()
        assert request is not None
        served.wait(go_on)
        served.respond(b"%d" % len(served.read_body(request)))

    upstream.script = slow
    client = swapping.connect()
    size = 40_000_000
    sender = threading.Thread(
        target=client.send_request, args=("PUT", "/"), kwargs={"body": b"x" * size}
    )
    sender.start()
    before = -1
    while plugin.fed != before or not before:
        before = plugin.fed
        threading.Event().wait(0.3)
        swapping.settle()
    assert before < size // 2
    go_on.set()
    sender.join(20)
    assert client.answer().body == b"%d" % (size + 1)


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_client_that_leaves_cancels_the_call(
    swapping: Proxy, plugin: Swapping, upstream: Upstream, http2: bool, method: str
) -> None:
    upstream.reply("/", b"wait")
    client: Any = swapping.connect_http2() if http2 else swapping.connect()
    stream = client.send_request(method, "/", body=b"wait" if method == "PUT" else b"")
    assert plugin.waits.wait(10)
    if http2:
        client.cancel(stream)
    else:
        client.reset()
    until(lambda: "logged client_gone" in plugin.log)
    assert plugin.log == ["cancelled", "client_gone", "logged client_gone"]


def test_an_upstream_that_breaks_off_cancels_the_call(
    swapping: Proxy, plugin: Swapping, upstream: Upstream
) -> None:
    def half(served: Served, request: Received) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwait")
        assert plugin.waits.wait(10)
        served.close()

    upstream.on("/", half)
    assert not swapping.get("/").complete
    until(lambda: "logged broken_off" in plugin.log)
    assert plugin.log == ["cancelled", "broken_off", "logged broken_off"]


def test_a_response_that_overtakes_its_request_ends_the_filter_of_that(
    swapping: Proxy, plugin: Swapping, upstream: Upstream
) -> None:
    def early(served: Served) -> None:
        served.read_head()
        assert plugin.waits.wait(10)
        served.respond(b"enough", 413)
        served.read_to_end()

    upstream.script = early
    answer = swapping.request("PUT", "/", body=[b"wait", b"more"])
    assert (answer.status, answer.body) == (413, b"enough")
    until(lambda: "logged complete" in plugin.log)
    assert plugin.log == ["cancelled", "complete", "logged complete"]


def test_a_request_filter_that_fails_answers_500(swapping: Proxy, plugin: Swapping) -> None:
    answer = swapping.request("PUT", "/", body=b"boom")
    assert (answer.status, answer.complete) == (500, True)
    assert b"secret" not in answer.body
    error = swapping.expect_error("secret of the filter")
    assert "plugin swapping failed in body filter" in error
    assert "test_async_bodies.py" in error
    assert plugin.log == ["complete", "logged complete"]
    assert swapping.request("PUT", "/", body=b"refuse").status == 422


def test_a_response_filter_that_fails_cuts_the_response(
    swapping: Proxy, upstream: Upstream, plugin: Swapping
) -> None:
    upstream.stream("/", lambda: iter([b"begin", b"boom"]), pause=0.05)
    answer = swapping.get("/")
    assert (answer.status, answer.complete, answer.body) == (200, False, b"BEGIN")
    swapping.expect_error("secret of the filter")
    until(lambda: "logged broken_off" in plugin.log)
    assert plugin.log == ["broken_off", "logged broken_off"]


def test_a_call_that_takes_too_long_ends_the_request(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location("/", plugins=[(Swapping, {"timeout": "200ms"})])
    answer = proxy.request("PUT", "/", body=b"wait")
    assert answer.status == 500
    assert "plugin" in proxy.expect_error("TimeoutError")
    assert proxy.request("PUT", "/", body=b"ab").body == b"AB!"


def test_requests_that_follow_are_not_disturbed(swapping: Proxy, upstream: Upstream) -> None:
    with swapping.connect() as client:
        for number in range(20):
            assert client.request("POST", "/", body=b"a%d" % number).body == b"a%d!!" % number
