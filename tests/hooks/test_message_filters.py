"""``SSEFilter`` and ``GRPCMessageFilter``: cut anywhere, and in a proxy between real clients and servers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from support.grpc_service import OPTIONS, GrpcServer
from support.h2 import DATA, H2Client, fields
from support.plugins import installed, routes, serving, write_distribution
from support.rig import Rig

from pingap import GRPCMessageFilter, HTTPError, ServerSentEvent, SSEFilter
from pingap.testing import Proxy, Served, filter_every_cut

# Events.


class Shout(SSEFilter):
    """Changes, drops, multiplies and leaves events, as their text says."""

    def event(self, event: ServerSentEvent) -> ServerSentEvent | Iterable[ServerSentEvent] | None:
        match event.data:
            case "drop":
                return None
            case "two":
                return (replace(event, data=text) for text in ("one", "two"))
            case "none":
                return []
            case "same":
                return event
        return replace(event, data=event.data.upper())


KEPT = b": comment\nfoo: bar\nid:1\ndata: same\n\n"
EVENTS: list[tuple[bytes, bytes]] = [
    (b"", b""),
    (KEPT, KEPT),
    (KEPT.replace(b"\n", b"\r\n"), KEPT.replace(b"\n", b"\r\n")),
    (KEPT.replace(b"\n", b"\r"), KEPT.replace(b"\n", b"\r")),
    (b": ping\n\nretry: 5\n\n", b": ping\n\nretry: 5\n\n"),
    (b"\xef\xbb\xbfdata: same\n\n", b"\xef\xbb\xbfdata: same\n\n"),
    (b"\xef\xbb\xbfdata: a\n\n", b"data: A\n\n"),
    (b": c\nevent:x\nid: 1\nretry: 5\ndata: a\ndata: b\n\n",
     b": c\nevent: x\nid: 1\nretry: 5\ndata: A\ndata: B\n\n"),
    (b"data: a\r\n\r\ndata: same\r\n\r\n", b"data: A\n\ndata: same\r\n\r\n"),
    (b"data: a\r\rdata: b\r\r", b"data: A\n\ndata: B\n\n"),
    (b"data: drop\r\n\r\n: c\n\ndata: none\n\ndata: a\n\n", b": c\n\ndata: A\n\n"),
    (b"id: 1\ndata: two\n\n", b"id: 1\ndata: one\n\nid: 1\ndata: two\n\n"),
    (b"data: a\n\ndata: b", b"data: A\n\ndata: B\n"),
    (b"data: a\n\ndata: same", b"data: A\n\ndata: same"),
    (b"data: a\n\ndata: drop\n", b"data: A\n\n"),
    (b"data: a\n\nno event", b"data: A\n\nno event"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), EVENTS)
def test_events_are_changed_however_they_are_cut(body: bytes, expected: bytes) -> None:
    assert filter_every_cut(Shout, body) == expected


def test_without_a_change_every_byte_is_kept() -> None:
    for body, _ in EVENTS:
        assert filter_every_cut(SSEFilter, body) == body


def test_an_event_that_is_too_large() -> None:
    class Small(SSEFilter):
        message_limit = 10

    assert Small().feed(b"data: 67\n\n") == b"data: 67\n\n"
    with pytest.raises(HTTPError, match="sent a server-sent event of more than 10 bytes") as caught:
        Small().feed(b"data: 6789\n")
    assert caught.value.status == 502


@pytest.mark.parametrize("result", ["text", 5, [b"bytes"]])
def test_what_is_no_event(result: object) -> None:
    class Wrong(SSEFilter):
        def event(self, event: ServerSentEvent) -> Any:
            return result

    with pytest.raises(TypeError):
        Wrong().feed(b"data: x\n\n")


# Messages of gRPC.


def packed(*messages: bytes, flag: int = 0) -> bytes:
    return b"".join(bytes((flag,)) + len(one).to_bytes(4) + one for one in messages)


class Reverse(GRPCMessageFilter):
    """Reverses messages, drops some, and marks what is compressed."""

    def message(self, data: bytes) -> bytes | None:
        return None if data == b"drop" else data[::-1]

    def compressed_message(self, data: bytes) -> bytes | None:
        return None if data == b"secret" else data + b"!"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", b""),
        (packed(b"abc", b"", b"de"), packed(b"cba", b"", b"ed")),
        (packed(b"a", b"drop", b"b"), packed(b"a", b"b")),
        (packed(b"x", flag=1) + packed(b"secret", flag=1), packed(b"x!", flag=1)),
        (packed(b"abc") + packed(b"half")[:-1], packed(b"cba") + packed(b"half")[:-1]),
        (packed(b"abc") + b"\0\0", packed(b"cba") + b"\0\0"),
    ],
)
def test_messages_are_changed_however_they_are_cut(body: bytes, expected: bytes) -> None:
    assert filter_every_cut(Reverse, body) == expected
    assert filter_every_cut(GRPCMessageFilter, body) == body


@pytest.mark.parametrize(("body", "status"), [(packed(b"12345"), 413), (b"\2\0\0\0\0", 400)])
def test_who_is_to_blame_for_what_is_no_message(body: bytes, status: int) -> None:
    class OfClient(GRPCMessageFilter):
        message_limit = 4
        from_client = True

    class OfUpstream(GRPCMessageFilter):
        message_limit = 4

    with pytest.raises(HTTPError) as caught:
        OfClient().feed(body)
    assert caught.value.status == status
    with pytest.raises(HTTPError) as caught:
        OfUpstream().feed(body)
    assert caught.value.status == 502


# In a proxy.

EVENT_SOURCE = """
from dataclasses import replace


