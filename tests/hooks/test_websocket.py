"""The phase ``websocket``: plugins see messages, change them, and send their own.

The ``websockets`` library is the client over HTTP/1.1 and the upstream; over HTTP/2 the h2 library
carries its frames. What breaks the protocol is sent frame by frame.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.h2_websocket import H2WebSocket
from support.plugins import python_path, routes, write_distribution
from support.process import Process
from support.rig import resident
from support.waiting import until
from support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Http1WebSocket,
    Http2WebSocket,
    WsFrame,
    WsTransport,
    ws_frame,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from pingap.protocol.websocket import accept_value
from pingap.testing import Served, Upstream

SOURCE = '''
import asyncio, gc, time, weakref
LIVE = weakref.WeakSet()


class Base(WebSocketFilter):
    message_limit = 20 * 1024 * 1024

    def __init__(self, name=""):
        self.name = name
        LIVE.add(self)

    def closed(self, code, reason): log.warning("closed %s %s %r", self.name, code, reason)


class Filtering(Plugin):
    """Returns a filter whose class is named after the category."""

    class Settings(PluginSettings):
        name: str = ""

    def __init__(self, settings): self.name = settings.name

    @hookimpl
    def websocket(self, request): return self.Filter(self.name) if "none" not in request.query else None


class Pass(Filtering):
    category = "pass"
    Filter = Base


class Tag(Filtering):
    """Appends its name to texts."""

    category = "tag"

    class Filter(Base):
        def from_client(self, message): return f"{message.data}>{self.name}"
        def from_upstream(self, message): return f"{message.data}<{self.name}"


class Late(Filtering):
    category = "late"

    class Filter(Base):
        def from_client(self, message): return WebSocketMessage(f"late {message.data}")

    @hookimpl
    async def websocket(self, response, ctx):
        await anyio.sleep(0.01)
        ctx.state["late"] = 1
        log.warning("protocol %s", response.headers.get("sec-websocket-protocol"))
        return self.Filter(self.name)


class Actions(Filtering):
    """Does what a message says."""

    category = "actions"

    class Filter(Base):
        def from_client(self, message):
            what, _, rest = str(message.data).partition(" ")
            return getattr(self, what)(rest) if what.isidentifier() else message

        def drop(self, rest): return None
        def sleep(self, rest):
            time.sleep(float(rest))
            return "slept"

        def bytes(self, rest): return rest.encode()
        def reply(self, rest):
            self.send_to_client("first")
            self.send_to_client(rest.encode())

        def both(self, rest):
            assert self.send_to_upstream("before") and self.send_to_client("answer")
            return rest

        def bye(self, rest): self.close(4001, rest)
        def bye_and_more(self, rest):
            self.close()
            assert not self.send_to_client("late") and not self.send_to_upstream("late")
            return "late"

        def bad_close(self, rest): self.close(int(rest))
        def boom(self, rest): raise RuntimeError("secret of the filter")
        def error(self, rest): raise HTTPError(418, "x")
        def number(self, rest): return 17
        def wrong(self, rest): return WebSocketMessage(bytearray(b"x"))
        def surrogate(self, rest): return "\\ud800"


class Greet(Filtering):
    category = "greet"

    class Filter(Base):
        def __init__(self, name):
            super().__init__(name)
            assert not self.send_to_client("early") and not self.send_to_upstream("early")

        def opened(self):
            assert self.send_to_client(f"hello from {self.name}")
            assert self.send_to_upstream(f"greetings from {self.name}")

        def closed(self, code, reason):
            super().closed(code, reason)
            assert not self.send_to_client("late")


class BoomAtOpen(Filtering):
    category = "boom_at_open"

    class Filter(Base):
        def opened(self): raise RuntimeError("secret of opened")


class BoomAtClose(Filtering):
    category = "boom_at_close"

    class Filter(Base):
        def closed(self, code, reason): raise RuntimeError("secret of closed")


class BoomFromUpstream(Filtering):
    category = "boom_from_upstream"

    class Filter(Base):
        def from_upstream(self, message): raise RuntimeError("secret from upstream")


class BoomHook(Plugin):
    category = "boom_hook"

    @hookimpl
    def websocket(self): raise RuntimeError("secret of the hook")


class Refuse(Plugin):
    category = "refuse"

    @hookimpl
    def websocket(self): raise HTTPError(403, "no")


class Nonsense(Plugin):
    category = "nonsense"

    @hookimpl
    def websocket(self): return "text"


class Small(Filtering):
    """Takes ten bytes, and a while."""

    category = "small"

    class Filter(Base):
        message_limit = 10
        stall_timeout = 0.5


class Flood(Filtering):
    """Answers each message of the client with a large one."""

    category = "flood"

    class Filter(Base):
        def from_client(self, message):
            self.send_to_client(bytes(10_000))


class Turns(Filtering):
    """Tells how many large messages came at most in one turn of the event loop."""

    category = "turns"

    class Filter(Base):
        now = most = 0

        def from_client(self, message):
            if len(message.data) < 1000: return message
            if not self.now:
                asyncio.get_running_loop().call_soon(setattr, self, "now", 0)
            self.now += 1
            self.most = max(self.most, self.now)
            return WebSocketMessage(str(len(message.data)))

        from_upstream = from_client

        def closed(self, code, reason): log.warning("%d in a turn", self.most)


class Push(Filtering):
    """Sends to the client from outside, as often as a message says."""

    category = "push"
    filters = []

    class Filter(Base):
        def from_client(self, message):
            sent = 0
            async def push():
                nonlocal sent
                for _ in range(1000):
                    await anyio.sleep(0)
                    sent += self.send_to_client(bytes(100_000))
                log.warning("pushed %d", sent)
            Push.tasks.start_soon(push)

    async def startup(self, tasks): Push.tasks = tasks


class Live(Plugin):
    """Answers how many filters there are, without the garbage collector."""

    category = "live"

    async def startup(self, tasks): gc.disable()

    @hookimpl
    def request(self): return Response.text(200, str(len(LIVE)))
'''

CATEGORIES = (
    "pass", "late", "actions", "boom_at_open", "boom_at_close", "boom_from_upstream", "boom_hook",
    "refuse", "nonsense", "small", "flood", "turns", "push", "live",
)  # fmt: skip
TABLES = "".join(f'[plugins.{one}]\ncategory = "{one}"\n' for one in CATEGORIES) + "".join(
    f'[plugins.{kind}_{name}]\ncategory = "{kind}"\nname = "{name}"\n'
    for kind in ("tag", "greet")
    for name in "ab"
)
LOCATIONS = {
    "raw": "",
    **{one: one for one in CATEGORIES},
    "tags": "tag_a tag_b",
    "greets": "greet_a tag_b greet_b",
    "around": "tag_a actions tag_b",
    "failing": "pass boom_hook",
    "timed": "pass actions\nplugin_timing = true",
}
SERVER = 'enabled_h2 = true\nprometheus_metrics = "/metrics"\n'


class EchoServer:
    """A WebSocket server that echoes, and remembers what it got."""

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.hold.set()
        self.forget()

    def forget(self) -> None:
        """Begin as if nothing had come yet."""
        self.got: list[str | bytes] = []
        self.heads: list[dict[str, str]] = []
        self.ends: list[tuple[int | None, str | None]] = []

    def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = connection.request.headers
        self.heads.append({name.lower(): value for name, value in headers.raw_items()})
        with suppress(ConnectionClosed):
            for message in connection:
                self.got.append(message)
                self.hold.wait(20)
                connection.send(message)
        self.ends.append((connection.close_code, connection.close_reason))

    def wait_for_end(self, code: int, reason: str = "") -> None:
        """Wait until a connection has ended so (others may end late, of tests before)."""
        until(lambda: (code, reason) in self.ends, f"not {code} {reason}: {self.ends}")


class Site:
    """A proxy with plugins in front of an upstream."""

    def __init__(self, proxy: Process, upstream: EchoServer) -> None:
        self.proxy = proxy
        self.upstream = upstream

    def connect(self, location: str, **more: Any) -> ClientConnection:
        self.upstream.forget()
        url = f"ws://127.0.0.1:{self.proxy.port()}/{location}/"
        return connect(url, max_size=None, **{"compression": None, **more})

    def frames(self, location: str, transport: type[WsTransport] = Http1WebSocket) -> WsTransport:
        """Open a WebSocket below its frames."""
        self.upstream.forget()
        return transport(self.proxy.port(), path=f"/{location}/")

    def wait_for_closed(self, since: int, *expected: tuple[str, int, str]) -> None:
        """Wait until the filters know how it ended: name, code and reason of each, in their order."""

        def found() -> list[tuple[str, int, str]]:
            lines = re.findall(r"WARN closed (\S*) (\d+) '(.*)'", self.proxy.log[since:])
            return [(name, int(code), reason) for name, code, reason in lines]

        until(lambda: tuple(found()[-len(expected) :]) == expected)

    @property
    def mark(self) -> int:
        return len(self.proxy.log)


@contextmanager
def site_of(folder: Path, addr: str, upstream: EchoServer) -> Iterator[Site]:
    write_distribution(folder / "site", "test_plugins", SOURCE)
    toml = routes(LOCATIONS, addr, more=TABLES, server=SERVER)
    with Process(toml, folder / "proxy", env=python_path(folder / "site")) as proxy:
        yield Site(proxy, upstream)
        assert "bug in pingap" not in proxy.log


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    upstream = EchoServer()
    more: dict[str, Any] = {"max_size": None, "ping_interval": None}
    more["select_subprotocol"] = lambda _, offered: offered[0] if offered else None
    with serve(upstream, "127.0.0.1", 0, **more) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            addr = f"127.0.0.1:{server.socket.getsockname()[1]}"
            with site_of(tmp_path_factory.mktemp("websocket"), addr, upstream) as site:
                yield site
        finally:
            server.shutdown()
            thread.join(5)


# Messages.

SAMPLES: list[str | bytes] = ["hello", b"\0\xff", "", b"", "κόσμε", "x" * 70_000, bytes(3_000_000)]


def test_messages_pass_both_ways(site: Site) -> None:
    with site.connect("pass") as client:
        for message in SAMPLES:
            client.send(message)
            assert client.recv(10) == message
        assert client.ping().wait(10)
    assert site.upstream.got == SAMPLES
    site.upstream.wait_for_end(1000, "")


def test_messages_pass_both_ways_over_http2(site: Site) -> None:
    site.upstream.forget()
    with H2WebSocket(site.proxy, path="/pass/") as client:
        for message in (b"hello", b"", bytes(1_000_000)):
            client.send(message)
            assert client.receive() == message
        assert client.close() == 4000
        assert (client.ended, client.reset) == (True, None)
    site.upstream.wait_for_end(4000, "done")


def test_a_message_may_come_in_fragments(site: Site) -> None:
    with site.connect("tags") as client:
        client.send(iter(["κό", "", "σμε"]))
        assert client.recv(10) == "κόσμε>a>b<b<a"
        assert site.upstream.got == ["κόσμε>a>b"]


@pytest.mark.parametrize("opened", [Http1WebSocket, Http2WebSocket])
def test_control_frames_pass_between_fragments(site: Site, opened: type[WsTransport]) -> None:
    client = site.frames("pass", opened)
    client.send(ws_frame(TEXT, b"a", fin=False) + ws_frame(PING, b"p"))
    assert receive(client) == [WsFrame(0x80 | PONG, b"p")]
    client.send(ws_frame(PONG, b"q") + ws_frame(CONTINUATION, b"b"))
    assert receive(client) == [WsFrame(0x80 | TEXT, b"ab")]
    client.close()


def receive(client: WsTransport, count: int = 1) -> list[WsFrame]:
    """Return the next frames."""
    return client.read(count)


def test_the_filters_form_a_chain(site: Site) -> None:
    with site.connect("tags") as client:
        client.send("x")
        assert client.recv(10) == "x>a>b<b<a"
        assert site.upstream.got == ["x>a>b"]


def test_a_plugin_may_be_async_and_sees_the_answer(site: Site) -> None:
    with site.connect("late", subprotocols=["chat"]) as client:
        client.send("x")
        assert client.recv(10) == "late x"
    assert "protocol chat" in site.proxy.log


def test_messages_may_be_dropped_and_changed_in_kind(site: Site) -> None:
    with site.connect("actions") as client:
        for message in ("drop x", "bytes x", "!x"):
            client.send(message)
        assert [client.recv(10), client.recv(10)] == [b"x", "!x"]
        assert site.upstream.got == [b"x", "!x"]


def test_a_filter_may_answer_by_itself(site: Site) -> None:
    with site.connect("actions") as client:
        client.send("reply x")
        assert [client.recv(10), client.recv(10)] == ["first", b"x"]
        client.send("both x")
        assert [client.recv(10) for _ in range(3)] == ["answer", "before", "x"]
        assert site.upstream.got == ["before", "x"]


def test_what_a_filter_sends_passes_the_others_on_its_way(site: Site) -> None:
    with site.connect("around") as client:
        client.send("x")
        assert client.recv(10) == "x>a>b<b<a"
    with site.connect("greets") as client:
        found = {client.recv(10) for _ in range(4)}
        assert found == {
            "hello from a",
            "hello from b<b",
            "greetings from a>b<b",
            "greetings from b<b",
        }
        assert site.upstream.got == ["greetings from a>b", "greetings from b"]


def test_many_small_messages_in_one_piece(site: Site) -> None:
    client = site.frames("tags")
    client.send(ws_frame(TEXT, b"x") * 5000)
    assert [frame.payload for frame in receive(client, 5000)] == [b"x>a>b<b<a"] * 5000
    client.close()


def test_a_plugin_may_want_nothing(site: Site) -> None:
    with site.connect("pass/?none", compression="deflate") as client:
        assert "permessage-deflate" in client.response.headers["sec-websocket-extensions"]  # type: ignore[union-attr]
        client.send("x" * 1000)
        assert client.recv(10) == "x" * 1000


# Compression.


@pytest.mark.parametrize("location", ["pass", "raw"])
def test_extensions_that_cannot_be_read_are_not_offered(site: Site, location: str) -> None:
    offers = "x-unknown, permessage-deflate; client_max_window_bits, foo; bar=1"
    expected = offers if location == "raw" else "permessage-deflate; client_max_window_bits"
    assert _offered(site, offers, location) == expected
    assert _offered(site, "x-unknown", location) == ("x-unknown" if location == "raw" else None)


def _offered(site: Site, offers: str, location: str) -> str | None:
    """Return what the upstream is offered if a client offers something."""
    before = len(site.upstream.heads)
    with closing(Http1WebSocket(site.proxy.port(), offers, path=f"/{location}/")):
        until(lambda: len(site.upstream.heads) > before)  # (it notes them after its answer)
        return site.upstream.heads[-1].get("sec-websocket-extensions")


def test_compressed_messages_are_read_and_written(site: Site) -> None:
    with site.connect("tags", compression="deflate") as client:
        for text in ("x", "y" * 1000, "z" * 1000, "y" * 1000):
            client.send(text)
            assert client.recv(10) == f"{text}>a>b<b<a"
    raw = Http1WebSocket(site.proxy.port(), "permessage-deflate", path="/pass/")
    raw.send(ws_frame(TEXT, b"x" * 1000))
    (frame,) = receive(raw)
    assert frame.first == 0x80 | 0x40 | TEXT
    assert len(frame.payload) < 50
    raw.close()


def test_a_bomb_is_refused(site: Site) -> None:
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(bytes(30 * 1024 * 1024)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    client = Http1WebSocket(site.proxy.port(), "permessage-deflate", path="/pass/")
    client.send(ws_frame(BINARY, bomb[:-4], rsv=4))
    assert receive(client)[0].payload[:2] == (1009).to_bytes(2)
    client.close()


BOMBS = 30


def bombs(*, masked: bool) -> bytes:
    """Return a few kilobytes that are thirty messages of a megabyte."""
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return ws_frame(BINARY, bomb[:-4], rsv=4, masked=masked) * BOMBS


def wait_for_turns(site: Site, since: int) -> None:
    """Wait until a filter tells how many messages it got at once; each takes a while."""
    until(lambda: " in a turn" in site.proxy.log[since:])
    most = re.findall(r"(\d+) in a turn", site.proxy.log[since:])
    assert 0 < int(most[0]) < BOMBS / 2


@pytest.mark.parametrize("opened", [Http1WebSocket, Http2WebSocket])
def test_bombs_of_a_client_do_not_hold_the_event_loop(
    site: Site, opened: type[WsTransport]
) -> None:
    since = site.mark
    site.upstream.forget()
    client = opened(site.proxy.port(), "permessage-deflate", path="/turns/")
    client.send(bombs(masked=True))
    assert [frame.payload for frame in client.read(BOMBS)] == [b"1048576"] * BOMBS  # (echoes)
    client.close()
    assert site.upstream.got == [str(2**20)] * BOMBS
    wait_for_turns(site, since)


# Closing.


def test_the_close_of_either_end_reaches_the_other_and_the_filters(site: Site) -> None:
    mark = site.mark
    with site.connect("tags") as client:
        client.close(4002, "the client")
    site.upstream.wait_for_end(4002, "the client")
    site.wait_for_closed(mark, ("a", 4002, "the client"), ("b", 4002, "the client"))


@pytest.mark.parametrize("what", ["bye why", "bye_and_more x"])
def test_a_filter_may_close(site: Site, what: str) -> None:
    mark = site.mark
    expected = (4001, "why") if what == "bye why" else (1000, "")
    with site.connect("actions") as client:
        client.send(what)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(10)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == expected
    site.upstream.wait_for_end(*expected)
    site.wait_for_closed(mark, ("", *expected))
    assert site.upstream.got == []


def test_a_filter_may_close_over_http2(site: Site) -> None:
    site.upstream.forget()
    with H2WebSocket(site.proxy, path="/actions/") as client:
        client.protocol.send_text(b"bye why")
        client.flush()
        while client.protocol.close_rcvd is None or not client.ended:
            client.step()
        assert client.protocol.close_rcvd.code == 4001
        client.end()
        assert client.reset is None
        site.upstream.wait_for_end(4001, "why")


def test_a_stream_that_the_client_does_not_end_is_reset(site: Site) -> None:
    with H2WebSocket(site.proxy, path="/actions/") as client:
        client.protocol.send_text(b"bye why")
        client.flush()
        while client.reset is None:
            client.step()
        assert client.protocol.close_rcvd is not None
        assert (client.ended, client.reset) == (True, 0)
        client.protocol.data_to_send()  # its answer to the close has nowhere to go any more
        client.headers = {}
        head = [(":method", "GET"), (":scheme", "http"), (":path", "/live/"), (":authority", "a")]
        client.h2.send_headers(client.h2.get_next_available_stream_id(), head, end_stream=True)
        client.flush()
        while not client.headers:
            client.step()
        assert client.headers[":status"] == "200"


def test_a_client_that_leaves(site: Site) -> None:
    mark = site.mark
    client = site.frames("pass")
    assert isinstance(client, Http1WebSocket)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    site.wait_for_closed(mark, ("", 1006, ""))
    site.upstream.wait_for_end(1006, "")


def test_the_end_of_a_side_without_a_close_is_passed_on(site: Site) -> None:
    mark = site.mark
    client = site.frames("pass")
    assert isinstance(client, Http1WebSocket)
    client.send(ws_frame(TEXT, b"a") + ws_frame(TEXT, b"half", fin=False))
    assert receive(client)[0].payload == b"a"
    client.sock.shutdown(socket.SHUT_WR)
    while client.receive():
        pass
    client.close()
    site.upstream.wait_for_end(1006)
    site.wait_for_closed(mark, ("", 1006, ""))


# Failures.


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("boom x", "RuntimeError: secret of the filter"),
        ("error x", "HTTPError"),
        ("number x", "TypeError: a message is WebSocketMessage, str, bytes or None, not 17"),
        ("wrong x", "TypeError: a message is"),
        ("surrogate x", "UnicodeEncodeError"),
        ("bad_close 1006", "ValueError: 1006 is not a code"),
    ],
)
def test_a_filter_that_fails_closes_both_sides(site: Site, what: str, told: str) -> None:
    mark = site.mark
    with site.connect("actions") as client:
        client.send(what)
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert client.close_code == 1011
        assert client.close_reason == ""
    site.upstream.wait_for_end(1011, "")
    site.wait_for_closed(mark, ("", 1011, ""))
    log = site.proxy.log[mark:]
    if "plugin actions failed" in log:  # told once in 10 s for each place
        assert told in log
    assert site.upstream.got == []


@pytest.mark.parametrize("location", ["boom_at_open", "boom_from_upstream"])
def test_other_methods_that_fail(site: Site, location: str) -> None:
    with site.connect(location) as client:
        with suppress(ConnectionClosed):
            client.send("x")
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert client.close_code == 1011
    site.proxy.wait_for_log(f"plugin {location} failed in websocket, location {location}")


def test_closed_may_fail(site: Site) -> None:
    with site.connect("boom_at_close") as client:
        client.send("x")
        assert client.recv(10) == "x"
    assert "plugin boom_at_close failed" in site.proxy.wait_for_log("secret of closed")


@pytest.mark.parametrize(
    ("location", "status"),
    [("boom_hook", 500), ("refuse", 403), ("nonsense", 500), ("failing", 500)],
)
def test_the_hook_may_fail_or_refuse(site: Site, location: str, status: int) -> None:
    mark = site.mark
    with pytest.raises(Exception, match=f"HTTP {status}"):
        site.connect(location)
    if location == "failing":
        site.wait_for_closed(mark, ("", 1006, ""))


def test_messages_are_part_of_the_time_of_a_plugin(site: Site) -> None:
    def seconds(plugin: str) -> float:
        with site.proxy.connect() as client:
            text = client.get("/metrics").body.decode()
        pattern = rf'pingap_plugin_time_sum{{.*location="timed".*plugin="{plugin}".*}} (\S+)'
        return sum(map(float, re.findall(pattern, text)))

    with site.connect("timed") as client:
        client.send("sleep 0.2")
        assert client.recv(10) == "slept"
    until(lambda: seconds("actions") >= 0.2)
    assert seconds("pass") < 0.2


# Limits.


def test_a_message_that_is_too_large(site: Site) -> None:
    with site.connect("small") as client:
        client.send("x" * 10)
        assert client.recv(10) == "x" * 10
        client.send("x" * 11)
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert (client.close_code, client.close_reason) == (
            1009,
            "a message has more than 10 bytes",
        )
    site.upstream.wait_for_end(1001, "")


@pytest.mark.parametrize("opened", [Http1WebSocket, Http2WebSocket])
@pytest.mark.parametrize(
    "begun", [ws_frame(TEXT, b"a", fin=False), ws_frame(TEXT, b"abc")[:7], b"\x81"]
)
def test_a_message_that_does_not_become_complete(
    site: Site, opened: type[WsTransport], begun: bytes
) -> None:
    client = site.frames("small", opened)
    began = time.monotonic()
    client.send(begun)
    found = client.frames(lambda _: False)
    assert found[-1].payload == b"\x03\xf0a message did not become complete in time"
    assert 0.4 < time.monotonic() - began < 8
    client.close()
    site.upstream.wait_for_end(1001, "")


def test_pings_do_not_make_a_message_complete(site: Site) -> None:
    client = site.frames("small")
    client.send(ws_frame(TEXT, b"a", fin=False))
    found: list[WsFrame] = []
    began = time.monotonic()
    while not (found and found[-1].opcode == CLOSE):
        client.send(ws_frame(PING))
        found += receive(client)
        assert time.monotonic() - began < 8
    assert found[-1].payload[:2] == (1008).to_bytes(2)
    client.close()


def test_a_silent_websocket_is_no_stall(site: Site) -> None:
    with site.connect("small") as client:
        client.send("x")
        assert client.recv(10) == "x"
        with pytest.raises(TimeoutError):
            client.recv(2.5)
        client.send("y")
        assert client.recv(10) == "y"


# Back-pressure.


def sendable(client: WsTransport, data: bytes, most: int) -> int:
    """Return how many times data can be sent before nobody takes it any more."""
    assert isinstance(client, Http1WebSocket)
    client.sock.settimeout(1)
    for count in range(most):
        try:
            client.sock.sendall(data)
        except TimeoutError:
            return count
    return most


def test_an_upstream_that_reads_nothing_stops_the_client(site: Site) -> None:
    client = site.frames("pass")
    site.upstream.hold.clear()
    try:
        count = sendable(client, ws_frame(BINARY, bytes(100_000)), 1000)
        assert count < 400
    finally:
        site.upstream.hold.set()
        client.close()


def test_a_client_that_reads_nothing_stops_who_makes_a_filter_send(site: Site) -> None:
    """Otherwise a small message would make a large one wait, again and again."""
    client = site.frames("flood")
    count = sendable(client, ws_frame(TEXT, b"x" * 1000), 20_000)
    assert count < 19_000
    assert resident(site.proxy) < 150 * 2**20
    assert isinstance(client, Http1WebSocket)
    client.sock.settimeout(20)
    got = sum(len(frame.payload) for frame in receive(client, 50))
    assert got == 50 * 10_000
    client.close()


def test_a_filter_cannot_push_more_than_the_client_takes(site: Site) -> None:
    client = site.frames("push")
    client.send(ws_frame(TEXT, b"go"))
    log = site.proxy.wait_for_log("pushed ")
    pushed = int(re.findall(r"pushed (\d+)", log)[-1])
    assert 0 < pushed < 500
    client.close()


def test_nothing_is_left_behind(site: Site) -> None:
    def live() -> int:
        with site.proxy.connect() as client:
            return int(client.get("/live/").body)

    until(lambda: live() == 0)
    for location in ("pass", "actions", "greets", "around"):
        for _ in range(3):
            with site.connect(location) as client:
                client.send("!x")
                client.recv(10)
    for what in ("bye x", "boom x"):
        with site.connect("actions") as client, suppress(ConnectionClosed):
            client.send(what)
            client.recv(10)
    for opened in (Http1WebSocket, Http2WebSocket):
        for begun in (b"", b"\x81", ws_frame(TEXT, b"a", fin=False), b"\xff" * 10):
            transport = site.frames("around", opened)
            transport.send(begun)
            transport.close()
    until(lambda: live() == 0)


# An upstream that breaks the protocol.

Script = Callable[[Served], None]


def switch(served: Served, extensions: str = "") -> None:
    request = served.read_head()
    assert request is not None
    accept = accept_value(request.header("sec-websocket-key") or "")
    more = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    served.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        f"{more}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )


Start = Callable[[Script], Site]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Return what lets an upstream follow a script."""
    with Upstream(switch) as origin:

        def start(script: Script) -> Site:
            origin.script = script
            return site

        folder = tmp_path_factory.mktemp("scripted")
        with site_of(folder, origin.addr, EchoServer()) as site:
            yield start


