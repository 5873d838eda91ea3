"""Clients that leave while plugins are still busy with their request."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from support.waiting import until

from pingap import (
    BodyFilter,
    FileBody,
    Plugin,
    PluginSettings,
    RequestOutcome,
    Response,
    hookimpl,
)
from pingap.testing import Client, Http2Client, Proxy, Upstream
from pingap.testing.fixtures import proxy, upstream

__all__ = ["proxy", "upstream"]


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def http2(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "HTTP/2")


def leave(proxy: Proxy, target: str, *, http2: bool, began: threading.Event) -> None:
    """Ask for something, and leave as soon as a plugin is at work."""
    client: Client | Http2Client = proxy.connect_http2() if http2 else proxy.connect()
    client.send_request("GET", target)
    assert began.wait(10)
    client.reset()


def listeners(proxy: Proxy) -> tuple[int, bool, int]:
    """Return the connections, whether any listener is busy, and the requests under way."""
    worker, thread = proxy._worker, proxy._thread
    assert worker is not None
    assert thread is not None

    def look() -> tuple[int, bool, int]:
        [front] = worker._every_front()
        one = front.listener
        return one.connections, one.is_busy, len(list(one.exchanges))

    return thread.call(look)


class SlowLog(Plugin):
    """Takes its time after the answer."""

    category = "slow_log"

    def __init__(self, settings: PluginSettings) -> None:
        self.began, self.go, self.done = threading.Event(), threading.Event(), 0

    @hookimpl
    def request(self) -> Response:
        return Response.text(200, "answer")

    @hookimpl
    async def logging(self) -> None:
        self.began.set()
        while not self.go.is_set():  # noqa: ASYNC110 - the test is in another thread
            await anyio.sleep(0.01)
        self.done += 1


@pytest.fixture
def slow(proxy: Proxy) -> Iterator[SlowLog]:
    plugin = SlowLog(PluginSettings())
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    yield plugin
    plugin.go.set()


def test_a_request_without_a_connection_is_waited_for(
    proxy: Proxy, slow: SlowLog, http2: bool
) -> None:
    leave(proxy, "/", http2=http2, began=slow.began)
    until(lambda: listeners(proxy) == (0, True, 1))
    slow.go.set()
    until(lambda: listeners(proxy) == (0, False, 0))
    assert slow.done == 1


def test_requests_without_a_connection_count_as_connections(proxy: Proxy, slow: SlowLog) -> None:
    proxy.configure("basic", max_connections=2)
    for _ in range(2):
        leave(proxy, "/", http2=False, began=slow.began)
        slow.began.clear()
    until(lambda: listeners(proxy) == (0, True, 2))
    assert proxy.get("/").status == 503
    slow.go.set()
    until(lambda: not listeners(proxy)[1])
    assert proxy.get("/").status == 200


def test_a_worker_that_ends_is_no_defect(proxy: Proxy, slow: SlowLog) -> None:
    leave(proxy, "/", http2=False, began=slow.began)
    proxy.stop()  # would report an error in the log
    assert slow.done == 0


class Odd(Plugin):
    """Its filter raises what ends tasks, when the body stays incomplete."""

    category = "odd"
    body = "reads"

    def __init__(self, settings: PluginSettings) -> None:
        self.began, self.logged = threading.Event(), threading.Event()

    @hookimpl
    def response_body(self) -> BodyFilter:
        self.began.set()
        return OddFilter()

    @hookimpl
    def logging(self) -> None:
        self.logged.set()


class OddFilter(BodyFilter):
    """Awaits nothing, and behaves as if it had been cancelled."""

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def abandoned(self, outcome: RequestOutcome) -> None:
        raise asyncio.CancelledError


def test_a_filter_that_raises_a_cancellation_is_a_failing_plugin(
    proxy: Proxy, upstream: Upstream, http2: bool
) -> None:
    plugin = Odd(PluginSettings())
    never = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"x"
        never.wait(10)

    upstream.stream("/a", chunks)
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    leave(proxy, "/a", http2=http2, began=plugin.began)
    assert plugin.logged.wait(10)
    proxy.expect_error("CancelledError")
    until(lambda: listeners(proxy) == (0, False, 0))
    never.set()


class Holding(SlowLog):
    """Has something open as long as it produces."""

    category = "holding"
    closed = False

    @hookimpl
    def request(self) -> Response:
        return Response(200, self.produce())

    async def produce(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.began.set()
                yield b"x" * 100_000
        finally:
            self.closed = True


def test_a_generator_is_closed_before_plugins_look_back(proxy: Proxy, http2: bool) -> None:
    plugin = Holding(PluginSettings())
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    leave(proxy, "/", http2=http2, began=plugin.began)
    until(lambda: plugin.closed)
    assert plugin.done == 0  # ``logging`` still waits
    plugin.go.set()
    until(lambda: plugin.done == 1)


class TooLate(Plugin):
    """Answers with a file in the very turn in which it learns that the client has left."""

    category = "too_late"
    body: FileBody

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began, self.logged = threading.Event(), threading.Event()

    @hookimpl
    async def request(self) -> Response:
        self.began.set()
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            self.descriptor = os.open(self.path, os.O_RDONLY)
            self.body = FileBody(self.descriptor)
        return Response(200, self.body)

    @hookimpl
    def logging(self) -> None:
        self.logged.set()


def test_a_file_that_is_answered_too_late_is_closed(
    proxy: Proxy, tmp_path: Path, http2: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    plugin = TooLate(path)
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    leave(proxy, "/", http2=http2, began=plugin.began)
    assert plugin.logged.wait(10)
    assert plugin.body.content_length == 7  # (it is still here, so nothing was left to ``__del__``)
    assert not is_descriptor_of(path, plugin.descriptor)


def is_descriptor_of(path: Path, descriptor: int) -> bool:
    """Return whether a descriptor is open; its number may belong to another file by now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


class LateFilter(Plugin):
    """Returns a body filter in the very turn in which it learns that the client has left."""

    category = "late_filter"
    body = "reads"

    def __init__(self, settings: PluginSettings) -> None:
        self.began, self.logged = threading.Event(), threading.Event()
        self.outcomes: list[RequestOutcome] = []

    @hookimpl
    async def response_body(self) -> BodyFilter:
        self.began.set()
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            return Noting(self.outcomes)

    @hookimpl
    def logging(self) -> None:
        self.logged.set()


class Noting(BodyFilter):
    """Notes that its body stays incomplete."""

    def __init__(self, outcomes: list[RequestOutcome]) -> None:
        self.outcomes = outcomes

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def abandoned(self, outcome: RequestOutcome) -> None:
        self.outcomes.append(outcome)


def test_a_filter_that_is_returned_too_late_gets_to_know_the_end(
    proxy: Proxy, upstream: Upstream, http2: bool
) -> None:
    plugin = LateFilter(PluginSettings())
    upstream.reply("/a", "answer")
    proxy.location("/", plugins=[plugin])
    proxy.configure("servers.web", enabled_h2=True)
    leave(proxy, "/a", http2=http2, began=plugin.began)
    assert plugin.logged.wait(10)
    assert plugin.outcomes == [RequestOutcome.CLIENT_GONE]
