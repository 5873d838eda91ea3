"""HTTP/2 from clients: bodies, trailers, interim answers, windows, and the end of connections."""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from threading import Event

import anyio
import pytest
from support import h2
from support.h2 import END_HEADERS, END_STREAM, H2Client, fields, frame
from support.plugins import serving
from support.rig import Rig, configure, resident, running, running_process
from support.waiting import until
from support.wire import cut

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import load
from pingap.downstream.http2_connection import Http2Connection
from pingap.testing import Client, Served, Upstream
from pingap.worker import front, worker

H2 = 'enabled_h2 = true\naccess_log = "combined"'
LARGE = 4 * 1024 * 1024
ANSWERS = {
    "/trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    b"3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
    "/early": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/304": b"HTTP/1.1 304 Not Modified\r\nETag: a\r\nContent-Length: 9\r\n\r\n",
    "/odd": b"HTTP/1.1 299 Fine\r\nConnection: x-hop\r\nX-Hop: a\r\nKeep-Alive: timeout=1\r\n"
    b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Long: " + b"v" * 300 + b"\r\nContent-Length: 0\r\n\r\n",
    "/large-head": b"HTTP/1.1 200 OK\r\nX-Large: " + b"v" * 40_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
}  # fmt: skip


def script(served: Served) -> None:
    """Answer by target; ``/hold`` never, and anything else with what was sent."""
    while (request := served.read_request()) is not None:
        target = request.target
        if target == "/hold":
            served.receive()
            return
        if target == "/large":
            served.respond(bytes(LARGE))
        elif target in ANSWERS and request.method == "HEAD":
            served.send(ANSWERS[target].partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        elif target in ANSWERS:
            served.send(ANSWERS[target])
            if target == "/cut":
                return
        else:
            served.respond(request.body or b"ok")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running(script, server=H2, location='client_max_body_size = "8mb"') as rig:
        yield rig
        assert "Traceback" not in rig.proxy.log
        assert rig.origin.errors == []


@pytest.fixture
def client(rig: Rig) -> Iterator[H2Client]:
    with H2Client(rig.proxy) as client:
        yield client


def test_many_requests_on_one_connection(rig: Rig, client: H2Client) -> None:
    for number in range(1, 200, 2):
        client.headers(number, fields("GET", f"/{number}"))
    for number in range(1, 200, 2):
        assert client.finish(number).body == b"ok"
    assert "HTTP/2.0" in rig.proxy.wait_for_log('"GET /199 HTTP/2.0" 200 2B')


def test_http1_on_the_same_port(rig: Rig) -> None:
    with rig.connect() as one:
        for part in cut(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 1):
            one.send(part)
        assert one.answer().body == b"abc"
        assert one.get("/").status == 200


def test_a_connection_cut_at_every_byte(rig: Rig) -> None:
    with H2Client(rig.proxy, b"") as client:
        sent = h2.PREFACE + h2.settings()
        sent += frame(h2.HEADERS, END_HEADERS, 1, client.block(fields("POST", "/cut-bytes")))
        sent += frame(h2.DATA, 0, 1, b"ab") + frame(h2.DATA, END_STREAM, 1, b"c")
        for part in cut(sent, 1):
            client.send(part)
        assert client.finish(1).body == b"abc"


def test_what_the_upstream_sees(rig: Rig, client: H2Client) -> None:
    more = [("cookie", "a=b"), ("x-a", "1"), ("cookie", "c=d"), ("te", "trailers"), ("x-a", "2")]
    client.get(1, "/seen?q", *more)
    seen = rig.origin.requests[-1]
    assert seen.target == "/seen?q"
    assert seen.headers == [
        ("host", "test"),
        ("cookie", "a=b; c=d"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("Connection", "TE"),
        ("TE", "trailers"),
    ]
    client.headers(3, fields("GET", "/host", ("host", "other"), authority=None))
    assert client.finish(3).status == 200
    assert rig.origin.requests[-1].header("host") == "other"


def test_bodies(rig: Rig, client: H2Client) -> None:
    client.headers(1, fields("POST", "/a", ("content-length", "3")), END_HEADERS)
    client.data(1, b"abc", end=True)
    assert client.finish(1).body == b"abc"
    assert rig.origin.requests[-1].header("content-length") == "3"
    client.headers(3, fields("POST", "/b"), END_HEADERS)
    client.data(3, b"ab")
    client.data(3, b"c", end=True)
    assert client.finish(3).body == b"abc"
    assert rig.origin.requests[-1].header("transfer-encoding") == "chunked"
    client.headers(5, fields("POST", "/c", ("content-length", "0")), END_HEADERS)
    client.data(5, b"", end=True)
    assert client.finish(5).body == b"ok"
    assert rig.origin.requests[-1].header("content-length") == "0"


def test_trailers_both_ways(rig: Rig, client: H2Client) -> None:
    client.headers(1, fields("POST", "/trailers"), END_HEADERS)
    client.data(1, b"abc")
    client.headers(1, [("x-check", "abc")])
    answer = client.finish(1)
    assert (answer.body, answer.trailers) == (b"abc", [("x-sum", "6")])
    assert rig.origin.requests[-1].trailers == [("x-check", "abc")]


def test_interim_answers(client: H2Client) -> None:
    answer = client.get(1, "/early")
    assert [head[0][1] for head in answer.heads] == ["103", "200"]
    assert answer.heads[0][1:] == [("link", "</a>")]
    assert answer.body == b"ok"


@pytest.mark.parametrize(
    ("method", "path", "length"),
    [
        ("HEAD", "/a", "2"),
        ("HEAD", "/trailers", None),
        ("GET", "/204", None),
        ("GET", "/304", "9"),
    ],
)
def test_answers_without_a_body(
    client: H2Client, method: str, path: str, length: str | None
) -> None:
    answer = client.get(1, path, method=method)
    assert (answer.body, answer.header("content-length")) == (b"", length)
    assert [one.kind for one in client.seen if one.stream == 1] == [h2.HEADERS]
    assert client.get(3).body == b"ok"


def test_a_head_without_what_belongs_to_the_hop(client: H2Client) -> None:
    [head] = client.get(1, "/odd").heads
    assert [one for one in head if one[0] != "date"] == [
        (":status", "299"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
        ("x-long", "v" * 300),
        ("content-length", "0"),
    ]


def test_an_answer_of_a_plugin(tmp_path: Path) -> None:
    source = '''
class Stream(Plugin):
    """Sends chunks."""

    category = "stream"

    @hookimpl
    async def request(self, request):
        await anyio.sleep(0)
        if request.query == "boom":
            raise RuntimeError
        return Response(200, self.chunks())

    async def chunks(self):
        for _ in range(3):
            await anyio.sleep(0)
            yield b"x" * 50_000
'''
    locations = {"all": "stream"}
    more = '[plugins.stream]\ncategory = "stream"'
    with (
        serving(tmp_path, source, locations, server=H2, more=more) as rig,
        H2Client(rig.proxy) as client,
    ):
        answer = client.get(1, "/all/")
        assert (answer.status, answer.body) == (200, b"x" * 150_000)
        assert client.get(3, "/all/?boom").status == 500


def test_an_upstream_that_leaves_in_the_middle(rig: Rig, client: H2Client) -> None:
    answer = client.get(1, "/cut")
    assert (answer.status, answer.body, answer.reset) == (200, b"abc", h2.INTERNAL_ERROR)
    assert client.get(3).status == 200


def test_a_client_that_resets_lets_go_of_the_upstream() -> None:
    left = Event()

    def waiting(served: Served) -> None:
        served.read_head()
        served.receive()
        left.set()

    with running(waiting, server=H2) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("GET", "/left"))
        until(lambda: rig.origin.requests)
        client.send(h2.reset(1))
        assert left.wait(5)
        rig.proxy.wait_for_log('"GET /left HTTP/2.0" 499')


def test_a_body_that_is_too_large() -> None:
    location = 'client_max_body_size = "1kb"'
    with running(server=H2, location=location) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("POST"), END_HEADERS)
        client.data(1, bytes(2048))
        assert client.finish(1).status == 413
        assert client.read_until(h2.RST_STREAM, 1).code == h2.NO_ERROR
        client.data(1, bytes(2048), end=True)  # late, of no concern
        assert client.get(3).status == 200


# Windows.


def read_data(client: H2Client, stream: int, size: int) -> None:
    """Read so many bytes of a body without giving room for more."""
    while len(client.answers.setdefault(stream, h2.H2Answer()).body) < size:
        assert client.read_frame() is not None


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Rig]:
    """A process of its own, so that its memory can be measured."""
    with running_process(tmp_path, script, server=H2) as rig:
        yield rig