@pytest.mark.parametrize("opened", [Http1WebSocket, Http2WebSocket])
@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (ws_frame(TEXT, b"masked"), 1002, "a frame is masked"),
        (b"\x83\0", 1002, "unknown opcode 3"),
        (b"\x81\x01\xff", 1007, "a text message is not UTF-8"),
        (b"\x82\x0b" + bytes(11), 1009, "a message has more than 10 bytes"),
        (b"\x01\x01a", 1008, "a message did not become complete in time"),
    ],
)
def test_an_upstream_that_breaks_the_protocol(
    scripted: Start,
    opened: type[WsTransport],
    sent: bytes,
    code: int,
    reason: str,
) -> None:
    got: list[bytes] = []

    def script(served: Served) -> None:
        switch(served)
        served.send(b"\x81\x05Hello" + sent)
        data = b""
        while len(data) < 6:
            data += served.receive()
        got.append(data)

    site = scripted(script)
    client = site.frames("small", opened)
    found = client.frames(lambda _: False)
    assert [frame.payload for frame in found] == [b"Hello", (1014).to_bytes(2)]
    client.close()
    until(lambda: got)
    head, key, payload = got[0][:2], got[0][2:6], got[0][6:]
    assert head[0] == 0x80 | CLOSE
    unmasked = bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))
    assert unmasked == code.to_bytes(2) + reason.encode()
    text = f"broke the protocol of WebSocket: {reason} (InvalidMessage)"
    site.proxy.wait_for_log(text)


