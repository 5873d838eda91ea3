"""A mistake of ours in one stream of HTTP/2 ends that stream, holds no place, and harms no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import h2
from support.h2 import END_HEADERS, H2Client, fields
from support.h2_origin import H2Served, h2_script

from pingap.downstream.http2_stream import Http2Stream
from pingap.protocol.http2_state import MOST_STREAMS
from pingap.proxy import lifecycle
from pingap.proxy.body_relay import BodyRelay
from pingap.testing import Client, Proxy, Upstream
from pingap.upstream.connections.http2_stream import Http2UpstreamStream
from pingap.wire.http2_turns import Turns


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Upstream() as upstream:
        proxy = Proxy(upstream=upstream)
        proxy.location("/")
        proxy.configure("servers.web", enabled_h2=True)
        with proxy:
            yield proxy


def connect(proxy: Proxy) -> H2Client:
    return H2Client(Client(proxy.address()))


def break_for(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """Let a function fail, as a mistake in it would."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(owner, name, broken)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(lifecycle, "_match"), (Http2Stream, "begin")],
    ids=["in the lifecycle", "before there is an exchange"],
)
def test_a_mistake_holds_no_stream(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    with connect(proxy) as client:
        with monkeypatch.context() as patch:
            break_for(patch, owner, name)
            for number in range(1, 2 * MOST_STREAMS + 5, 2):
                client.headers(number, fields())
                assert client.finish(number).reset == h2.INTERNAL_ERROR
                proxy.expect_error("bug in pingap")
        assert client.get(1001).status == 200


def test_a_mistake_with_a_body_ends_the_request_and_no_other(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(proxy) as client:
        client.headers(1, fields("POST"), END_HEADERS)
        client.headers(3, fields("POST"), END_HEADERS)
        with monkeypatch.context() as patch:
            break_for(patch, BodyRelay, "feed")
            client.data(1, b"a")
            assert client.finish(1).status == 500
            proxy.expect_error("stream 1 ended because of a bug in pingap")
        client.data(3, b"abc", end=True)
        assert client.finish(3).status == 200


def test_a_mistake_that_concerns_no_stream_ends_the_connection(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(proxy) as client:
        assert client.get(1).status == 200
        with monkeypatch.context() as patch:
            break_for(patch, Turns, "send")
            client.send(h2.window_update(0, 1))
            assert client.goaway() == h2.INTERNAL_ERROR
            proxy.expect_error("stream 0 ended because of a bug in pingap")
    with connect(proxy) as client:
        assert client.get(1).status == 200


@pytest.mark.parametrize("name", ["on_response", "on_data", "on_waiting"])
def test_a_mistake_in_an_answer_ends_its_stream_and_no_other(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def script(served: H2Served) -> None:
        held = served.request()
        while (request := served.request()) is not None:
            served.respond(request.stream)
            if request.path == "/release" and held is not None:
                served.respond(held.stream)

    with Upstream(h2_script(script)) as origin:
        proxy = Proxy(f"""
            [upstreams.origin]
            addrs = ["{origin.addr}"]
            alpn = "H2"
            max_h2_streams = 10
            health_check = "none"
            [locations.all]
            upstream = "origin"
            [servers.web]
            addr = "127.0.0.1:0"
            locations = ["all"]
            enabled_h2 = true
            """)
        with proxy, connect(proxy) as client:
            client.headers(1, fields("GET", "/held"))
            with monkeypatch.context() as patch:
                break_for(patch, Http2UpstreamStream, name)
                client.headers(3, fields("GET", "/a"))
                answer = client.finish(3)
                complete = answer.ended and name == "on_waiting"
                assert complete or answer.reset == h2.INTERNAL_ERROR or answer.status == 500
                proxy.expect_error("an answer of origin")
            assert client.get(5, "/release").status == 200
            assert client.finish(1).status == 200
        assert origin.connections == 1