class Events(Plugin):
    category = "events"
    body = "rewrites"

    class Shout(SSEFilter):
        message_limit = 1000

        def event(self, event):
            if event.data == "number": return 17
            return None if event.data == "drop" else replace(event, data=event.data.upper())

    @hookimpl
    def upstream_response_body(self, response):
        if response.headers.get("content-type") == "text/event-stream": return self.Shout()


class Made(Plugin):
    category = "made"
    body = "rewrites"

    @hookimpl
    def request(self, request):
        async def events():
            for _ in range(3):
                yield ServerSentEvent("made", id="1").encode()
        return Response(200, events(), {"Content-Type": "text/event-stream"})

    @hookimpl
    def response_body(self): return Events.Shout()
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    more = "".join(f'[plugins.{name}]\ncategory = "{name}"\n' for name in ("events", "made"))
    with serving(
        tmp_path_factory.mktemp("events"),
        EVENT_SOURCE,
        {"events": "events", "made": "made"},
        more=more,
        server="enabled_h2 = true",
    ) as rig:
        yield rig


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Stream:
    """A script that sends an event stream, each piece after the one before was seen."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.seen = threading.Semaphore(0)

    def __call__(self, served: Served) -> None:
        assert served.read_head() is not None
        served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
        served.send(b"Content-Type: text/event-stream\r\n\r\n")
        for piece in self.pieces:
            served.send(chunked(piece))
            self.seen.acquire(timeout=10)
        served.send(b"0\r\n\r\n")

    def go_on(self) -> None:
        """Let the next piece follow."""
        self.seen.release()


PIECES = (b": hi\n\ndata: one\n\nda", b"ta: two\n\n", b"data: drop\n\nid: 7\ndata: three\r\n\r\n")
PASSED = (b": hi\n\ndata: ONE\n\n", b"data: TWO\n\n", b"id: 7\ndata: THREE\n\n")


def test_events_leave_as_they_come(rig: Rig) -> None:
    script = Stream(*PIECES)
    with rig.script(script), rig.connect() as client:
        client.send(b"GET /events/ HTTP/1.1\r\nHost: a\r\n\r\n")
        for expected in PASSED:
            client.read_until(chunked(expected))
            script.go_on()
        client.read_until(b"0\r\n\r\n")


def test_events_leave_as_they_come_over_http2(rig: Rig) -> None:
    script = Stream(*PIECES)
    with rig.script(script), H2Client(rig.proxy) as client:
        client.headers(1, fields(path="/events/"))
        for expected in PASSED:
            assert client.read_until(DATA, 1).payload == expected
            script.go_on()
        assert client.finish(1).ended


def test_events_that_a_plugin_made(rig: Rig) -> None:
    with rig.connect() as client:
        assert client.get("/made/").body == b"id: 1\ndata: MADE\n\n" * 3


def test_an_event_that_is_too_large_cuts_the_response(rig: Rig) -> None:
    script = Stream(b"data: one\n\n", b"data: " + b"x" * 1000)
    with rig.script(script), rig.connect() as client:
        client.send(b"GET /events/ HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until(b"ONE\n\n")
        script.go_on()
        assert client.read_to_end() == b"\r\n"  # and no last chunk
        script.go_on()
    log = rig.proxy.wait_for_log(
        "sent a server-sent event of more than 1000 bytes (InvalidMessage)"
    )
    assert "upstream origin(" in log


def test_a_filter_that_fails_is_told_with_its_place(rig: Rig) -> None:
    script = Stream(b"data: number\n\n")
    with rig.script(script), rig.connect() as client:
        client.send(b"GET /events/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        script.go_on()
        assert b"NUMBER" not in client.read_to_end()
    log = rig.proxy.wait_for_log("plugin events failed in body filter, location events")
    (line,) = [line for line in log.splitlines() if "plugin events failed" in line]
    assert "test_plugins.py:" in line


GRPC_SOURCE = """
class Base(GRPCMessageFilter):
    message_limit = 1000


