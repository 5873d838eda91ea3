"""Requests in progress: every slot is given back, however a request ends."""

from __future__ import annotations

import threading

import pytest

from pingap import HTTPError, Plugin, hookimpl
from pingap.testing import Clock, Proxy, Upstream


def limited(proxy: Proxy, most: int = 1, **settings: object) -> None:
    proxy.configure("plugins.few", category="limit", type="inflight", max=most, **settings)
    proxy.location("/", plugins=["few"])


def all_slots_are_free(proxy: Proxy, upstream: Upstream, most: int = 1) -> None:
    """Check that ``most`` requests can be in progress, and not one more."""
    go = threading.Event()
    upstream.reply("/free", b"free", until=go)
    before = len(upstream.requests)
    clients = [proxy.connect() for _ in range(most)]
    try:
        for client in clients:
            client.send_request("GET", "/free")
        upstream.wait_for_request(before + most)
        assert proxy.get("/free").status == 429
        go.set()
        assert [client.answer().status for client in clients] == [200] * most
    finally:
        for client in clients:
            client.close()


def test_the_answer_of_pingap(proxy: Proxy, upstream: Upstream) -> None:
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    limited(proxy)
    with proxy.connect() as client:
        client.send_request("GET", "/slow")
        upstream.wait_for_request()
        answer = proxy.get("/")
        assert (answer.status, answer.text) == (429, "Plugin limit, exceed limit 2/1")
        assert answer.headers["Retry-After"] == "1"
        go.set()
        assert client.answer().status == 200
    assert proxy.get("/").status == 200
    all_slots_are_free(proxy, upstream)


def test_as_many_as_max(proxy: Proxy, upstream: Upstream) -> None:
    limited(proxy, 3)
    all_slots_are_free(proxy, upstream, 3)
    all_slots_are_free(proxy, upstream, 3)


def test_max_0_refuses_everything(proxy: Proxy) -> None:
    limited(proxy, 0)
    assert proxy.get("/").text == "Plugin limit, exceed limit 1/0"


def test_a_client_that_leaves(proxy: Proxy, upstream: Upstream) -> None:
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    proxy.configure("servers.web", access_log="{status}")
    limited(proxy)
    with proxy.connect() as client:
        client.send_request("GET", "/slow")
        upstream.wait_for_request()
    proxy.wait_for_access_log()
    go.set()
    all_slots_are_free(proxy, upstream)


def test_a_response_that_is_cut(proxy: Proxy, upstream: Upstream) -> None:
    upstream.raw("/cut", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", then="reset")
    limited(proxy)
    assert not proxy.get("/cut").complete
    all_slots_are_free(proxy, upstream)


def test_an_upstream_that_fails(proxy: Proxy, upstream: Upstream) -> None:
    upstream.raw("/broken", b"HTTP/1.1 20", then="reset")
    limited(proxy)
    assert proxy.get("/broken").status == 502
    all_slots_are_free(proxy, upstream)


def test_a_body_that_is_invalid(proxy: Proxy, upstream: Upstream) -> None:
    limited(proxy)
    with proxy.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert client.read_head().status == 400
    all_slots_are_free(proxy, upstream)


class Refusing(Plugin):
    category = "refusing"

    @hookimpl
    def request(self) -> None:
        raise HTTPError(403, "No")


class Failing(Plugin):
    category = "failing"

    @hookimpl
    def request(self) -> None:
        raise LookupError("what is this")


@pytest.mark.parametrize(("plugin", "status"), [(Refusing, 403), (Failing, 500)])
def test_a_plugin_behind_it(
    proxy: Proxy, upstream: Upstream, plugin: type[Plugin], status: int
) -> None:
    proxy.configure("plugins.few", category="limit", type="inflight", max=1)
    proxy.location("/refused", plugins=["few", plugin])
    proxy.location("/", plugins=["few"])
    assert [proxy.get("/refused").status for _ in range(3)] == [status] * 3
    all_slots_are_free(proxy, upstream)
    if plugin is Failing:
        proxy.expect_error("what is this")


def test_a_websocket_has_its_slot_until_it_ends(proxy: Proxy, upstream: Upstream) -> None:
    upstream.websocket("/chat")
    proxy.configure("servers.web", access_log="{status}")
    limited(proxy)
    with proxy.connect_websocket("/chat") as chat:
        chat.send("hello")
        assert chat.receive() == "hello"
        assert proxy.get("/").status == 429
    proxy.wait_for_access_log(2)
    all_slots_are_free(proxy, upstream)


def test_streams_of_one_connection(proxy: Proxy, upstream: Upstream) -> None:
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    proxy.configure("servers.web", enabled_h2=True, access_log="{status}")
    limited(proxy, 2)
    with proxy.connect_http2() as client:
        streams = [client.send_request("GET", "/slow") for _ in range(2)]
        upstream.wait_for_request(2)
        assert client.answer(client.send_request("GET", "/slow")).status == 429
        client.cancel(streams[0])
        proxy.wait_for_access_log(2)
        go.set()
        assert client.answer(streams[1]).status == 200
    all_slots_are_free(proxy, upstream, 2)


def test_two_limits_in_one_location(proxy: Proxy, upstream: Upstream) -> None:
    """In pingap, only the slot of the last one is held."""
    go = threading.Event()
    upstream.reply("/slow", b"late", until=go)
    proxy.configure("plugins.all", category="limit", type="inflight", max=2, tag="host")
    proxy.configure("plugins.each", category="limit", type="inflight", max=1, tag="header", key="k")
    proxy.location("/", plugins=["all", "each"])
    with proxy.connect() as one, proxy.connect() as two:
        one.send_request("GET", "/slow", headers={"k": "1"})
        upstream.wait_for_request(1)
        assert proxy.get("/", headers={"k": "1"}).text == "Plugin limit, exceed limit 2/1"
        two.send_request("GET", "/slow", headers={"k": "2"})
        upstream.wait_for_request(2)
        assert proxy.get("/", headers={"k": "3"}).text == "Plugin limit, exceed limit 3/2"
        go.set()
        assert (one.answer().status, two.answer().status) == (200, 200)
    assert [proxy.get("/", headers={"k": "1"}).status for _ in range(3)] == [200] * 3


def test_only_what_reaches_an_upstream(proxy: Proxy, upstream: Upstream) -> None:
    limited(proxy, step="proxy_upstream")
    all_slots_are_free(proxy, upstream)


def test_keep_alive_requests_have_one_slot_each(proxy: Proxy, clock: Clock) -> None:
    limited(proxy)
    with proxy.connect() as client:
        assert [client.get("/").status for _ in range(5)] == [200] * 5


def test_a_report_lets_everything_pass(proxy: Proxy) -> None:
    proxy.configure("servers.web", access_log="{status} {:few.result}")
    limited(proxy, 0, mode="report")
    assert proxy.get("/").status == 200
    assert proxy.access_log == ["200 reported"]
