"""Side calls whose answer is read as it comes, against real origins."""

from __future__ import annotations

import math
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import pytest

from pingap import HTTPClient, SideCallError
from pingap.client.target import Target
from pingap.testing import Served, Upstream

T = TypeVar("T")

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT = 10.0
"""Seconds after which something that must happen has not happened."""


def run(use: Callable[[HTTPClient], Awaitable[T]]) -> T:
    """Run what a test does with a client, in an event loop like that of workers."""

    async def with_client() -> T:
        client = HTTPClient()
        try:
            with anyio.fail_after(3 * LIMIT):
                return await use(client)
        finally:
            await client.close()

    return anyio.run(with_client, backend_options={"use_uvloop": True})


async def happens(event: threading.Event) -> None:
    """Return once something has happened in a thread of an origin."""
    assert await anyio.to_thread.run_sync(event.wait, LIMIT)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def failure(origin: Upstream, path: str = "/", method: str = "GET", **options: object) -> str:
    """Return the error of a call that is read to its end."""

    async def use(client: HTTPClient) -> str:
        with pytest.raises(SideCallError) as caught:
            async with client.stream(method, f"http://{origin.addr}{path}", **options) as answer:  # type: ignore[arg-type]
                await answer.read()
        return str(caught.value)

    return run(use)


# Reading.


def test_chunks_come_as_they_are_sent(upstream: Upstream) -> None:
    has_first = threading.Event()

    def script(served: Served) -> None:
        served.read_request()
        served.send(CHUNKED.replace(b"OK", b"OK\r\nX-Kind: events"))
        served.send(chunk(b"first"))
        served.wait(has_first)
        served.send(chunk(b"second") + b"0\r\n\r\n")

    async def use(client: HTTPClient) -> list[bytes]:
        async with client.stream("GET", f"http://{upstream.addr}/events") as answer:
            assert (answer.status, answer.headers["x-kind"]) == (200, "events")
            found = []
            async for one in answer.chunks():
                found.append(one)
                has_first.set()
            return found

    upstream.script = script
    assert run(use) == [b"first", b"second"]


def test_reading_goes_on_where_it_stopped(upstream: Upstream) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(CHUNKED + chunk(b"one") + chunk(b"two") + chunk(b"three") + b"0\r\n\r\n")

    async def use(client: HTTPClient) -> tuple[bytes, bytes, bytes]:
        async with client.stream("GET", f"http://{upstream.addr}/") as answer:
            first = await anext(answer.chunks())
            return first, await answer.read(), await answer.read()

    upstream.script = script
    assert run(use) == (b"one", b"twothree", b"")


def test_a_server_waits_for_who_does_not_read(upstream: Upstream) -> None:
    blocked = threading.Event()
    sent = 0

    def script(served: Served) -> None:
        nonlocal sent
        served.read_request()
        served.send(CHUNKED)
        served.sock.settimeout(1)
        try:
            while True:
                served.send(chunk(b"x" * 65536))
                sent += 65536
        except TimeoutError:
            blocked.set()

    async def use(client: HTTPClient) -> None:
        async with client.stream("GET", f"http://{upstream.addr}/") as answer:
            assert await anext(answer.chunks())
            await happens(blocked)

    upstream.script = script
    run(use)
    assert sent < 32 * 1024 * 1024


def test_read_is_bounded(upstream: Upstream) -> None:
    async def use(client: HTTPClient) -> bytes:
        url = f"http://{upstream.addr}/"
        async with client.stream("POST", url, body=b"12345678") as answer:
            with pytest.raises(SideCallError, match=r"POST http://.*: the answer is over 7 bytes"):
                await answer.read(7)
        async with client.stream("POST", url, body=b"12345678") as answer:
            return await answer.read(8)

    assert run(use) == b"12345678"


# Closing.


