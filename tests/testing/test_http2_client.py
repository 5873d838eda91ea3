"""The client of HTTP/2 of the kit, in front of a real proxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pingap.testing import Http2Client, Proxy, Upstream


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Http2Client]:
    proxy.location("/", plugins=["pingap:requestId"])
    proxy.configure("servers.web", enabled_h2=True)
    with proxy.connect_http2(client_ip="192.0.2.7", headers={"X-All": "1"}) as connected:
        yield connected


def test_a_request_and_its_answer(client: Http2Client, upstream: Upstream) -> None:
    answer = client.request("POST", "/a?b", headers={"Host": "shop.test"}, body=b"data")
    assert (answer.status, answer.body, answer.complete) == (200, b"data", True)
    assert answer.header("x-request-id")
    request = upstream.received_once()
    assert (request.target, request.header("host"), request.body) == ("/a?b", "shop.test", b"data")
    assert (request.header("x-all"), request.header("x-forwarded-for")) == ("1", "192.0.2.7")


def test_bodies_are_larger_than_any_window(client: Http2Client, upstream: Upstream) -> None:
    body = bytes(range(256)) * 4096
    pieces = [body[start : start + 100_000] for start in range(0, len(body), 100_000)]
    answer = client.request("PUT", "/", body=pieces)
    assert (answer.body == body, answer.complete) == (True, True)


def test_trailers_pass_both_ways(client: Http2Client, upstream: Upstream) -> None:
    upstream.reply("/sum", b"body", trailers={"x-sum": "4"})
    answer = client.request("PUT", "/sum", body=b"body", trailers={"X-Sum": "4"})
    assert answer.trailers == [("x-sum", "4")]
    assert upstream.received_once().trailers == [("x-sum", "4")]


def test_requests_at_once_are_answered_as_they_are_ready(
    client: Http2Client, upstream: Upstream
) -> None:
    ready = threading.Event()
    upstream.reply("/slow", b"slow", until=ready)
    slow = client.send_request("GET", "/slow")
    assert client.get("/quick").body == b"ok"
    ready.set()
    assert client.answer(slow).body == b"slow"


def test_an_answer_that_breaks_off_is_not_complete(client: Http2Client, upstream: Upstream) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    upstream.raw("/half", head, then="close")
    answer = client.get("/half")
    assert (answer.status, answer.body, answer.complete) == (200, b"half", False)
    assert client.get("/").complete


def test_a_request_can_be_given_up(client: Http2Client, upstream: Upstream) -> None:
    ready = threading.Event()
    upstream.reply("/never", b"", until=ready)
    stream = client.send_request("GET", "/never")
    upstream.wait_for_request()
    client.cancel(stream)
    assert client.get("/").status == 200
    ready.set()
    with pytest.raises(AssertionError, match="ended without an answer"):
        client.answer(stream)


def test_a_server_that_does_not_speak_it_is_named(proxy: Proxy) -> None:
    with pytest.raises(ValueError, match=r"HTTP/2 needs enabled_h2 = true in \[servers.web\]"):
        proxy.connect_http2()