def test_a_client_without_room_makes_the_upstream_wait(process: Rig) -> None:
    with H2Client(process.proxy) as client:
        assert client.get(1, "/small").body == b"ok"
        before = resident(process.proxy)
        for number in range(3, 42, 2):
            client.send(h2.window_update(0, 65535))
            client.headers(number, fields("GET", "/large"))
            read_data(client, number, 65535)
        client.send(h2.window_update(0, 65535))
        assert client.get(101, "/small").body == b"ok", "the others go on"
        grown = resident(process.proxy) - before
        assert grown < 40 * 1024 * 1024, f"{grown} bytes held of answers nobody takes"
        assert len(client.answers[3].body) == 65535
        client.send(h2.window_update(0, LARGE) + h2.window_update(3, LARGE))
        assert client.finish(3).body == bytes(LARGE)


@pytest.mark.parametrize("window", [0, 1, 1000])
def test_a_small_first_window(rig: Rig, window: int) -> None:
    start = h2.PREFACE + h2.settings(initial_window_size=window)
    with H2Client(rig.proxy, start) as client:
        client.headers(1, fields("POST", "/echo"), END_HEADERS)
        client.data(1, b"x" * 3000, end=True)
        read_data(client, 1, window)
        assert client.get(3, "/204").status == 204
        client.send(h2.settings(initial_window_size=2000))
        read_data(client, 1, 2000)
        assert len(client.answers[1].body) == 2000
        assert client.finish_with_room(1).body == b"x" * 3000


