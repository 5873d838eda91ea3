"""``ctx.finish_without_client``: an upstream's response is read to its end, though the client left."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.waiting import until

from pingap import (
    AsyncBodyFilter,
    BodyFilter,
    Headers,
    Plugin,
    Request,
    RequestContext,
    RequestOutcome,
    Response,
    hookimpl,
)
from pingap.downstream import listener
from pingap.proxy import unattended
from pingap.proxy.exchange import Exchange
from pingap.testing import Client, Http2Client, Proxy, Upstream
from pingap.testing.served import Received, Served


class Keep(BodyFilter):
    """Keeps a body, as a cache does."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.size = 0

    def feed(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        self.cache.began.set()
        return chunk

    def end(self, trailers: Headers) -> bytes:
        self.cache.notes.append(f"end {self.size}")
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        self.cache.notes.append(f"abandoned {outcome}")


class SlowKeep(AsyncBodyFilter):
    """Does the same, and awaits something."""

    def __init__(self, cache: Cache) -> None:
        self.inner = Keep(cache)

    async def feed(self, chunk: bytes) -> bytes:
        await anyio.lowlevel.checkpoint()
        return self.inner.feed(chunk)

    async def end(self, trailers: Headers) -> bytes:
        await anyio.lowlevel.checkpoint()
        return self.inner.end(trailers)

    def abandoned(self, outcome: RequestOutcome) -> None:
        self.inner.abandoned(outcome)


class Cache(Plugin):
    category = "cache"
    body = "reads"
    contract = "1.1"

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.began = threading.Event()

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> Response | None:
        ctx.finish_without_client = request.query != "leave"
        return Response(200, self.produce()) if request.path == "/produced" else None

    async def produce(self) -> AsyncIterator[bytes]:
        yield b"x"
        await anyio.sleep_forever()

    @hookimpl
    def response_body(self, request: Request) -> BodyFilter | AsyncBodyFilter:
        return SlowKeep(self) if request.query == "slow" else Keep(self)

    @hookimpl
    def logging(self, ctx: RequestContext) -> None:
        self.notes.append(f"over {ctx.status} {ctx.outcome} {ctx.body_bytes_sent}")


class Rig:
    """A proxy with the plugin, and an upstream that waits in the middle of a response."""

    def __init__(self, proxy: Proxy, upstream: Upstream, cache: Cache) -> None:
        self.proxy, self.upstream, self.cache = proxy, upstream, cache
        self.go = threading.Event()
        upstream.on("/", self.answer)
        upstream.on("/late", self.answer_late)
        upstream.on("/endless", self.answer_endless)
        upstream.on("/cut", self.answer_cut)

    def begin(self, served: Served, size: int) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"a" * 10)
        served.wait(self.go)

    def answer(self, served: Served, request: Received) -> None:
        self.begin(served, 300_010)
        served.send(b"b" * 300_000)

    def answer_cut(self, served: Served, request: Received) -> None:
        self.begin(served, 300_010)
        served.close()

    def answer_late(self, served: Served, request: Received) -> None:
        self.cache.began.set()
        served.wait(self.go)
        served.respond(b"hello")

    def answer_endless(self, served: Served, request: Received) -> None:
        self.begin(served, 1_000_000_000)
        while True:
            served.send(b"b" * 100_000)

    def exchanges(self) -> list[Exchange]:
        """Return the requests that are under way."""
        worker, thread = self.proxy._worker, self.proxy._thread
        assert worker is not None
        assert thread is not None
        return thread.call(
            lambda: [one for front in worker._every_front() for one in front.listener.exchanges]
        )

    def wait_for(self, *expected: str) -> None:
        until(lambda: len(self.cache.notes) >= len(expected), str(self.cache.notes))
        assert self.cache.notes == list(expected)

    def check_nothing_is_left(self) -> None:
        until(lambda: not self.exchanges())
        assert self.proxy._worker is not None
        assert not self.proxy._worker._requests._running

        def is_freed() -> bool:
            gc.collect()
            return not any(type(one) is Exchange for one in gc.get_objects())

        until(is_freed)


Leave = Callable[[Rig, str], None]


@contextmanager
def asking(rig: Rig, client: Client | Http2Client, target: str) -> Iterator[Any]:
    """Ask for something; leave the block when the response has begun, or the upstream waits."""
    number = client.send_request("GET", target)
    assert rig.cache.began.wait(10)
    if target in ("/", "/?slow"):  # the filter has seen what the client has not got yet
        until(lambda: any(one.downstream.body_bytes_sent for one in rig.exchanges()))
    yield number
    until(lambda: all(one.unattended for one in rig.exchanges()) or rig.cache.notes)


def close_1(rig: Rig, target: str) -> None:
    with rig.proxy.connect() as client, asking(rig, client, target):
        client.close()


def reset_1(rig: Rig, target: str) -> None:
    with rig.proxy.connect() as client, asking(rig, client, target):
        client.reset()


def close_2(rig: Rig, target: str) -> None:
    with rig.proxy.connect_http2() as client, asking(rig, client, target):
        client.close()


def cancel_2(rig: Rig, target: str) -> None:
    client = rig.proxy.connect_http2()  # which goes on being used
    with asking(rig, client, target) as number:
        client.cancel(number)


@pytest.fixture
def rig(upstream: Upstream) -> Iterator[Rig]:
    cache = Cache()
    proxy = Proxy(upstream=upstream)
    proxy.location(plugins=[cache])
    proxy.configure("servers.web", enabled_h2=True)
    with proxy:
        rig = Rig(proxy, upstream, cache)
        yield rig
        rig.go.set()