def test_an_upstream_that_chooses_another_extension(
    scripted: Start,
) -> None:
    def script(served: Served) -> None:
        switch(served, "x-unknown")
        served.receive()

    site = scripted(script)
    with pytest.raises(Exception, match="HTTP 502"):
        site.connect("pass")
    site.proxy.wait_for_log("chose an extension that was not offered: x-unknown")
    with suppress(Exception):  # (the client refuses it by itself)
        site.connect("raw")


def test_an_upstream_that_does_not_close_its_connection(
    scripted: Start,
) -> None:
    over = threading.Event()

    def script(served: Served) -> None:
        switch(served)
        while served.receive():
            pass
        over.set()

    site = scripted(script)
    began = time.monotonic()
    with site.connect("actions", close_timeout=20) as client:
        client.send("bye x")
        with pytest.raises(ConnectionClosed):
            client.recv(20)
        assert client.close_code == 4001
    assert over.wait(10)
    assert 4 < time.monotonic() - began < 9


def test_large_pieces_of_an_upstream(scripted: Start) -> None:
    """Hundreds of thousands of messages in a read are read in several turns of the loop."""

    def script(served: Served) -> None:
        switch(served)
        served.send(b"\x82\0" * 100_000 + b"\x88\0")
        while served.receive():
            pass

    with scripted(script).connect("pass", max_queue=None) as client:
        count = 0
        with suppress(ConnectionClosed):
            while True:
                assert client.recv(20) == b""
                count += 1
        assert count == 100_000


@pytest.mark.parametrize("opened", [Http1WebSocket, Http2WebSocket])
def test_bombs_of_an_upstream_do_not_hold_the_event_loop(
    scripted: Start, opened: type[WsTransport]
) -> None:
    def script(served: Served) -> None:
        switch(served, "permessage-deflate")
        served.send(bombs(masked=False) + ws_frame(CLOSE, (1000).to_bytes(2), masked=False))
        served.sock.shutdown(socket.SHUT_WR)  # the end of its side waits for its messages
        while served.receive():
            pass

    site = scripted(script)
    since = site.mark
    client = opened(site.proxy.port(), "permessage-deflate", path="/turns/")
    frames = client.frames(lambda _: False)
    client.close()
    assert [frame.payload for frame in frames] == [*[b"1048576"] * BOMBS, (1000).to_bytes(2)]
    wait_for_turns(site, since)