def test_a_client_that_makes_room_for_each_frame(client: H2Client) -> None:
    for number in (1, 3, 5, 7):  # more WINDOW_UPDATEs than may be sent for nothing
        assert len(client.get(number, "/large").body) == LARGE


def test_an_answer_without_room_to_a_request_that_goes_on() -> None:
    location = 'client_max_body_size = "1kb"'
    start = h2.PREFACE + h2.settings(initial_window_size=0)
    with (
        running(server=H2, location=location) as rig,
        H2Client(rig.proxy, start) as client,
    ):
        client.headers(1, fields("POST"), END_HEADERS)
        client.data(1, bytes(2048))
        client.read_until(h2.HEADERS, 1)
        for _ in range(20):
            client.data(1, bytes(100))
        assert client.get(3, method="HEAD").status == 200
        answer = client.finish_with_room(1)
        assert answer.status == 413
        assert answer.ended


def test_streams_share_the_connection(rig: Rig) -> None:
    start = h2.PREFACE + h2.settings(initial_window_size=2**20)
    with H2Client(rig.proxy, start) as client:
        for number in (1, 3):
            client.headers(number, fields("GET", "/large"))
        while not (client.answers.get(1) and client.answers.get(3)):
            client.read_frame()
        client.send(h2.window_update(0, 2**17))
        first, second = client.answers[1], client.answers[3]
        while len(first.body) + len(second.body) < 65535 + 2**17:
            client.read_frame()
        assert min(len(first.body), len(second.body)) > 40_000