@pytest.fixture(params=[reset_1, close_2, cancel_2])
def leave(request: pytest.FixtureRequest) -> Leave:
    left: Leave = request.param
    return left


@pytest.mark.parametrize("query", ["", "?slow"])
def test_a_filter_gets_the_whole_body(rig: Rig, leave: Leave, query: str) -> None:
    leave(rig, f"/{query}")
    assert rig.cache.notes == []
    rig.go.set()
    rig.wait_for("end 300010", "over 200 client_gone 10")
    rig.check_nothing_is_left()
    assert rig.proxy.get("/late?leave").body == b"hello"
    assert rig.upstream.connections == 1  # it was kept


def test_a_client_that_ends_its_side_and_leaves(rig: Rig) -> None:
    with rig.proxy.connect() as client:
        client.send_request("GET", "/")
        assert rig.cache.began.wait(10)
    rig.go.set()
    until(lambda: len(rig.cache.notes) == 2)
    assert rig.cache.notes[0] == "end 300010"
    assert rig.cache.notes[1].startswith("over 200 ")  # (it took bytes until its end was known)
    rig.check_nothing_is_left()


def test_before_the_response_begins(rig: Rig, leave: Leave) -> None:
    leave(rig, "/late")
    assert rig.cache.notes == []
    rig.go.set()
    rig.wait_for("end 5", "over 499 client_gone 0")
    rig.check_nothing_is_left()


def test_without_it_the_upstream_is_left(rig: Rig, leave: Leave) -> None:
    leave(rig, "/?leave")
    rig.wait_for("abandoned client_gone", "over 200 client_gone 10")
    rig.check_nothing_is_left()


def test_bodies_of_plugins_are_left(rig: Rig, leave: Leave) -> None:
    leave(rig, "/produced")
    rig.wait_for("abandoned client_gone", "over 200 client_gone 1")
    rig.check_nothing_is_left()


@pytest.mark.parametrize("query", ["", "?leave"])
def test_a_stream_is_reset_in_the_read_that_opens_it(
    rig: Rig, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = rig.proxy.connect_http2()
    frames: list[bytes] = []
    with monkeypatch.context() as patch:
        patch.setattr(client, "send", frames.append)
        client.cancel(client.send_request("GET", f"/produced{query}"))
    client.send(b"".join(frames))
    until(lambda: bool(rig.cache.notes))
    rig.check_nothing_is_left()


def test_an_upstream_that_breaks_off(rig: Rig, leave: Leave) -> None:
    leave(rig, "/cut")
    rig.go.set()
    rig.wait_for("abandoned broken_off", "over 200 broken_off 10")
    rig.check_nothing_is_left()


def test_the_body_is_bounded(rig: Rig, leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unattended, "LARGEST_BODY", 1_000_000)
    leave(rig, "/endless")
    rig.go.set()
    rig.wait_for("abandoned client_gone", "over 200 client_gone 10")
    rig.check_nothing_is_left()


def test_a_client_that_was_full_no_longer_slows_it_down(rig: Rig) -> None:
    client = rig.proxy.connect()
    client.send_request("GET", "/endless")
    rig.go.set()
    until(lambda: any(one.client_full for one in rig.exchanges()))
    client.reset()
    until(lambda: len(rig.cache.notes) == 2)
    assert rig.cache.notes[0] == "abandoned client_gone"  # after 64 MiB
    assert rig.upstream.requests


def test_their_number_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST_UNATTENDED", 1)
    reset_1(rig, "/")
    rig.cache.began.clear()
    reset_1(rig, "/")
    rig.wait_for("abandoned client_gone", "over 200 client_gone 10")
    rig.go.set()
    rig.wait_for(*rig.cache.notes[:2], "end 300010", "over 200 client_gone 10")
    rig.check_nothing_is_left()


def test_the_end_of_the_proxy_does_not_wait_for_ever(rig: Rig, leave: Leave) -> None:
    leave(rig, "/")
    rig.proxy.stop()
    assert rig.cache.notes == ["abandoned client_gone", "over 200 client_gone 10"]


@pytest.mark.parametrize("seconds", [0.3, 20])
def test_draining_waits_within_the_grace_period(
    upstream: Upstream, leave: Leave, seconds: float
) -> None:
    cache = Cache()
    proxy = Proxy(upstream=upstream)
    proxy.location(plugins=[cache])
    proxy.configure("servers.web", enabled_h2=True)
    proxy.configure("basic", grace_period=f"{int(seconds * 1000)}ms")
    with proxy:
        rig = Rig(proxy, upstream, cache)
        leave(rig, "/")
        assert proxy._worker is not None
        assert proxy._thread is not None
        assert proxy._thread._loop is not None
        draining = begin_to_drain(proxy)
        if seconds < 1:
            draining()
            assert cache.notes == []
            assert "the grace period is over" in proxy.log
        else:
            rig.go.set()
            draining()
            assert cache.notes == ["end 300010", "over 200 client_gone 10"]
        rig.go.set()


def begin_to_drain(proxy: Proxy) -> Callable[[], None]:
    """Begin to drain a proxy; return what waits until that is done."""
    worker, thread = proxy._worker, proxy._thread
    assert worker is not None
    assert thread is not None
    assert thread._loop is not None
    future = asyncio.run_coroutine_threadsafe(worker.drain(), thread._loop)
    return lambda: future.result(10)
