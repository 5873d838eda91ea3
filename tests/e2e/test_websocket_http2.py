"""WebSocket over HTTP/2 (RFC 8441): the h2 library on one side, the websockets library on the other."""

from __future__ import annotations

import os
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import h2 as wire
from support.h2 import H2Client, fields
from support.h2_websocket import H2WebSocket, connect
from support.rig import Rig, configure, read_to_end, running, running_process
from support.waiting import until
from websockets.sync.server import ServerConnection, serve

from pingap.protocol.websocket import accept_value
from pingap.testing import Proxy, Served

H2_SERVER = (
    'enabled_h2 = true\naccess_log = "{method} {proto} {uri} {status} {size} {payload_size}"\n'
)


@contextmanager
def websocket_server(seen: list[dict[str, str]]) -> Iterator[str]:
    def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(dict(connection.request.headers.raw_items()))
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(5)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Proxy, list[dict[str, str]]]]:
    seen: list[dict[str, str]] = []
    with (
        websocket_server(seen) as addr,
        Proxy(configure(addr, server=H2_SERVER)) as proxy,
    ):
        yield proxy, seen


Served2 = tuple[Proxy, list[dict[str, str]]]


def test_messages_pass_both_ways(served: Served2) -> None:
    proxy, seen = served
    with H2WebSocket(
        proxy, ("sec-websocket-key", "bm9ib2R5IHNob3VsZCBzZWU="), ("x-a", "b")
    ) as client:
        assert client.headers[":status"] == "200"
        assert not {"sec-websocket-accept", "upgrade", "connection"} & client.headers.keys()
        for message in (b"hello", b"\0\xff", b"x" * 1000, b""):
            client.send(message)
            assert client.receive() == message
        assert client.close() == 4000
        assert (client.ended, client.reset) == (True, None)
    headers = {name.lower(): value for name, value in seen[-1].items()}
    assert (headers["x-a"], headers["host"]) == ("b", "a.test")
    before = len(seen)
    with H2WebSocket(proxy):
        until(lambda: len(seen) > before)
    keys = [one["Sec-WebSocket-Key"] for one in seen[-2:]]
    assert len({"bm9ib2R5IHNob3VsZCBzZWU=", *keys}) == 3
    assert [len(b64decode(key)) for key in keys] == [16, 16]
    proxy.wait_for_log("GET HTTP/2.0 /chat?x=1 101")


def test_large_messages_pass_under_back_pressure(served: Served2) -> None:
    message = os.urandom(3 * 1024 * 1024)
    with H2WebSocket(served[0]) as client:
        client.send(message)
        client.send(message)
        assert client.receive() == message
        assert client.receive() == message
        assert client.close() == 4000


# Frame by frame.


def switch(served: Served, accept: str | None = None, upgrade: str = "websocket") -> None:
    """Read a handshake and answer it."""
    request = served.read_head()
    assert request is not None
    accept = accept or accept_value(request.header("sec-websocket-key") or "")
    served.send(
        f"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {upgrade}\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nX-There: yes\r\n\r\n".encode()
    )


def echo(served: Served) -> None:
    switch(served)
    while data := served.unread or served.receive():
        served.unread = b""
        served.send(data)


@pytest.fixture
def start() -> Iterator[Callable[..., Rig]]:
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(script: Callable[[Served], None] = echo, server: str = "", **more: str) -> Rig:
            return stack.enter_context(running(script, server=H2_SERVER + server, **more))

        yield start


def opened(client: H2Client, stream: int = 1, *more: tuple[str, str]) -> wire.H2Answer:
    """Begin a WebSocket, and read until it is answered."""
    client.headers(stream, connect("/up", *more), wire.END_HEADERS)
    client.read_until(wire.HEADERS, stream)
    return client.answers[stream]


def read_data(client: H2Client, stream: int, size: int) -> bytes:
    while len(client.answers[stream].body) < size:
        assert client.read_frame() is not None
    return client.answers[stream].body