def test_an_upstream_that_takes_nothing_stops_its_stream_only(tmp_path: Path) -> None:
    go = Event()

    def slow(served: Served) -> None:
        request = served.read_head()
        if request is not None and request.target == "/slow":
            go.wait(20)
            served.respond(b"%d" % (len(served.read_until(b"\r\n0\r\n\r\n")) > LARGE))
            return
        served.respond()

    # What the kernel holds between proxy and origin is counted in as well.
    with running_process(tmp_path, slow, server=H2) as rig, H2Client(rig.proxy) as client:
        before = resident(rig.proxy)
        client.headers(1, fields("POST", "/slow"), END_HEADERS)
        sent = 0
        while room := room_for(client, sent):
            client.data(1, bytes(room))
            sent += room
            assert sent < 64 * LARGE, "room is given without end"
        assert resident(rig.proxy) - before < 8 * 1024 * 1024
        client.headers(3, fields("GET", "/other"))
        assert client.finish(3).status == 200
        go.set()
        end = sent + LARGE
        while sent < end:
            while not (room := WINDOW + client.given.get(1, 0) - sent):
                client.read_until(h2.WINDOW_UPDATE, 1)
            client.data(1, bytes(room))
            sent += room
        client.data(1, b"", end=True)
        assert client.finish(1).body == b"1"


WINDOW = 128 * 1024


def room_for(client: H2Client, sent: int) -> int:
    """Return the room for more on stream 1; none if there is none for half a second."""
    for seconds in (0, 0.5):
        time.sleep(seconds)
        client.send(frame(h2.PING, 0, 0, bytes(8)))
        client.read_until(h2.PING)
        if room := WINDOW + client.given.get(1, 0) - sent:
            return room
    return 0


# Time limits and the end of connections.


def test_an_idle_connection_is_closed() -> None:
    server = H2 + '\nkeepalive_timeout = "400ms"'
    with running(server=server) as rig, H2Client(rig.proxy) as client:
        assert client.get(1).status == 200
        assert client.goaway() == h2.NO_ERROR


def test_a_silent_client_is_asked_for_a_sign_of_life() -> None:
    server = H2 + '\nkeepalive_timeout = "600ms"'
    with running(script, server=server) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("GET", "/hold"))
        for _ in range(3):
            ping = client.read_until(h2.PING)
            client.send(frame(h2.PING, h2.ACK, 0, ping.payload))
        client.read_until(h2.PING)
        assert client.read_frame() is None, "it did not answer, and is cut"
        rig.proxy.wait_for_log('"GET /hold HTTP/2.0" 499')


@pytest.mark.parametrize(
    "sent",
    [
        h2.PREFACE[:10],
        h2.PREFACE,
        h2.PREFACE + h2.settings() + frame(h2.HEADERS, 0, 1, b"\x82"),
        h2.PREFACE + h2.settings() + frame(h2.PING, 0, 0, bytes(8))[:12],
    ],
)
def test_what_does_not_arrive_in_time(sent: bytes) -> None:
    server = H2 + '\nhead_read_timeout = "300ms"'
    with running(server=server) as rig, H2Client(rig.proxy, sent) as client:
        while client.read_frame() is not None:
            pass
        codes = [one.code for one in client.goaways]
        assert codes == ([] if sent == h2.PREFACE[:10] else [h2.PROTOCOL_ERROR])


def test_a_body_that_does_not_arrive_in_time() -> None:
    server = H2 + '\ndownstream_read_timeout = "300ms"'
    with running(server=server) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("POST"), END_HEADERS)
        assert client.finish(1).status == 408
        assert client.answers[1].header("x-pingap-etype") == "ReadTimedout"
        assert client.get(3).status == 200


@pytest.mark.parametrize("window", [0, 1000])
def test_a_client_that_gives_no_room_in_time(window: int) -> None:
    server = H2 + '\ndownstream_write_timeout = "300ms"'
    start = h2.PREFACE + h2.settings(initial_window_size=window)
    with running(script, server=server) as rig, H2Client(rig.proxy, start) as client:
        client.headers(1, fields("GET", "/large"))
        assert client.finish_without_room(1).reset == h2.CANCEL
        assert client.get(3, "/204").status == 204


