"""How a request ended: what body filters and ``logging`` learn of it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from support.h2 import H2Client
from support.h2 import reset as reset_stream
from support.plugins import serving
from support.rig import Rig
from support.waiting import until

from pingap.testing import Served

SOURCE = """
class Watch(BodyFilter):
    def __init__(self, what): self.what = what

    def feed(self, chunk):
        if b"boom" in chunk: raise RuntimeError("boom")
        return chunk

    def end(self, trailers):
        log.warning("%s ended", self.what)
        return b""

    def abandoned(self, outcome): log.warning("%s abandoned %s", self.what, outcome)


class Watcher(Plugin):
    category = "watcher"
    body = "reads"

    @hookimpl
    def request_body(self, request): return Watch("request")

    @hookimpl
    def response_body(self, request): return Watch("response")

    @hookimpl
    def logging(self, request, ctx):
        log.warning("over %s %s %s %s %d", request.path, ctx.status, ctx.outcome,
                    type(ctx.error).__name__, ctx.body_bytes_sent)


class Bad(Plugin):
    category = "bad"
    body = "reads"

    @hookimpl
    def response_body(self, request):
        if "bad" in request.query: raise RuntimeError("bad")


class Replace(Plugin):
    category = "replace"

    @hookimpl
    def upstream_response(self, request, response):
        return Response.text(200, "replaced")


class Short(Plugin):
    category = "short"

    @hookimpl
    def request(self):
        response = Response(200, self.pieces())
        response.content_length = 10
        return response

    async def pieces(self):
        yield b"short"
"""

TABLES = "".join(
    f'[plugins.{x}]\ncategory = "{x}"\n' for x in ("watcher", "bad", "replace", "short")
)


def script(served: Served) -> None:
    while (request := served.read_request()) is not None:
        if "cut" in request.target:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            return
        if "304" in request.target:
            served.send(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n")
        elif "chunked" in request.target:
            served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
        elif "large" in request.target:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 20_000_000)
            served.stopping.wait(10)
        elif "begin" in request.target:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            served.receive()
            return
        else:
            served.respond(b"boom" if "boom" in request.target else b"ok")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    locations = {"w": "watcher bad", "r": "replace", "s": "short watcher"}
    folder = tmp_path_factory.mktemp("outcomes")
    with serving(
        folder, SOURCE, locations, more=TABLES, script=script, server="enabled_h2 = true"
    ) as running:
        yield running


def ask(rig: Rig, target: str, body: bytes = b"") -> None:
    with rig.connect() as client:
        client.send(
            b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (target.encode(), len(body), body)
        )
        while client.receive():
            pass


def notes(rig: Rig, since: int) -> list[str]:
    until(lambda: "over /" in rig.proxy.log[since:])
    found = re.findall(r"WARN ((?:request|response|over) .*)", rig.proxy.log[since:])
    return sorted(found)


@pytest.mark.parametrize(
    ("target", "body", "expected"),
    [
        ("/w/", b"x", ["request ended", "response ended"]),
        ("/w/", b"", ["response ended"]),
        ("/w/cut", b"x", ["request ended", "response abandoned broken_off"]),
        ("/w/boom", b"", ["response abandoned complete"]),
        ("/w/?bad", b"x", ["request ended", "response abandoned complete"]),
        ("/w/", b"boom", ["request abandoned complete"]),
    ],
)
def test_a_filter_gets_one_of_end_and_abandoned(
    rig: Rig, target: str, body: bytes, expected: list[str]
) -> None:
    since = len(rig.proxy.log)
    ask(rig, target, body)
    assert [one for one in notes(rig, since) if not one.startswith("over")] == expected


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_client_that_leaves_abandons_filters(rig: Rig, version: str) -> None:
    since = len(rig.proxy.log)
    if version == "2":
        with H2Client(rig.proxy) as two:
            two.headers(1, [(":method", "GET"), (":scheme", "http"), (":path", "/w/begin"),
                            (":authority", "a")])  # fmt: skip
            two.read_until(0, 1)
            two.send(reset_stream(1))
            found = notes(rig, since)
    else:
        with rig.connect() as client:
            client.send(b"GET /w/begin HTTP/1.1\r\nHost: a\r\n\r\n")
            client.read_until(b"abc")
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        found = notes(rig, since)
    assert found == ["over /w/begin 200 client_gone ClientGone 3", "response abandoned client_gone"]


def test_an_answer_that_is_cut_is_not_complete(rig: Rig) -> None:
    since = len(rig.proxy.log)
    ask(rig, "/w/cut")
    assert "over /w/cut 200 broken_off UpstreamError 3" in notes(rig, since)


def test_a_body_of_another_length_than_announced_breaks_off(rig: Rig) -> None:
    since = len(rig.proxy.log)
    ask(rig, "/s/")
    assert "over /s/ 200 broken_off PluginError" in "\n".join(notes(rig, since))


def test_what_still_waited_when_the_client_left_was_not_sent(rig: Rig) -> None:
    since = len(rig.proxy.log)
    with rig.connect() as client:
        client.send(b"GET /w/large HTTP/1.1\r\nHost: a\r\n\r\n")
        got = len(client.read_until(b"\r\n\r\n"))
        until(lambda: rig.origin.requests)
        while got < 1_000_000:
            got += len(client.receive())
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    (over,) = [one for one in notes(rig, since) if one.startswith("over")]
    assert " 200 client_gone " in over
    assert int(over.rpartition(" ")[2]) < 20_000_000


@pytest.mark.parametrize("target", ["/r/304", "/r/chunked", "/r/whole"])
def test_a_connection_whose_complete_answer_was_replaced_is_kept(rig: Rig, target: str) -> None:
    with rig.connect() as client:
        assert client.get("/r/warm").body == b"replaced"
        before = rig.origin.connections
        for _ in range(3):
            assert client.get(target).body == b"replaced"
        assert rig.origin.connections == before
