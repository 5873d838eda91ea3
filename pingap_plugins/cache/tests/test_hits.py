"""What clients get from the store, through a real proxy."""

from __future__ import annotations

from pingap_cache.plugin import Cache

from pingap.testing import Clock, Proxy, Upstream

FRESH = {"Cache-Control": "max-age=60"}


def test_a_response_is_served_again(proxy: Proxy, upstream: Upstream, clock: Clock) -> None:
    proxy.location(plugins=[Cache])
    upstream.reply("/a", b"text", headers=FRESH)
    first = proxy.get("/a")
    assert (first.body, first.headers["X-Cache-Status"]) == (b"text", "miss")
    assert first.headers["Cache-Status"] == "pingap; fwd=uri-miss; stored"
    clock.advance(10)
    second = proxy.get("/a")
    assert (second.body, second.headers["X-Cache-Status"]) == (b"text", "hit")
    assert second.headers["Age"] in ("10", "11")
    assert second.headers["Cache-Status"].startswith("pingap; hit; ttl=")
    assert second.headers["Content-Length"] == "4"
    upstream.received_once()