def test_leaving_the_block_closes_what_was_not_read(upstream: Upstream) -> None:
    closed = threading.Event()

    def script(served: Served) -> None:
        served.read_request()
        served.send(CHUNKED + chunk(b"more to come"))
        if served.is_closed():
            closed.set()

    async def use(client: HTTPClient) -> None:
        async with client.stream("GET", f"http://{upstream.addr}/") as answer:
            assert await anext(answer.chunks()) == b"more to come"
        await happens(closed)
        with pytest.raises(RuntimeError, match="after its block has ended"):
            await answer.read()

    upstream.script = script
    run(use)


def test_a_connection_is_kept_if_all_was_read(upstream: Upstream) -> None:
    async def use(client: HTTPClient) -> None:
        for _ in range(3):
            async with client.stream("GET", f"http://{upstream.addr}/") as answer:
                assert await answer.read() == b"ok"
        await client.request("GET", f"http://{upstream.addr}/")

    run(use)
    assert upstream.connections == 1


def test_exceptions_of_the_block_stay_what_they_are(upstream: Upstream) -> None:
    async def use(client: HTTPClient) -> None:
        for error in (OSError("no space"), TimeoutError(), LookupError()):
            with pytest.raises(type(error)) as caught:
                async with client.stream("GET", f"http://{upstream.addr}/"):
                    raise error
            assert caught.value is error

    run(use)


@pytest.mark.parametrize("step", ["head", "body"])
def test_cancellation_closes_the_connection(upstream: Upstream, step: str) -> None:
    waiting, closed = threading.Event(), threading.Event()

    def script(served: Served) -> None:
        served.read_request()
        if step == "body":
            served.send(CHUNKED)
        waiting.set()
        if served.is_closed():
            closed.set()

    async def use(client: HTTPClient) -> None:
        async def call() -> None:
            async with client.stream("GET", f"http://{upstream.addr}/", timeout=math.inf) as answer:
                await answer.read()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await happens(waiting)
            tasks.cancel_scope.cancel()
        await happens(closed)
        assert (await client.request("GET", f"http://{other.addr}/")).body == b"ok"

    upstream.script = script
    with Upstream() as other:
        run(use)


def test_closing_the_client_ends_streams(upstream: Upstream) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(CHUNKED + chunk(b"more to come"))
        served.is_closed()

    async def use(client: HTTPClient) -> None:
        async with client.stream("GET", f"http://{upstream.addr}/") as answer:
            chunks = answer.chunks()
            await anext(chunks)
            await client.close()
            with pytest.raises(SideCallError):
                await anext(chunks)

    upstream.script = script
    run(use)


# Bodies of requests.


async def pieces() -> AsyncIterator[bytes]:
    yield b"one, "
    await anyio.lowlevel.checkpoint()
    yield b""
    yield b"two"


def test_a_body_may_come_in_pieces(upstream: Upstream) -> None:
    async def use(client: HTTPClient) -> list[bytes]:
        found = []
        for headers in ({}, {"Content-Length": "8"}):
            async with client.stream(
                "POST", f"http://{upstream.addr}/", headers=headers, body=pieces()
            ) as answer:
                found.append(await answer.read())
        return found

    assert run(use) == [b"one, two"] * 2
    chunked, sized = upstream.requests
    assert (chunked.header("transfer-encoding"), chunked.header("content-length")) == (
        "chunked",
        None,
    )
    assert (sized.header("transfer-encoding"), sized.header("content-length")) == (None, "8")


def test_a_body_that_fails_ends_the_request(upstream: Upstream) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise LookupError("no second piece")

    async def use(client: HTTPClient) -> None:
        with pytest.raises(LookupError, match="no second piece"):
            async with client.stream("POST", f"http://{upstream.addr}/", body=broken()):
                pass

    run(use)
    assert not upstream.wait_for_request().complete


@pytest.mark.parametrize(("method", "length"), [("POST", "0"), ("PUT", "0"), ("GET", None)])
def test_the_length_of_an_empty_body_is_sent_where_one_is_expected(
    upstream: Upstream, method: str, length: str | None
) -> None:
    run(lambda client: client.request(method, f"http://{upstream.addr}/"))
    assert upstream.requests[0].header("content-length") == length


# Time limits. The origins of these tests never end a step by themselves.