def test_a_client_that_gives_hardly_any_room_in_time() -> None:
    server = H2 + '\ndownstream_write_timeout = "300ms"'
    start = h2.PREFACE + h2.settings(initial_window_size=0)
    with running(script, server=server) as rig, H2Client(rig.proxy, start) as client:
        client.headers(1, fields("GET", "/large"))
        answer = client.answers.setdefault(1, h2.H2Answer())
        while answer.reset is None:
            client.send(h2.window_update(1, 1))
            assert client.read_frame() is not None
            time.sleep(0.01)  # what such a client does
        assert answer.reset == h2.CANCEL
        assert len(answer.body) < 1024


def test_the_last_request_of_a_connection() -> None:
    server = H2 + "\nkeepalive_requests = 3"
    with running(server=server) as rig, H2Client(rig.proxy) as client:
        for number in (1, 3, 5):
            assert client.get(number).status == 200
        client.send(frame(h2.PING, h2.ACK, 0, bytes(8)))
        assert client.goaway() == h2.NO_ERROR
        assert last_stream(client) == 5


def last_stream(client: H2Client) -> int:
    return int(struct.unpack_from(">I", client.goaways[-1].payload)[0])


def test_draining_in_two_steps(tmp_path: Path) -> None:
    go = Event()

    def late(served: Served) -> None:
        while served.read_request() is not None:
            go.wait(20)
            served.respond(b"late")

    with running_process(tmp_path, late, server=H2) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields())
        until(lambda: rig.origin.requests)
        rig.proxy.process.send_signal(signal.SIGTERM)
        client.read_until(h2.GOAWAY)
        assert last_stream(client) == 2**31 - 1
        client.headers(3, fields())  # it may have been on its way
        until(lambda: len(rig.origin.requests) == 2)
        ping = client.read_until(h2.PING)
        client.send(frame(h2.PING, h2.ACK, 0, ping.payload))
        client.read_until(h2.GOAWAY)
        assert last_stream(client) == 3
        client.headers(5, fields())
        assert client.finish(5).reset == h2.REFUSED_STREAM
        go.set()
        assert client.finish(1).body == b"late"
        assert client.finish(3).body == b"late"
        assert client.read_frame() is None
        assert rig.proxy.process.wait(10) == 0


def test_a_client_that_leaves_is_still_answered(rig: Rig, client: H2Client) -> None:
    client.headers(1, fields())
    client.send(frame(h2.GOAWAY, 0, 0, bytes(8)))
    assert client.finish(1).body == b"ok"
    last = client.read_frame()
    if last is not None:  # the answer was complete before the GOAWAY was read
        assert last.kind == h2.GOAWAY
        assert client.read_frame() is None