class Messages(Plugin):
    category = "messages"
    body = "rewrites"

    class Request(Base):
        from_client = True
        def message(self, data): return None if data == b"drop" else data + b">"

    class Answer(Base):
        def message(self, data): return data + b"<"

    @hookimpl
    def request_body(self): return self.Request()

    @hookimpl
    def upstream_response_body(self): return self.Answer()


class Answers(Plugin):
    category = "answers"
    body = "rewrites"

    @hookimpl
    def response_body(self): return Base()
"""


@pytest.fixture(scope="module")
def grpc_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("grpc")
    write_distribution(folder / "site", "test_plugins", GRPC_SOURCE)
    with GrpcServer() as server:
        toml = routes(
            {"s": "messages", "answers": "answers"},
            server.addr,
            server="enabled_h2 = true",
            more="".join(
                f'[plugins.{name}]\ncategory = "{name}"\n' for name in ("messages", "answers")
            ),
        ).replace('health_check = "none"', 'health_check = "none"\nalpn = "H2"')
        with installed(folder / "site"), Proxy(toml) as proxy:
            yield proxy
            assert "bug in pingap" not in proxy.log


@pytest.fixture
def channel(grpc_proxy: Proxy) -> Iterator[Any]:
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{grpc_proxy.port()}", options=options) as channel:
        yield channel


def test_messages_of_real_calls(channel: Any) -> None:
    assert channel.unary_unary("/s/Echo")(b"hello", timeout=10) == b"hello><"
    parts = [str(number).encode() for number in range(100)]
    found = list(channel.stream_stream("/s/Chat")(iter(parts), timeout=10))
    assert found == [part + b"><" for part in parts]
    joined = channel.stream_unary("/s/Join")(iter([b"a", b"drop", b"b"]), timeout=10)
    assert joined == b"a>b><"


def test_compressed_messages_of_real_calls_pass(channel: Any) -> None:
    echo = channel.unary_unary("/s/Echo")
    message = b"x" * 500
    assert echo(message, timeout=10, compression=grpc.Compression.Gzip) == message + b"<"


def failure(call: Any, *arguments: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, timeout=10)
    return caught.value


def test_a_request_message_that_is_too_large(channel: Any) -> None:
    error = failure(channel.unary_unary("/s/Echo"), b"x" * 1001)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "A message is too large")
    assert channel.unary_unary("/s/Echo")(b"x" * 998, timeout=10).endswith(b"><")


def test_a_response_message_that_is_too_large(channel: Any, grpc_proxy: Proxy) -> None:
    error = failure(channel.unary_unary("/answers/Echo"), b"x" * 1001)
    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
    grpc_proxy.wait_for_log("sent a gRPC message of 1001 bytes, more than 1000 (InvalidMessage)")