def test_a_head_that_trickles_is_given_up(upstream: Upstream) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nX: ")
        while not served.stopping.is_set():
            served.send(b"x")
            served.pause(0.02)

    upstream.script = script
    assert failure(upstream, timeout=0.3).endswith("/: no answer within 0.3 s")


def test_a_request_that_is_not_taken_is_given_up(upstream: Upstream) -> None:
    upstream.script = lambda served: served.wait(served.stopping)
    error = failure(upstream, method="POST", body=b"x" * 64_000_000, timeout=0.3)
    assert error.endswith("/: the request was not accepted within 0.3 s")


def test_a_handshake_that_does_not_end_is_given_up(upstream: Upstream) -> None:
    upstream.script = lambda served: served.wait(served.stopping)

    async def use(client: HTTPClient) -> None:
        with pytest.raises(SideCallError, match=r"no connection within 0\.3 s"):
            async with client.stream("GET", f"https://{upstream.addr}/", timeout=0.3):
                pass

    run(use)


def test_a_body_that_stops_is_an_error_and_not_an_end(upstream: Upstream) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(CHUNKED + chunk(b"one"))
        served.is_closed()

    async def use(client: HTTPClient) -> None:
        async with client.stream("GET", f"http://{upstream.addr}/", timeout=0.3) as answer:
            for _ in range(2):
                with pytest.raises(SideCallError, match=r"no more of the answer within 0\.3 s"):
                    await answer.read()

    upstream.script = script
    run(use)


def test_waiting_for_chunks_may_have_a_limit_of_its_own(upstream: Upstream) -> None:
    gave_up = threading.Event()

    def script(served: Served) -> None:
        served.read_request()
        served.send(CHUNKED + chunk(b"one"))
        served.wait(gave_up)
        served.send(chunk(b"two"))
        served.is_closed()

    async def use(client: HTTPClient) -> None:
        async with client.stream("GET", f"http://{upstream.addr}/", timeout=0.2) as answer:
            chunks = answer.chunks(timeout=math.inf)
            assert await anext(chunks) == b"one"
            with anyio.move_on_after(0.5) as longer:  # than the call allows for other steps
                await anyio.sleep_forever()
            assert longer.cancelled_caught
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, gave_up.set)
                assert await anext(chunks) == b"two"
            with pytest.raises(SideCallError, match=r"no more of the answer within 0\.1 s"):
                await anext(answer.chunks(timeout=0.1))

    upstream.script = script
    run(use)


def test_a_whole_call_may_be_limited(upstream: Upstream) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(CHUNKED)
        while not served.stopping.is_set():
            served.send(chunk(b"x"))
            served.pause(0.02)

    upstream.script = script
    error = failure(upstream, timeout=LIMIT, total_timeout=0.3)
    assert error.endswith("/: not complete within 0.3 s")
    upstream.script = lambda served: served.wait(served.stopping)
    error = failure(upstream, timeout=LIMIT, total_timeout=0.3)
    assert error.endswith("/: not complete within 0.3 s")


# Errors.


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "peer closed connection"),
        (CHUNKED + b"5\r\nhalf", "peer closed connection"),
        (CHUNKED + b"no number\r\n", "illegal chunk header"),
        (b"", "Server disconnected"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "illegal status line"),
    ],
)
def test_what_is_not_a_whole_answer_is_an_error(
    upstream: Upstream, answer: bytes, text: str
) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(answer)

    upstream.script = script
    assert text in failure(upstream)