# Clients of others.


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl(rig: Rig, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(range(256)) * 8192)
    url = f"http://127.0.0.1:{rig.proxy.port()}"
    command = ["curl", "-s", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}"]
    done = run([*command, "-o", str(tmp_path / "out"), "-T", str(body), f"{url}/echo"])
    assert done == "2 200"
    assert (tmp_path / "out").read_bytes() == body.read_bytes()
    assert run([*command, "-o", str(tmp_path / "out"), f"{url}/large-head"]) == "2 200"
    assert run([*command, "-o", str(tmp_path / "out"), f"{url}/large"]) == "2 200"
    assert (tmp_path / "out").stat().st_size == LARGE


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_reads_an_answer_that_comes_before_its_request_has_ended(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(bytes(20_000_000))
    with running(server=H2, location='client_max_body_size = "1mb"') as rig:
        url = f"http://127.0.0.1:{rig.proxy.port()}/"
        command = ["curl", "-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}"]
        assert run([*command, "-T", str(tmp_path / "body"), url]) == "413"


def test_a_client_that_sends_on_after_its_answer() -> None:
    location = 'client_max_body_size = "1kb"'
    with running(server=H2, location=location) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/ended"), END_HEADERS)
        client.data(1, bytes(2048))
        assert client.finish(1).status == 413
        client.data(1, bytes(2048), end=True)
        assert client.get(3).status == 200
        assert client.answers[1].reset is None
        client.headers(5, fields("POST", "/much"), END_HEADERS)
        for _ in range(20):
            client.data(5, bytes(60_000))  # more than is thrown away
            client.send(frame(h2.PING, 0, 0, bytes(8)))
            client.read_until(h2.PING)
        resets = [one for one in client.seen if (one.kind, one.stream) == (h2.RST_STREAM, 5)]
        assert resets[0].code == h2.NO_ERROR
        assert client.get(7).status == 200


@pytest.mark.skipif(not shutil.which("h2load"), reason="needs h2load (package nghttp2-client)")
def test_h2load(rig: Rig) -> None:
    url = f"http://127.0.0.1:{rig.proxy.port()}"
    small = run(["h2load", "-n", "2000", "-c", "10", "-m", "50", f"{url}/small"])
    assert "2000 succeeded, 0 failed, 0 errored" in small
    large = run(["h2load", "-n", "20", "-c", "2", "-m", "10", f"{url}/large"])
    assert "20 succeeded, 0 failed, 0 errored" in large


@pytest.mark.skipif(not shutil.which("nghttp"), reason="needs nghttp (package nghttp2-client)")
def test_nghttp(rig: Rig, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{rig.proxy.port()}/trailers"
    (tmp_path / "body").write_bytes(b"abc")
    command = ["nghttp", "-nv", "-d", str(tmp_path / "body"), "--trailer", "x-check: 1", url]
    out = run(command)
    assert "x-sum: 6" in out
    assert rig.origin.requests[-1].trailers == [("x-check", "1")]


def run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=50).stdout


# Without the preface being looked for, as TLS with ALPN does it.


def test_a_connection_that_is_known_to_be_http2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        front, "_connection_factory", lambda listener, **_: lambda: Http2Connection(listener)
    )
    with Upstream(script) as origin:
        (tmp_path / "pingap.toml").write_text(configure(origin.addr))
        one = worker.Worker(build(load(tmp_path / "pingap.toml"), installed_registry()))
        one.bind()
        address = ("127.0.0.1", int(one.addresses["web"][0].rpartition(":")[2]))

        def ask() -> bytes:
            with H2Client(Client(address)) as client:
                return client.get(1, "/direct").body

        async def serve() -> bytes:
            async with one.serving():
                return await anyio.to_thread.run_sync(ask)

        assert anyio.run(serve) == b"ok"


def test_random_frames_break_nothing(rig: Rig) -> None:
    """What the codec is fuzzed with, on real connections; the log is looked at by ``rig``."""
    random = Random(9113)
    kinds = [h2.DATA, h2.HEADERS, h2.RST_STREAM, h2.WINDOW_UPDATE, h2.CONTINUATION, h2.SETTINGS]
    for _ in range(150):
        with suppress(ConnectionError), H2Client(rig.proxy) as client:
            payloads = [
                client.block(fields("POST", "/echo", ("content-length", "4"))),
                client.block([("trailer", "x")]),
                random.randbytes(4),
                b"\0\0\0\x05",
            ]
            flags = [0, 1, 4, 4, 5, 5, 8, 0x25]
            client.send(
                b"".join(
                    frame(
                        random.choice(kinds),
                        random.choice(flags),
                        random.choice([0, 1, 3, 5]),
                        random.choice(payloads),
                    )
                    for _ in range(random.randrange(1, 12))
                )
            )
            client.raw.sock.shutdown(socket.SHUT_WR)
            while client.read_frame() is not None:
                pass
    with H2Client(rig.proxy) as client:
        assert client.get(1).status == 200
