"""Connections live on between requests, on both sides."""

from __future__ import annotations

from pingap.testing import Proxy, Upstream


def test_many_requests_share_one_connection_on_both_sides(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as client:
        for number in range(5):
            answer = client.get(f"/{number}")
            assert (answer.status, answer.body) == (200, b"ok")
    assert [request.target for request in upstream.requests] == ["/0", "/1", "/2", "/3", "/4"]
    assert upstream.connections == 1


def test_pipelined_requests_are_answered_in_order(proxy: Proxy, upstream: Upstream) -> None:
    with proxy.connect() as client:
        client.send(
            b"".join(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d" % number
                for number in range(9)
            )
        )
        assert [client.answer().body for _ in range(9)] == [b"%d" % number for number in range(9)]
