"""Upgraded connections: WebSocket and anything else, both ways, until both sides have ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.rig import Rig, configure, read_to_end, running
from support.waiting import until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from pingap.testing import Proxy, Served

ASK = b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\n"


def echo_raw(served: Served) -> None:
    """Change the protocol, then send back whatever comes until it ends."""
    assert served.read_head() is not None
    served.send(SWITCH)
    if served.unread:
        served.send(served.unread)
        served.unread = b""
    while data := served.receive():
        served.send(data)


@pytest.fixture
def rig() -> Iterator[Rig]:
    server = 'access_log = "{uri} {status} {size} {payload_size}"\ntunnel_idle_timeout = "1s"'
    with running(echo_raw, server=server) as started:
        yield started


@contextmanager
def websocket_server() -> Iterator[str]:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(5)


@contextmanager
def websocket(**settings: str) -> Iterator[ClientConnection]:
    with (
        websocket_server() as addr,
        Proxy(configure(addr, **settings)) as proxy,
        connect(f"ws://127.0.0.1:{proxy.port()}/chat?x=1", max_size=None) as client,
    ):
        yield client


def test_websocket_messages_pass_both_ways() -> None:
    with websocket() as client:
        for message in ("hello", b"\0\xff", "é" * 1000, ""):
            client.send(message)
            assert client.recv(timeout=5) == message
        client.ping().wait(5)


def test_large_messages_pass_under_back_pressure() -> None:
    message = os.urandom(8 * 1024 * 1024)
    with websocket() as client:
        for _ in range(3):
            client.send(message)
        for _ in range(3):
            assert client.recv(timeout=20) == message


def test_a_websocket_is_closed_in_order() -> None:
    with websocket() as client:
        client.close(4000, "done")
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)
        assert client.close_code == 4000


def test_a_plugin_may_refuse_the_upgrade() -> None:
    more = '[plugins.no]\ncategory = "mock"\nstatus = 403\n'
    refusing = websocket(more=more, location='plugins = ["no"]')
    with pytest.raises(InvalidStatus) as refused, refusing:
        pass
    assert refused.value.response.status_code == 403


def test_anything_passes_until_both_sides_have_ended(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(ASK + b"early")
        answer = client.read_head()
        status, reason, fields = answer.status, answer.reason, answer.headers
        assert (status, reason) == (101, "Switching Protocols")
        assert {(name.lower(), value) for name, value in fields} >= {
            ("connection", "upgrade"),
            ("upgrade", "echo/1"),
        }
        assert client.read_exactly(5) == b"early"
        client.send(b"\0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert client.read_exactly(23) == b"\0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        client.send(b"last")
        client.half_close()
        assert client.read_to_end() == b"last"
    log = rig.proxy.wait_for_log("/up 101")
    assert "/up 101 32 32" in log
    [request] = rig.origin.requests
    assert (request.header("upgrade"), request.header("connection")) == ("echo/1", "upgrade")


def test_the_upstream_may_end_first(rig: Rig) -> None:
    got = []

    def talk(served: Served) -> None:
        served.read_head()
        served.send(SWITCH + b"bye")
        served.half_close()
        got.append(read_to_end(served))

    with rig.script(talk), rig.connect() as client:
        client.send(ASK)
        assert client.read_head().status == 101
        assert client.read_to_end() == b"bye"
        client.send(b"thank you")
        client.half_close()
        until(lambda: got)
    assert got == [b"thank you"]


def test_the_client_may_end_its_side_before_the_answer(rig: Rig) -> None:
    got, seen = [], threading.Event()

    def talk(served: Served) -> None:
        served.read_head()
        seen.wait(10)
        served.send(SWITCH + b"hello")
        got.append(read_to_end(served))

    with rig.script(talk), rig.connect() as client:
        client.send(ASK + b"bye")
        client.half_close()
        assert (
            client.read_interim().status == 100
        )  # the proxy noticed, and asks whether somebody is there
        seen.set()
        assert client.read_head().status == 101
        assert client.read_to_end() == b"hello"
    assert got == [b"bye"]


def test_an_upstream_that_declines_answers_as_ever(rig: Rig) -> None:
    def decline(served: Served) -> None:
        while served.read_request() is not None:
            served.respond(b"no", "426 Upgrade Required")

    with rig.script(decline), rig.connect() as client:
        for _ in range(2):
            client.send(ASK)
            answer = client.answer()
            assert (answer.status, answer.body) == (426, b"no")


def test_an_upgrade_that_was_not_asked_for_is_refused(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/").status == 502


def test_an_upstream_that_wants_an_upgrade_says_which(rig: Rig) -> None:
    def want(served: Served) -> None:
        served.read_request()
        served.send(
            b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n"
            b"Content-Length: 2\r\n\r\nno"
        )

    with rig.script(want), rig.connect() as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (426, b"no")
        assert (answer.header("upgrade"), answer.header("connection")) == ("echo/1", "upgrade")


EXEC = b"POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n"
BODIES = {
    "counted": (b"Content-Length: 11\r\n\r\n", b'{"Tty":true'),
    "chunked": (b"Transfer-Encoding: chunked\r\n\r\n", b'b\r\n{"Tty":true\r\n0\r\n\r\n'),
    "empty": (b"Content-Length: 0\r\n\r\n", b""),
}


@pytest.mark.parametrize("name", BODIES)
def test_an_upgrade_may_have_a_body(rig: Rig, name: str) -> None:
    """(``docker exec`` sends one.)"""
    framing, body = BODIES[name]

    def switch(served: Served) -> None:
        request = served.read_request()
        assert request is not None
        served.send(SWITCH + request.body)
        while data := served.receive():
            served.send(data)

    with rig.script(switch), rig.connect() as client:
        client.send(EXEC + framing + body)
        assert client.read_head().status == 101
        content = b'{"Tty":true' if body else b""
        assert client.read_exactly(len(content)) == content
        client.send(b"0\r\n\r\nls")
        assert client.read_exactly(7) == b"0\r\n\r\nls"
        client.half_close()
        assert client.read_to_end() == b""
        [request] = rig.origin.requests
    assert (request.header("upgrade"), request.header("connection")) == ("echo/1", "upgrade")


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_the_protocol_changes_after_the_body(rig: Rig, expect: bytes) -> None:
    """RFC 9110, 7.8: also if the upstream does not wait for it; 100 comes before 101."""

    def switch(served: Served) -> None:
        assert served.read_head() is not None
        served.send(SWITCH + b"early")
        assert served.read_until(b"0\r\n\r\n") == b"1\r\na\r\n0\r\n\r\n"
        while data := served.receive():
            served.send(data)

    with rig.script(switch), rig.connect() as client:
        client.send(EXEC + expect + b"Transfer-Encoding: chunked\r\n\r\n")
        if expect:
            assert client.read_interim().status == 100
        client.send(b"1\r\na\r\n0\r\n\r\nraw")
        assert client.read_head().status == 101
        assert client.read_exactly(8) == b"earlyraw"
        client.half_close()
        assert client.read_to_end() == b""


def test_an_upgrade_with_a_body_that_is_declined(rig: Rig) -> None:
    def decline(served: Served) -> None:
        while (request := served.read_request()) is not None:
            served.respond(request.body or b"ok")

    with rig.script(decline), rig.connect() as client:
        client.send(EXEC + b"Content-Length: 2\r\n\r\nab")
        assert client.answer().body == b"ab"
        assert client.get("/").body == b"ok"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"GET / HTTP/1.0", b"Connection: upgrade\r\nUpgrade: echo/1\r\n"),
        (b"GET / HTTP/1.1", b"Upgrade: echo/1\r\n"),
    ],
)
def test_an_upgrade_that_does_not_count_is_not_passed_on(
    rig: Rig, line: bytes, fields: bytes
) -> None:
    def answer(served: Served) -> None:
        served.read_request()
        served.respond()

    with rig.script(answer), rig.connect() as client:
        client.send(line + b"\r\nHost: a\r\n" + fields + b"\r\n")
        assert client.answer().status == 200
        [request] = rig.origin.requests
    assert (request.header("upgrade"), request.header("connection")) == (None, None)


def test_101_without_upgrade_names_what_was_asked_for(rig: Rig) -> None:
    def switch(served: Served) -> None:
        served.read_head()
        served.send(b"HTTP/1.1 101 UPGRADED\r\n\r\n")

    with rig.script(switch), rig.connect() as client:
        client.send(ASK)
        answer = client.read_head()
        reason, headers = answer.reason, answer.headers
        assert reason == "UPGRADED"
        assert dict(headers)["Upgrade"] == "echo/1"


def test_101_with_another_protocol_than_was_asked_for_is_for_the_client_to_judge(rig: Rig) -> None:

    def switch(served: Served) -> None:
        served.read_head()
        served.send(b"HTTP/1.1 101 Other\r\nConnection: upgrade\r\nUpgrade: echo/2\r\n\r\n")

    with rig.script(switch), rig.connect() as client:
        client.send(ASK)
        answer = client.read_head()
        status, headers = answer.status, answer.headers
        assert (status, dict(headers)["Upgrade"]) == (101, "echo/2")


def test_of_several_protocols_only_http2_is_left_out(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(ASK.replace(b"echo/1", b"h2c, tcp, , echo/1"))
        assert client.read_head().status == 101
        assert rig.origin.requests[-1].header("upgrade") == "tcp, echo/1"


@pytest.mark.parametrize("protocol", ["h2c", "H2C", "h2, h2c", ""])
def test_http2_is_not_passed_on_by_upgrade(rig: Rig, protocol: str) -> None:
    def answer(served: Served) -> None:
        served.read_request()
        served.respond()

    with rig.script(answer), rig.connect() as client:
        client.send(ASK.replace(b"echo/1", protocol.encode()))
        assert client.answer().status == 200
        assert rig.origin.requests[-1].header("upgrade") is None


def test_a_reset_of_the_upstream_ends_the_client(rig: Rig) -> None:
    def reset(served: Served) -> None:
        served.read_head()
        served.send(SWITCH)
        served.read_until(b"now")
        served.reset()

    with rig.script(reset), rig.connect() as client:
        client.send(ASK)
        assert client.read_head().status == 101
        client.send(b"now")
        assert client.read_to_end() == b""


def test_a_silent_tunnel_is_cut(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(ASK)
        assert client.read_head().status == 101
        assert client.read_to_end() == b""


def test_the_origin_is_let_go_when_the_client_leaves(rig: Rig) -> None:
    ended = threading.Event()

    def wait(served: Served) -> None:
        served.read_head()
        served.send(SWITCH)
        read_to_end(served)
        ended.set()

    with rig.script(wait):
        with rig.connect() as client:
            client.send(ASK)
            assert client.read_head().status == 101
        assert ended.wait(5)


def test_bytes_pass_after_a_body_that_nobody_took() -> None:
    """An answer overtakes a body that was held; the same connection is upgraded after it."""
    more = """
[upstreams.gone]
addrs = ["127.0.0.1:1"]
health_check = "none"
[locations.gone]
path = "/gone"
upstream = "gone"
"""
    with (
        running(echo_raw, more=more, locations='"gone", ') as rig,
        rig.connect() as client,
    ):
        assert client.request("POST", "/gone", body=b"body").status == 502
        client.send(ASK)
        assert client.read_head().status == 101
        client.send(b"hello")
        assert client.read_exactly(5) == b"hello"
