"""Requests for the same at the same time: one fetches, the others wait for it and share what comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from pingap_cache.plugin import Cache
from waiting import fill, written

from pingap.testing import Client, Proxy, Received, Served, Upstream

FRESH = {"Cache-Control": "max-age=60"}


def ask(proxy: Proxy, count: int, headers: dict[str, str] | None = None) -> list[Client]:
    """Send a request on each of so many connections."""
    clients = [proxy.connect() for _ in range(count)]
    for client in clients:
        client.send_request("GET", "/a", headers=headers or {})
    return clients


def test_one_request_fetches_for_all(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    go = threading.Event()
    upstream.reply("/a", b"text", headers=FRESH, until=go)
    clients = ask(proxy, 20)
    upstream.wait_for_request()
    proxy.settle()
    go.set()
    answers = [client.answer() for client in clients]
    assert {answer.body for answer in answers} == {b"text"}
    statuses = sorted(answer.headers["X-Cache-Status"] for answer in answers)
    assert statuses == ["hit"] * 19 + ["miss"]
    waited = [answer for answer in answers if "X-Cache-Lock" in answer.headers]
    if not kept:  # (with a disk, some may only find out about the fill when its body comes)
        assert len(waited) == 19
    upstream.received_once()


def test_those_who_wait_get_the_body_while_it_comes(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    more, last = threading.Event(), threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"one"
        more.wait(10)
        yield b"two"
        last.wait(10)
        yield b"three"

    upstream.stream("/a", parts, headers=FRESH)
    [first] = ask(proxy, 1)
    assert first.read_head().status == 200
    assert first.read_some() == b"one"
    [second] = ask(proxy, 1)
    head = second.read_head()
    assert head.headers["X-Cache-Status"] == "hit"
    assert head.headers["Cache-Status"] == "pingap; fwd=uri-miss; collapsed"
    assert second.read_some() == b"one"
    more.set()
    assert second.read_some() == b"two"
    [third] = ask(proxy, 1)
    third.read_head()
    last.set()
    assert [client.read_rest() for client in (first, second, third)] == [
        b"twothree",
        b"three",
        b"onetwothree",
    ]
    assert proxy.get("/a").body == b"onetwothree"
    upstream.received_once()


def test_a_slow_filler_releases_them(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "50ms"})])
    go = threading.Event()
    handled = []

    def handle(served: Served, request: Received) -> None:
        handled.append(request)
        if len(handled) == 1:
            served.wait(go)
        served.respond(b"text", headers=FRESH)

    upstream.on("/a", handle)
    [first] = ask(proxy, 1)
    upstream.wait_for_request()
    began = time.monotonic()
    answer = proxy.get("/a")
    assert (answer.body, answer.headers["X-Cache-Status"]) == (b"text", "miss")
    assert time.monotonic() - began >= 0.05
    written(proxy)
    assert proxy.get("/a").headers["X-Cache-Status"] == "hit"
    go.set()
    assert first.answer().body == b"text"
    assert len(upstream.requests) == 2


def test_a_failing_filler_releases_them(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    """One after the other tries; nobody gets the error of another one."""
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    go = threading.Event()
    handled = []

    def handle(served: Served, request: Received) -> None:
        handled.append(request)
        if len(handled) == 1:
            served.wait(go)
            served.respond(b"broken", 503)
        else:
            served.respond(b"text", headers=FRESH)

    upstream.on("/a", handle)
    clients = ask(proxy, 5)
    upstream.wait_for_request()
    proxy.settle()
    go.set()
    answers = sorted(client.answer().status for client in clients)
    assert answers == [200, 200, 200, 200, 503]
    assert len(upstream.requests) <= 5


def test_a_filler_whose_client_leaves_goes_on(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    more = threading.Event()

    def parts() -> Iterator[bytes]:
        yield b"one"
        more.wait(10)
        yield b"two"

    upstream.stream("/a", parts, headers=FRESH)
    [first] = ask(proxy, 1)
    first.read_head()
    [second] = ask(proxy, 1)
    second.read_head()
    first.close()
    proxy.settle()
    more.set()
    assert second.read_rest() == b"onetwo"
    assert proxy.get("/a").headers["X-Cache-Status"] == "hit"
    upstream.received_once()


def test_a_filler_whose_client_leaves_before_the_head_holds_nobody_up(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "20s"})])
    go = threading.Event()
    upstream.reply("/a", b"text", headers=FRESH, until=go)
    [first] = ask(proxy, 1)
    upstream.wait_for_request()
    [second] = ask(proxy, 1)
    proxy.settle()
    first.close()
    upstream.wait_for_request(2)
    go.set()
    assert second.answer().body == b"text"


def test_what_cannot_be_shared_is_fetched_by_each(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    go = threading.Event()
    upstream.reply("/a", b"text", headers={"Cache-Control": "private"}, until=go)
    clients = ask(proxy, 5)
    upstream.wait_for_request()
    proxy.settle()
    go.set()
    assert [client.answer().body for client in clients] == [b"text"] * 5
    assert len(upstream.requests) == 5


def test_what_was_not_stored_lately_waits_for_nobody(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    go = threading.Event()
    upstream.reply("/a", b"text", headers={"Cache-Control": "private"})
    proxy.get("/a")
    upstream.reply("/a", b"text", headers={"Cache-Control": "private"}, until=go)
    clients = ask(proxy, 3)
    for number in (2, 3, 4):
        upstream.wait_for_request(number)
    go.set()
    assert [client.answer().body for client in clients] == [b"text"] * 3


def test_nobody_gets_the_variant_of_another(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    go = threading.Event()

    def speak(served: Served, request: Received) -> None:
        served.wait(go)
        language = request.header("accept-language") or ""
        served.respond(language.encode(), headers={**FRESH, "Vary": "Accept-Language"})

    upstream.on("/a", speak)
    clients = [(one, ask(proxy, 1, {"Accept-Language": one})[0]) for one in ("de", "en") * 4]
    upstream.wait_for_request()
    proxy.settle()
    go.set()
    for language, client in clients:
        assert client.answer().text == language
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("headers", [{"If-None-Match": '"v1"'}, {"Range": "bytes=1-2"}])
def test_those_who_wait_may_want_a_part_or_nothing(
    proxy: Proxy, upstream: Upstream, headers: dict[str, str], kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    go = threading.Event()
    upstream.reply("/a", b"text", headers={**FRESH, "ETag": '"v1"'}, until=go)
    [first] = ask(proxy, 1)
    upstream.wait_for_request()
    [second] = ask(proxy, 1, headers)
    proxy.settle()
    go.set()
    assert first.answer().body == b"text"
    answer = second.answer()
    assert (answer.status, answer.body) in ((304, b""), (206, b"ex"), (200, b"text"))
    if "If-None-Match" in headers:
        assert answer.status == 304
        upstream.received_once()


def test_a_body_that_breaks_off_is_complete_for_nobody(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    more = threading.Event()

    def handle(served: Served, request: Received) -> None:
        served.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n")
        served.send(b"Content-Length: 9\r\n\r\nhalf")
        served.wait(more)
        served.close()

    upstream.on("/a", handle)
    [first] = ask(proxy, 1)
    upstream.wait_for_request()
    [second] = ask(proxy, 1)
    proxy.settle()
    more.set()
    for client in (first, second):
        answer = client.answer()
        assert (answer.body, answer.complete) == (b"half", False)
    upstream.reply("/a", b"all of it", headers=FRESH)
    assert proxy.get("/a").body == b"all of it"


def test_without_lock_each_fetches(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "0s"})])
    go = threading.Event()
    upstream.reply("/a", b"text", headers=FRESH, until=go)
    clients = ask(proxy, 3)
    for number in (1, 2, 3):
        upstream.wait_for_request(number)
    go.set()
    assert [client.answer().body for client in clients] == [b"text"] * 3


@pytest.mark.parametrize("size", [4_000_000, 30_000_000])
def test_a_client_that_reads_nothing_holds_nobody_up(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object], size: int
) -> None:
    """A body that fits is read for the others; a larger one they fetch themselves after ``lock``."""
    proxy.location(plugins=[(Cache, {**kept, "max_file_size": 0, "lock": "100ms"})])
    upstream.reply("/a", b"x" * size, headers=FRESH)
    [slow] = ask(proxy, 1)
    slow.read_head()
    answer = proxy.get("/a")
    assert len(answer.body) == size
    assert len(upstream.requests) == (1 if size == 4_000_000 else 2)
    assert len(slow.read_rest()) == size


def test_a_stream_without_length_is_read_for_the_others(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "max_file_size": 0, "lock": "10s"})])
    upstream.stream("/a", lambda: iter([b"x" * 500_000] * 8), headers=FRESH)
    [slow] = ask(proxy, 1)
    slow.read_head()
    assert len(proxy.get("/a").body) == 4_000_000
    upstream.received_once()
    assert len(slow.read_rest()) == 4_000_000


@pytest.mark.parametrize(
    "headers", [{"Cache-Control": "no-store"}, {"Authorization": "Basic YQ=="}]
)
def test_nobody_can_keep_others_from_sharing(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object], headers: dict[str, str]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    upstream.reply("/a", b"text", headers=FRESH)
    assert "X-Cache-Status" not in proxy.get("/a", headers=headers).headers
    go = threading.Event()
    upstream.reply("/a", b"text", headers=FRESH, until=go)
    clients = ask(proxy, 5)
    upstream.wait_for_request(2)
    proxy.settle()
    go.set()
    assert {client.answer().body for client in clients} == {b"text"}
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        ({"Cache-Control": "no-cache", "ETag": '"v1"'}, {}),
        ({"Cache-Control": "max-age=0", "ETag": '"v1"'}, {}),
        ({"Cache-Control": "max-age=60", "Age": "30"}, {"Cache-Control": "max-age=10"}),
    ],
)
def test_what_is_not_fresh_is_not_shared(
    proxy: Proxy,
    upstream: Upstream,
    kept: dict[str, object],
    first: dict[str, str],
    asked: dict[str, str],
) -> None:
    """A response that has to be validated for each request answers one (RFC 9111, 4 and 5.2.2.4)."""
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    go, more = threading.Event(), threading.Event()

    def slow(served: Served, request: Received) -> None:
        served.wait(go)
        fields = "".join(f"{name}: {value}\r\n" for name, value in first.items())
        served.send(f"HTTP/1.1 200 OK\r\n{fields}Content-Length: 3\r\n\r\non".encode())
        served.wait(more)
        served.send(b"e")

    upstream.on("/a", slow)
    clients = ask(proxy, 3, asked)
    upstream.wait_for_request()
    proxy.settle()
    go.set()
    upstream.wait_for_request(3)  # though the body of the first is not complete
    more.set()
    assert [client.answer().body for client in clients] == [b"one"] * 3


def test_validations_of_what_is_never_fresh_do_not_wait_for_each_other(
    proxy: Proxy, upstream: Upstream, kept: dict[str, object]
) -> None:
    proxy.location(plugins=[(Cache, {**kept, "lock": "10s"})])
    headers = {"Cache-Control": "no-cache", "ETag": '"v1"'}
    upstream.reply("/a", b"one", headers=headers)
    fill(proxy, "/a")
    go = threading.Event()
    upstream.reply("/a", b"", 304, until=go)
    clients = ask(proxy, 3)
    upstream.wait_for_request(4)
    go.set()
    assert [client.answer().body for client in clients] == [b"one"] * 3
