"""WebSockets, as a raw application sees them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import asgi_raw
import pytest
import websockets

from pingap import Plugin, WebSocketFilter, WebSocketMessage, hookimpl
from pingap.testing import Proxy

Serve = Callable[..., Proxy]
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_messages_pass_both_ways(serve: Serve) -> None:
    proxy = serve("asgi_sockets:echo")
    offered = {"Sec-WebSocket-Protocol": "one, two"}
    with proxy.connect_websocket("/chat?a=b", headers=offered) as chat:
        assert chat.answer.header("sec-websocket-protocol") == "two"
        assert chat.answer.header("x-a") == "b"
        for message in ("text", b"bytes", "", b"", "é" * 70_000, bytes(200_000)):
            chat.send(message)
            assert chat.receive() == message
    assert asgi_raw.went.wait(20)
    scope, end = asgi_raw.seen
    assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/chat")
    assert (scope["query_string"], scope["subprotocols"]) == (b"a=b", ["one", "two"])
    assert "websocket.http.response" in scope["extensions"]
    assert end["type"] == "websocket.disconnect"


def test_an_independent_client_with_compression(serve: Serve) -> None:
    proxy = serve("asgi_sockets:echo").start()

    async def talk() -> None:
        url = f"ws://127.0.0.1:{proxy.port()}/"
        async with websockets.connect(url, compression="deflate") as chat:
            assert "permessage-deflate" in chat.response.headers["Sec-WebSocket-Extensions"]
            for message in ("a" * 100_000, b"b" * 3, "c" * 100_000):
                await chat.send(message)
                assert await chat.recv() == message
            await (await chat.ping())
            await chat.close(4321, "done")
            assert chat.close_code == 4321

    asyncio.run(talk())
    assert asgi_raw.went.wait(20)
    assert asgi_raw.seen[1] == {"type": "websocket.disconnect", "code": 4321, "reason": "done"}


def test_a_refused_websocket_is_a_403(serve: Serve) -> None:
    with serve("asgi_sockets:deny").connect() as client:
        client.send(HANDSHAKE)
        assert client.answer().status == 403


def test_a_page_instead_of_a_websocket(serve: Serve) -> None:
    with serve("asgi_sockets:deny_with_a_page").connect() as client:
        client.send(HANDSHAKE)
        answer = client.answer()
    assert (answer.status, answer.body) == (401, b"who are you?")


def test_the_application_closes(serve: Serve) -> None:
    with serve("asgi_sockets:close").connect_websocket("/") as chat:
        assert chat.receive() == "bye"
        assert chat.receive() is None
        assert chat.close_code == 4001
    assert asgi_raw.went.wait(20)
    assert asgi_raw.seen[0]["code"] == 1006  # this client ends the connection without an answer


def test_an_application_that_returns_closes(serve: Serve) -> None:
    with serve("asgi_sockets:leave").connect_websocket("/") as chat:
        assert chat.receive() is None
        assert chat.close_code == 1000


def test_a_lost_connection(serve: Serve) -> None:
    proxy = serve("asgi_sockets:echo")
    with socket.create_connection(("127.0.0.1", proxy.start().port())) as client:
        client.sendall(HANDSHAKE)
        assert client.recv(10_000).startswith(b"HTTP/1.1 101 ")
    assert asgi_raw.went.wait(20)
    assert asgi_raw.seen[1]["code"] == 1006


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x82\xfe\x00\x7f" + bytes(4 + 127), 1009),  # larger than the limit
        (b"\x82\x01x", 1002),  # not masked
        (b"\x81\x81" + bytes(4) + b"\xff", 1007),  # not UTF-8
    ],
)
def test_what_breaks_the_protocol(serve: Serve, frame: bytes, code: int) -> None:
    proxy = serve("asgi_sockets:echo", asgi_websocket_max_size=100)
    with socket.create_connection(("127.0.0.1", proxy.start().port())) as client:
        client.settimeout(20)
        client.sendall(HANDSHAKE + frame)
        data = b""
        while piece := client.recv(10_000):
            data += piece
    close = data.partition(b"\r\n\r\n")[2]
    assert close[:1] == b"\x88"
    assert int.from_bytes(close[2:4]) == code
    assert asgi_raw.went.wait(20)
    assert asgi_raw.seen[1]["code"] == code


@pytest.mark.parametrize("line", [b"Version: 12", b"Version: 13"])
def test_a_handshake_that_is_not_valid(serve: Serve, line: bytes) -> None:
    status = 400 if line.endswith(b"13") else 426
    with serve("asgi_sockets:echo").connect() as client:
        head, _, _ = HANDSHAKE.partition(b"Sec-")
        client.send(head + b"Sec-WebSocket-" + line + b"\r\n\r\n")
        assert client.answer().status == status


def test_a_failure_closes_with_1011(serve: Serve) -> None:
    proxy = serve("asgi_sockets:fail")
    with proxy.connect_websocket("/") as chat:
        assert chat.receive() is None
        assert chat.close_code == 1011
    proxy.wait_for_log("no such shelf")
    proxy.expect_error("no such shelf")


def test_a_failure_before_it_is_accepted_is_a_502(serve: Serve) -> None:
    proxy = serve("asgi_sockets:fail_at_once")
    with proxy.connect() as client:
        client.send(HANDSHAKE)
        assert client.answer().status == 502
    proxy.expect_error("no such shelf")


def test_pings_are_answered_while_the_application_is_busy(serve: Serve) -> None:
    proxy = serve("asgi_sockets:busy")
    with socket.create_connection(("127.0.0.1", proxy.start().port())) as client:
        client.settimeout(20)
        client.sendall(HANDSHAKE + b"\x89\x83" + bytes(4) + b"abc")
        data = b""
        while not data.endswith(b"\x8a\x03abc"):
            data += client.recv(1000)


def test_a_client_waits_for_a_busy_application(serve: Serve) -> None:
    proxy = serve("asgi_sockets:busy")
    message = b"\x82\xff" + (100_000).to_bytes(8) + bytes(4) + bytes(100_000)
    with socket.create_connection(("127.0.0.1", proxy.start().port())) as client:
        client.sendall(HANDSHAKE)
        assert asgi_raw.went.wait(20)
        sent = asgi_raw.fill(client, message, 40_000_000)
        assert sent < 20_000_000
        asgi_raw.go.set()
        client.settimeout(20)
        while sent % len(message):
            sent += client.send(message[sent % len(message) :])
        last = b"%d" % (sent // len(message) * 100_000)
        data = b""
        while not data.endswith(last):
            data = data[-20:] + client.recv(100_000)


def test_an_application_waits_for_a_client_that_reads_slowly(serve: Serve) -> None:
    with serve("asgi_sockets:endless").connect_websocket("/"):
        assert asgi_raw.went.wait(20)
        before = -1
        while before != asgi_raw.seen[0]:
            before = asgi_raw.seen[0]
            asgi_raw.go.wait(0.3)
        assert before < 20_000_000
    assert asgi_raw.go.wait(20)
    assert isinstance(asgi_raw.seen[1], OSError)


class Shout(Plugin):
    category = "shout"
    contract = "1.1"

    @hookimpl
    def websocket(self) -> WebSocketFilter:
        return Louder()


class Louder(WebSocketFilter):
    def from_client(self, message: WebSocketMessage) -> WebSocketMessage:
        return WebSocketMessage(str(message.data).upper())


def test_filters_of_messages_run_before_the_application(serve: Serve) -> None:
    with serve("asgi_sockets:echo", plugins=[Shout]).connect_websocket("/") as chat:
        chat.send("hello")
        assert chat.receive() == "HELLO"