def test_the_settings_offer_it(start: Callable[..., Rig]) -> None:
    with H2Client(start().proxy) as client:
        frame = client.read_until(wire.SETTINGS)
        assert b"\0\x08\0\0\0\x01" in frame.payload


def test_the_client_may_end_first(start: Callable[..., Rig]) -> None:
    rig = start()
    with H2Client(rig.proxy) as client:
        answer = opened(client)
        assert (answer.status, answer.header("x-there")) == (200, "yes")
        client.data(1, b"one")
        assert read_data(client, 1, 3) == b"one"
        client.data(1, b"two", end=True)
        assert client.finish(1).body == b"onetwo"
        assert (answer.ended, answer.reset) == (True, None)
        rig.proxy.wait_for_log("GET HTTP/2.0 /up 101 6 6")
        assert opened(client, 3).status == 200  # the connection goes on


def test_the_upstream_may_end_first(start: Callable[..., Rig]) -> None:
    got = []

    def talk(served: Served) -> None:
        switch(served)
        served.send(b"bye")
        served.half_close()
        got.append(read_to_end(served))

    rig = start(talk)
    with H2Client(rig.proxy) as client:
        answer = opened(client)
        assert client.finish(1).body == b"bye"
        assert answer.reset is None
        client.data(1, b"thank ")
        client.data(1, b"you", end=True)
        until(lambda: got)
        rig.proxy.wait_for_log("/up 101 3 9")
        assert client.answers[1].reset is None
        assert got == [b"thank you"]  # before another request makes the script begin anew
        assert opened(client, 3).status == 200


def test_what_comes_early_waits_for_the_upstream(start: Callable[..., Rig]) -> None:
    with H2Client(start().proxy) as client:
        client.headers(1, connect("/up"), wire.END_HEADERS)
        client.data(1, b"early", end=True)
        assert client.finish(1).body == b"early"
    with H2Client(start().proxy) as client:
        client.headers(1, connect("/up"))  # with its end
        answer = client.finish(1)
        assert (answer.status, answer.body, answer.reset) == (200, b"", None)


