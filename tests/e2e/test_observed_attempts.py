"""Whoever watches an upstream is told once how each attempt ended."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from support.waiting import until

from pingap.http.context import RequestContext
from pingap.http.errors import UpstreamError
from pingap.testing import Proxy, Served, Upstream
from pingap.upstream.peer import Peer


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[str, str | int]] = []

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        self.told.append((peer.text, status if error is None else error.error_type))

    def abandoned(self, peer: Peer) -> None:
        self.told.append((peer.text, "abandoned"))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        proxy = Proxy(upstream=upstream)
        dead = f"127.0.0.1:{sock.getsockname()[1]}"
        proxy.configure("upstreams.dead", addrs=[dead, upstream.addr])
        proxy.location("/")
        proxy.location("/dead", upstream="dead", max_retries=1)
        with proxy:
            yield proxy


def observe(proxy: Proxy, name: str = "upstream") -> Recorder:
    recorder = Recorder()
    assert proxy._runtime is not None
    proxy._runtime.upstreams[name].observers = (recorder,)
    return recorder


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_response(status: int, proxy: Proxy, upstream: Upstream) -> None:
    recorder = observe(proxy)
    upstream.reply("/", b"", status)
    assert proxy.get("/").status == status
    assert recorder.told == [(upstream.addr, status)]


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 O", b"nonsense\r\n\r\n"])
def test_no_response(sent: bytes, proxy: Proxy, upstream: Upstream) -> None:
    recorder = observe(proxy)
    upstream.raw("/", sent)
    assert proxy.get("/").status == 502
    assert [peer for peer, _ in recorder.told] == [upstream.addr]
    assert isinstance(recorder.told[0][1], str)


def test_each_attempt(proxy: Proxy, upstream: Upstream) -> None:
    recorder = observe(proxy, "dead")
    assert proxy.get("/dead").status == 200
    assert [result for _, result in recorder.told] == ["ConnectRefused", 200]
    assert recorder.told[1][0] == upstream.addr


def test_a_client_that_leaves(proxy: Proxy, upstream: Upstream) -> None:
    def never(served: Served, request: object) -> None:
        served.read_to_end()

    recorder = observe(proxy)
    upstream.on("/", never)
    with proxy.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        upstream.wait_for_request()
    until(lambda: recorder.told)
    assert recorder.told == [(upstream.addr, "abandoned")]