def test_errors_show_no_secrets_of_the_url(upstream: Upstream) -> None:
    url = f"http://ann:s3cret@{upstream.addr}/a/b;c?token=s3cret#s3cret"
    shown = f"GET http://{upstream.addr}/a/b;c: "

    def cut(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async def use(client: HTTPClient) -> list[str]:
        found = []

        async def streamed(timeout: float) -> None:  # noqa: ASYNC109
            async with client.stream("GET", url, timeout=timeout) as answer:
                await answer.read()

        async def whole(timeout: float) -> None:  # noqa: ASYNC109
            await client.request("GET", url, timeout=timeout)

        async def fails(timeout: float = LIMIT) -> None:  # noqa: ASYNC109
            for call in (streamed, whole):
                with pytest.raises(SideCallError) as caught:
                    await call(timeout)
                found.append(str(caught.value))
                assert "s3cret" not in "".join(traceback.format_exception(caught.value))

        await fails()
        upstream.script = lambda served: served.wait(served.stopping)
        await fails(timeout=0.1)
        upstream.close()
        await fails()
        return found

    upstream.script = cut
    for text in run(use):
        assert text.startswith(shown)
    assert upstream.requests[0].target == "/a/b;c?token=s3cret"


def test_errors_show_no_values_of_headers(upstream: Upstream) -> None:
    async def use(client: HTTPClient) -> None:
        with pytest.raises(
            SideCallError, match=r"the request is not valid: Illegal header value$"
        ) as e:
            await client.request(
                "GET", f"http://{upstream.addr}/", headers={"Authorization": "s3cret\r\nX: y"}
            )
        assert "s3cret" not in "".join(traceback.format_exception(e.value))

    run(use)


def test_values_of_headers_need_not_be_ascii(upstream: Upstream) -> None:
    headers = {"X-User": "zoë", "X-City": "Łódź"}
    run(lambda client: client.request("GET", f"http://{upstream.addr}/", headers=headers))
    head = upstream.requests[0].raw_head
    assert "X-User: zoë\r\n".encode("latin-1") in head
    assert "X-City: Łódź\r\n".encode() in head


@pytest.mark.parametrize(
    "url",
    [
        "ftp://ann:s3cret@host/",
        "/s3cret",
        "http:///s3cret",
        "http://ann:s3cret/x@host/",
        "http://host/s3cret-é",
        "http://[::1/s3cret",
        "s3cret",
    ],
)
def test_what_is_no_url_is_not_shown(url: str) -> None:
    async def use(client: HTTPClient) -> None:
        with pytest.raises(ValueError, match="not an absolute http or https URL") as caught:
            await client.request("GET", url)
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))

    run(use)


@pytest.mark.parametrize(
    ("url", "authority", "shown"),
    [
        ("http://host", "host", "http://host/"),
        ("HTTPS://Host:443/a?b", "host", "https://host/a"),
        ("http://host:443/", "host:443", "http://host:443/"),
        ("http://[::1]:8080/a", "[::1]:8080", "http://[::1]:8080/a"),
        ("https://u:p@[::1]", "[::1]", "https://[::1]/"),
    ],
)
def test_host_of_a_url(url: str, authority: str, shown: str) -> None:
    target = Target.of(url)
    assert (target.authority, target.shown) == (authority, shown)


# Unix sockets, and the pools of connections.


def test_unix_sockets(tmp_path: Path) -> None:
    path = tmp_path / "service.sock"

    async def use(client: HTTPClient) -> None:
        url = "http://docker/containers/json?all=1"
        assert (await client.request("POST", url, body=b"all", uds=str(path))).body == b"all"
        async with client.stream("GET", url, uds=path) as answer:
            assert await answer.read() == b"ok"

    with Upstream(path=str(path)) as origin:
        run(use)
        assert origin.connections == 1
        assert [one.header("host") for one in origin.requests] == ["docker"] * 2
        assert origin.requests[0].target == "/containers/json?all=1"


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    async def use(client: HTTPClient) -> None:
        with pytest.raises(SideCallError, match="GET http://docker/: No such file or directory"):
            await client.request("GET", "http://docker/", uds=tmp_path / "none.sock")

    run(use)


def test_connections_are_kept_apart(upstream: Upstream, tmp_path: Path) -> None:
    """A host may be something else behind a Unix socket."""
    path = tmp_path / "service.sock"

    def other(served: Served) -> None:
        while served.read_request():
            served.respond(b"other")

    async def use(client: HTTPClient) -> None:
        url = f"http://{upstream.addr}/"
        for _ in range(2):
            assert (await client.request("GET", url)).body == b"ok"
            assert (await client.request("GET", url, uds=path)).body == b"other"

    with Upstream(other, path=str(path)) as unix:
        run(use)
        assert (upstream.connections, unix.connections) == (1, 1)
