"""``worker.fetch``: requests of plugins that take the way of any request to an upstream."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
import pytest
from support.waiting import until

from pingap import (
    BackgroundTasks,
    Headers,
    HTTPError,
    Plugin,
    Request,
    Response,
    Worker,
    hookimpl,
)
from pingap.proxy import fetch as fetching
from pingap.proxy.exchange import Exchange
from pingap.testing import Proxy, Upstream, make_request
from pingap.testing.served import Received, Served

T = TypeVar("T")


class Fetcher(Plugin):
    category = "fetcher"
    contract = "1.1"

    worker: Worker

    def __init__(self) -> None:
        pass

    async def startup(self, tasks: BackgroundTasks, worker: Worker) -> None:
        self.worker = worker

    @hookimpl
    async def request(self, request: Request) -> Response | None:
        if request.path == "/served":
            return await self.worker.fetch(request, upstream="upstream")
        return None


class Rig:
    """A proxy with the plugin; ``run`` runs something in its event loop, as a task of a plugin is."""

    def __init__(self, proxy: Proxy, upstream: Upstream, plugin: Fetcher) -> None:
        self.proxy, self.upstream, self.plugin = proxy, upstream, plugin

    def run(self, work: Callable[[Worker], Awaitable[T]]) -> T:
        async def call() -> T:
            return await work(self.plugin.worker)

        assert self.proxy._thread is not None
        assert self.proxy._thread._loop is not None
        return asyncio.run_coroutine_threadsafe(call(), self.proxy._thread._loop).result(20)

    def fetch(
        self,
        request: Request | None = None,
        *,
        body: bytes = b"",
        upstream: str = "upstream",
        timeout: float = 10.0,
        keep_body: bool = True,
    ) -> Response:
        request = request or make_request(target="/x")
        return self.run(
            lambda worker: worker.fetch(
                request, upstream=upstream, body=body, timeout=timeout, keep_body=keep_body
            )
        )

    def failure(self, **options: Any) -> int:
        """Return the status of a failure; what it holds is forgotten."""
        with pytest.raises(HTTPError) as caught:
            self.fetch(**options)
        return caught.value.status

    def check_nothing_is_left(self) -> None:
        worker = self.proxy._worker
        assert worker is not None
        until(lambda: not worker._requests._running)
        assert not worker._for_plugins.fetching._running
        assert all(peer.active == 0 for peer in self.plugin.worker.upstreams["upstream"].peers)

        def is_freed() -> bool:
            gc.collect()
            return not any(type(one) is Exchange for one in gc.get_objects())

        until(is_freed)


@pytest.fixture
def rig(upstream: Upstream) -> Iterator[Rig]:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    plugin = Fetcher()
    proxy = Proxy(upstream=upstream)
    proxy.location(plugins=[plugin])
    proxy.configure("upstreams.down", addrs=[nobody])
    proxy.configure("upstreams.half", addrs=[nobody, upstream.addr])
    proxy.configure("upstreams.strict", addrs=[nobody], circuit_break_max_consecutive_failures=2)
    with proxy:
        yield Rig(proxy, upstream, plugin)


def test_a_response_with_all_of_its_body(rig: Rig) -> None:
    rig.upstream.reply("/x", b"hello", 201, headers={"ETag": '"1"'})
    answer = rig.fetch()
    assert (answer.status, answer.body, answer.headers.get("etag")) == (201, b"hello", '"1"')
    assert not answer.upstream
    rig.upstream.reply("/x", [b"a" * 200_000, b"b" * 200_000])
    assert rig.fetch().body == b"a" * 200_000 + b"b" * 200_000
    assert rig.upstream.connections == 1
    rig.check_nothing_is_left()


def test_the_request_is_framed_and_left_as_it_was(rig: Rig) -> None:
    headers = {"Connection": "X-Y", "Transfer-Encoding": "chunked", "X-Keep": "1"}
    request = make_request("POST", "/x?q=1", host="example.org", headers=headers)
    before = list(request.headers.lines)
    rig.fetch(request, body=b"some bytes" * 10_000)
    received = rig.upstream.wait_for_request(complete=True)
    assert (received.method, received.target) == ("POST", "/x?q=1")
    assert received.body == b"some bytes" * 10_000
    assert received.header("content-length") == "100000"
    assert received.header("host") == "example.org"
    assert received.header("x-keep") == "1"
    assert received.header("transfer-encoding") is None
    assert request.headers.lines == before
    assert not request.sent


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(rig: Rig, status: int) -> None:
    rig.upstream.reply("/x", b"", status, headers={"ETag": "x"})
    assert (rig.fetch().status, rig.fetch().body) == (status, b"")


def test_head_keeps_the_length(rig: Rig) -> None:
    rig.upstream.raw("/x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", then="keep")
    answer = rig.fetch(make_request("HEAD", "/x"))
    assert (answer.body, answer.content_length) == (b"", 5)


def test_a_client_can_be_answered_with_it(rig: Rig) -> None:
    rig.upstream.reply("/served", b"hello")
    assert [rig.proxy.get("/served").body for _ in range(2)] == [b"hello"] * 2
    assert rig.upstream.connections == 1


def test_an_unknown_upstream(rig: Rig) -> None:
    with pytest.raises(KeyError, match="nothing"):
        rig.fetch(upstream="nothing")


def test_a_tunnel_cannot_be_fetched(rig: Rig) -> None:
    with pytest.raises(ValueError, match="asks for a tunnel"):
        rig.fetch(make_request("CONNECT", "/x"))


def test_an_upstream_that_is_down(rig: Rig) -> None:
    assert rig.failure(upstream="down") == 502
    assert "upstream down(" in rig.proxy.log
    rig.check_nothing_is_left()


def test_another_peer_is_tried(rig: Rig) -> None:
    assert [rig.fetch(upstream="half").status for _ in range(4)] == [200] * 4


def test_circuit_breakers_count(rig: Rig) -> None:
    assert [rig.failure(upstream="strict") for _ in range(4)][-1] == 503
    (peer,) = rig.plugin.worker.upstreams["strict"].peers
    assert not peer.is_available


def test_a_response_that_is_cut(rig: Rig) -> None:
    rig.upstream.raw("/x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
    assert rig.failure() == 502
    rig.check_nothing_is_left()


def test_a_response_that_is_too_large(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LARGEST_RESPONSE", 300_000)
    rig.upstream.reply("/x", [b"x" * 100_000] * 3)
    assert len(rig.fetch().body) == 300_000  # type: ignore[arg-type]
    rig.upstream.reply("/x", [b"x" * 100_000] * 4)
    assert rig.failure() == 502
    rig.check_nothing_is_left()


def test_a_body_that_is_not_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LARGEST_RESPONSE", 100_000)
    for body in (b"short", [b"x" * 100_000] * 4):
        rig.upstream.reply("/x", body, headers={"ETag": '"1"'})
        answer = rig.fetch(keep_body=False)
        assert (answer.status, answer.body, answer.headers.get("etag")) == (200, b"", '"1"')
    rig.upstream.raw("/x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
    assert rig.failure(keep_body=False) == 502
    assert rig.upstream.connections == 1
    rig.check_nothing_is_left()


def test_the_time_is_limited(rig: Rig) -> None:
    go = threading.Event()
    rig.upstream.reply("/x", b"late", until=go)
    assert rig.failure(timeout=0.05) == 504
    rig.check_nothing_is_left()
    go.set()


def test_a_plugin_that_is_cancelled_lets_go(rig: Rig) -> None:
    go = threading.Event()

    def wait(served: Served, request: Received) -> None:
        served.wait(go)

    rig.upstream.on("/x", wait)

    async def cancel(worker: Worker) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: worker.fetch(make_request(target="/x"), upstream="upstream"))
            await anyio.to_thread.run_sync(rig.upstream.wait_for_request)
            tasks.cancel_scope.cancel()

    rig.run(cancel)
    rig.check_nothing_is_left()
    go.set()


def test_the_end_of_the_proxy_ends_it(rig: Rig) -> None:
    go = threading.Event()
    rig.upstream.reply("/x", b"late", until=go)
    failed: list[int] = []

    async def fetch() -> None:
        try:
            await rig.plugin.worker.fetch(make_request(target="/x"), upstream="upstream")
        except HTTPError as error:
            failed.append(error.status)

    async def begin(worker: Worker) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(fetch())

    task = rig.run(begin)
    rig.upstream.wait_for_request()
    rig.proxy.stop()
    assert failed == [503]
    assert task.done()
    go.set()


def test_many_at_once(rig: Rig) -> None:
    async def many(worker: Worker) -> list[bytes]:
        found: list[bytes] = []

        async def one(number: int) -> None:
            request = Request("GET", f"/{number}", Headers({"Host": "a"}))
            answer = await worker.fetch(request, upstream="upstream")
            assert isinstance(answer.body, bytes)
            found.append(answer.body)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(one, number)
        return found

    assert len(rig.run(many)) == 50
    rig.check_nothing_is_left()