@pytest.mark.parametrize(
    "wrong", [{"accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, {"upgrade": "echo/1"}]
)
def test_an_upstream_that_accepts_something_else(
    start: Callable[..., Rig], wrong: dict[str, str]
) -> None:
    ended = threading.Event()

    def accept(served: Served) -> None:
        switch(served, **wrong)
        read_to_end(served)
        ended.set()

    with H2Client(start(accept).proxy) as client:
        assert opened(client).status == 502
        assert ended.wait(5)


@pytest.mark.parametrize(("status", "sent"), [("403 No", 403), ("200 OK", 502), ("302 F", 302)])
def test_an_upstream_that_declines(start: Callable[..., Rig], status: str, sent: int) -> None:
    def decline(served: Served) -> None:
        while served.read_request() is not None:
            served.respond(b"no", status)

    with H2Client(start(decline).proxy) as client:
        for stream in (1, 3):
            assert opened(client, stream).status == sent
            answer = client.finish(stream)
            assert sent == 502 or answer.body == b"no"
            client.data(stream, b"", end=True)


@pytest.mark.parametrize(("status", "sent"), [(403, 403), (200, 501)])
def test_a_plugin_may_answer(start: Callable[..., Rig], status: int, sent: int) -> None:
    more = f'[plugins.no]\ncategory = "mock"\nstatus = {status}\n'
    rig = start(more=more, location='plugins = ["no"]')
    with H2Client(rig.proxy) as client:
        assert opened(client).status == sent
    assert rig.origin.requests == []


def test_other_protocols_are_501(start: Callable[..., Rig]) -> None:
    with H2Client(start().proxy) as client:
        client.headers(1, connect(protocol="connect-udp"), wire.END_HEADERS)
        assert client.finish(1).status == 501


@pytest.mark.parametrize(
    "headers",
    [
        [(":protocol", "websocket"), *fields("GET")],
        [(":protocol", "websocket"), *fields("CONNECT", scheme=None)],
        [(":protocol", "websocket"), *fields("CONNECT", authority=None), ("host", "a")],
        [*connect(), ("content-length", "5")],
        [*connect(), ("upgrade", "websocket")],
        [(":protocol", "websocket"), *connect()],
    ],
)
def test_malformed(start: Callable[..., Rig], headers: wire.Fields) -> None:
    with H2Client(start().proxy) as client:
        client.headers(1, headers, wire.END_HEADERS)
        assert client.finish(1).reset == wire.PROTOCOL_ERROR


def test_a_silent_tunnel_is_cut(start: Callable[..., Rig]) -> None:
    rig = start(server='tunnel_idle_timeout = "500ms"')
    with H2Client(rig.proxy) as client:
        answer = opened(client)
        assert client.finish(1).reset == wire.CANCEL
        assert not answer.ended
        assert client.get(3).status == 502  # (the origin wants a handshake)


def test_a_reset_of_either_side_reaches_the_other(start: Callable[..., Rig]) -> None:
    ended = threading.Event()

    def wait(served: Served) -> None:
        switch(served)
        if served.receive() == b"go":
            served.reset()
        ended.set()

    rig = start(wait)
    with H2Client(rig.proxy) as client:
        opened(client)
        client.data(1, b"go")
        assert client.finish(1).reset == wire.INTERNAL_ERROR
        assert ended.wait(5)
        ended.clear()
        opened(client, 3)
        client.send(wire.reset(3))
        assert ended.wait(5)


def test_an_upstream_that_takes_nothing_holds_the_client_back(start: Callable[..., Rig]) -> None:
    go_on = threading.Event()
    sizes = []

    def wait(served: Served) -> None:
        switch(served)
        served.wait(go_on)
        sizes.append(len(read_to_end(served)))

    rig = start(wait)
    with H2Client(rig.proxy) as client:
        opened(client)
        sent = 65535 - 16384  # the window, until the settings of the proxy are read
        client.data(1, b"x" * sent)
        room = 128 * 1024 - sent
        quiet = 0
        client.raw.sock.settimeout(0.5)
        while quiet < 3 and sent < 50_000_000:
            client.data(1, b"x" * min(room, 16384))
            sent += min(room, 16384)
            room -= min(room, 16384)
            while room < 16384 and quiet < 3:
                before = client.given.get(1, 0)
                try:
                    client.read_frame()
                except TimeoutError:
                    quiet += 1
                    continue
                room += client.given.get(1, 0) - before
        assert sent < 20_000_000
        client.raw.sock.settimeout(10)
        go_on.set()
        client.data(1, b"", end=True)
        until(lambda: sizes)
    assert sizes == [sent]


def test_a_client_that_takes_nothing_holds_the_upstream_back(start: Callable[..., Rig]) -> None:
    sent = [0]

    def flood(served: Served) -> None:
        switch(served)
        served.sock.settimeout(1)
        try:
            while sent[0] < 100_000_000:
                served.send(b"x" * 65536)
                sent[0] += 65536
        except OSError:
            return

    rig = start(flood)
    with H2Client(rig.proxy) as client:
        opened(client)
        while len(client.answers[1].body) < 65535:  # all that its window has room for
            assert client.read_frame() is not None
        with H2Client(rig.proxy) as other:  # the others go on
            assert other.get(1).status == 502
        assert sent[0] < 50_000_000


def test_the_end_of_the_process_waits_for_the_grace_period(tmp_path: Path) -> None:
    settings = {"server": H2_SERVER, "basic": 'grace_period = "300ms"'}
    with running_process(tmp_path, echo, **settings) as rig, H2Client(rig.proxy) as client:
        opened(client)
        assert rig.proxy.stop() == 0
