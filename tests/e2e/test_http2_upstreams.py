"""HTTP/2 to upstreams: one connection for many requests, and what becomes of them when it breaks."""

from __future__ import annotations

import os
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from threading import Event, Thread

import pytest
from support import h2
from support.certificates import issue
from support.h2 import END_HEADERS, END_STREAM, H2Client, fields, frame, settings
from support.h2_origin import H2Script, H2Served, h2_script
from support.origin import Script, echo
from support.rig import (
    Rig,
    answer_or_none,
    configure,
    running,
    running_process,
    signal_workers,
)
from support.tls import TlsOrigin
from support.waiting import until

from pingap.testing import Client, Clock, Proxy, Served, Upstream
from pingap.upstream.connections.http2_time_limits import ANSWER_SECONDS, PING_SECONDS

LARGE = 3_000_000


def upstream(streams: int = 100, more: str = "") -> str:
    return f'alpn = "H2"\nmax_h2_streams = {streams}\n{more}'


def answer_by_path(served: H2Served) -> None:
    while (request := served.request()) is not None:
        stream = request.stream
        if request.path == "/trailers":
            served.respond(stream, b"abc", trailers=[("x-sum", "6")])
        elif request.path == "/early":
            served.headers(stream, [(":status", "103"), ("link", "</a>")])
            served.respond(stream)
        elif request.path == "/large":
            served.respond(stream, bytes(LARGE))
        elif request.path == "/empty":
            served.respond(stream, b"")
        elif request.header(":method") == "HEAD":
            served.headers(stream, [(":status", "200"), ("content-length", "42")], end=True)
        elif request.path.startswith("/seen"):
            lines = [f"{name}={value}" for name, value in request.heads[0] + request.trailers]
            served.respond(stream, "\n".join(lines).encode())
        else:
            served.respond(stream, request.body or b"ok")


@contextmanager
def proxied(
    script: H2Script = answer_by_path,
    start: bytes | None = None,
    *,
    give_room: bool = True,
    streams: int = 100,
    more: str = "",
    location: str = "",
) -> Iterator[Rig]:
    origin = h2_script(script, start, give_room=give_room)
    upstreams = upstream(streams, more)
    with running(origin, server="enabled_h2 = true", upstream=upstreams, location=location) as rig:
        yield rig
        assert "Traceback" not in rig.proxy.log
        assert rig.origin.errors == []


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with proxied() as rig:
        yield rig


@pytest.fixture
def own_rig() -> Iterator[Rig]:
    """A rig whose connections can be counted: in a shared one they may have been idle for long."""
    with proxied() as rig:
        yield rig


def test_requests_share_one_connection(own_rig: Rig) -> None:
    rig = own_rig
    with rig.connect() as one, rig.connect() as other, H2Client(rig.proxy) as third:
        for client in (one, other, one):
            assert client.get("/").body == b"ok"
        for number in range(1, 80, 2):
            third.headers(number, fields("GET", "/"))
        for number in range(1, 80, 2):
            assert third.finish(number).body == b"ok"
    assert rig.origin.connections == 1


def test_what_the_upstream_sees(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.request(
            "POST",
            "/seen?q=1",
            body=b"abc",
            headers={"Connection": "x-hop", "x-hop": "1", "X-Own": "2", "TE": "trailers"},
        )
        client.send(b"GET /seen HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        without_host = client.answer()
    assert answer.body.decode().split("\n") == [
        ":method=POST", ":scheme=http", ":authority=test", ":path=/seen?q=1",
        "x-own=2", "te=trailers", "content-length=3",
    ]  # fmt: skip
    assert b":authority=127.0.0.1" in without_host.body


def test_te_says_nothing_but_trailers(rig: Rig) -> None:
    with rig.connect() as client:
        assert b"\nte=trailers" in client.get("/seen", headers={"TE": "gzip;q=0.5, trailers"}).body
        assert b"\nte=" not in client.get("/seen", headers={"TE": "gzip"}).body


def test_bodies_of_any_size(rig: Rig) -> None:
    with rig.connect() as one, H2Client(rig.proxy) as other:
        for size in (0, 1, 16384, 16385, 200_000, LARGE):
            body = os.urandom(size)
            assert one.request("PUT", "/", body=body).body == (body or b"ok")
        assert one.get("/large").body == bytes(LARGE)
        assert one.get("/empty").body == b""
        other.headers(1, fields("GET", "/large"))
        assert other.finish(1).body == bytes(LARGE)


def test_a_head_alone(rig: Rig) -> None:
    with rig.connect() as client:
        answer = client.request("HEAD", "/")
        assert (answer.status, answer.header("content-length")) == (200, "42")
        assert client.get("/").body == b"ok"


def test_trailers_both_ways(rig: Rig) -> None:
    with rig.connect() as one, H2Client(rig.proxy) as other:
        one.send(
            b"POST /seen HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"
        )
        assert b"\nx-sum=6" in one.answer().body
        assert one.get("/trailers").trailers == [("x-sum", "6")]
        other.headers(1, fields("POST", "/seen", ("te", "trailers")), END_HEADERS)
        other.data(1, b"abc")
        other.headers(1, [("x-sum", "6")])
        assert b"te=trailers\nx-sum=6" in other.finish(1).body
        assert other.get(3, "/trailers").trailers == [("x-sum", "6")]


def test_interim_answers_pass(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        answer = client.get(1, "/early")
        assert [head[0] for head in answer.heads] == [(":status", "103"), (":status", "200")]
        assert answer.body == b"ok"


# How many streams.


@pytest.mark.parametrize(
    ("ours", "theirs", "connections"), [(1, None, 6), (2, None, 3), (100, 3, 2), (100, None, 1)]
)
def test_no_more_streams_than_both_sides_allow(
    ours: int, theirs: int | None, connections: int
) -> None:
    release = Event()
    most: list[int] = []

    def hold(served: H2Served) -> None:
        heads = []
        while (request := served.head()) is not None:
            heads.append(request)
            most.append(len(heads))
            if request.path == "/last":
                release.set()
            if release.is_set():
                for one in heads:
                    served.respond(one.stream)
                heads.clear()

    start = settings(max_concurrent_streams=theirs) if theirs else None
    with proxied(hold, start, streams=ours) as rig, H2Client(rig.proxy) as client:
        for number in range(1, 13, 2):
            client.headers(number, fields("GET", "/"))
        until(lambda: len(most) == 6)
        assert max(most) == 6 // connections
        assert rig.origin.connections == connections
        release.set()


# Requests that the upstream did nothing with.


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_stream_is_repeated(method: str) -> None:
    def refuse_first(served: H2Served) -> None:
        first = served.request()
        assert first is not None
        served.send(h2.reset(first.stream, h2.REFUSED_STREAM))
        answer_by_path(served)

    with proxied(refuse_first) as rig, rig.connect() as client:
        assert client.request(method, "/", body=b"abc").body == b"abc"
        assert "reset the stream: REFUSED_STREAM" in rig.proxy.wait_for_log("REFUSED_STREAM")
        assert rig.origin.connections == 1


def test_an_upstream_that_refuses_everything() -> None:
    refused: list[int] = []

    def refuse(served: H2Served) -> None:
        while (request := served.head()) is not None:
            refused.append(request.stream)
            served.send(h2.reset(request.stream, h2.REFUSED_STREAM))

    with proxied(refuse) as rig, rig.connect() as client:
        assert client.get("/").status == 502
        assert refused == [1, 3, 5, 7]


def test_a_body_too_long_to_be_kept_is_not_repeated() -> None:
    def refuse(served: H2Served) -> None:
        request = served.request()
        assert request is not None
        served.send(h2.reset(request.stream, h2.REFUSED_STREAM))
        served.goaway()

    with proxied(refuse) as rig, rig.connect() as client:
        assert client.request("PUT", "/", body=bytes(100_000)).status == 502


def test_goaway_in_the_middle() -> None:
    def leave(served: H2Served) -> None:
        if served.served.number > 1:
            answer_by_path(served)
            return
        one, other = served.head(), served.request()
        assert one is not None
        assert other is not None
        served.send(frame(h2.GOAWAY, 0, 0, struct.pack(">II", one.stream, 0)))
        served.respond(one.stream, b"first")
        assert served.goaway() is not None  # it closes the connection once that is answered

    with proxied(leave) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/"), END_HEADERS)
        client.headers(3, fields("POST", "/"), END_HEADERS)
        client.data(3, b"abc", end=True)
        assert client.finish(3).body == b"abc"
        assert client.finish(1).body == b"first"
        assert rig.origin.connections == 2


def test_a_kept_connection_that_died_is_replaced() -> None:
    killed = Event()

    def die(served: H2Served) -> None:
        if served.served.number == 1:
            request = served.request()
            assert request is not None
            served.respond(request.stream)
            served.request()  # and unanswered
            killed.set()
            return
        answer_by_path(served)

    with proxied(die) as rig, rig.connect() as client:
        assert client.get("/").status == 200
        assert client.get("/").status == 200
        assert killed.is_set()
        assert rig.origin.connections == 2


def test_a_request_that_may_have_been_processed_is_not_repeated() -> None:
    def die(served: H2Served) -> None:
        request = served.request()
        assert request is not None
        served.respond(request.stream)
        served.request()

    with proxied(die) as rig, rig.connect() as client:
        assert client.get("/").status == 200
        assert client.request("POST", "/", body=b"a").status == 502
        assert rig.origin.connections == 1


# Breaks.


def test_a_reset_before_and_within_the_answer() -> None:
    def reset(served: H2Served) -> None:
        while (request := served.request()) is not None:
            if request.path == "/":
                served.respond(request.stream)
                continue
            if request.path == "/late":
                served.headers(request.stream, [(":status", "200")])
                served.data(request.stream, b"abc")
            served.send(h2.reset(request.stream, h2.INTERNAL_ERROR))

    with proxied(reset) as rig, H2Client(rig.proxy) as client:
        assert client.get(1, "/early").status == 502
        assert client.get(3, "/late").reset == h2.INTERNAL_ERROR
        assert client.get(5, "/").status == 200
        assert "reset the stream: INTERNAL_ERROR" in rig.proxy.wait_for_log("INTERNAL_ERROR")
        assert rig.origin.connections == 1
        with rig.connect() as other:
            other.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
            answer_or_none(other)
            assert other.receive() == b""


def test_a_connection_that_ends_takes_all_its_answers_with_it() -> None:
    def die(served: H2Served) -> None:
        for number in range(2):
            request = served.request()
            assert request is not None
            if number == 0:
                served.headers(request.stream, [(":status", "200")])
                served.data(request.stream, b"abc")

    with proxied(die) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/"))
        client.read_until(h2.DATA)
        client.headers(3, fields("POST", "/"))
        assert client.finish(3).status == 502
        assert client.finish(1).reset == h2.INTERNAL_ERROR


def test_an_early_answer_arrives_although_the_connection_is_reset(tmp_path: Path) -> None:
    """As the kernel does if an upstream answers, and closes before it has read everything."""
    asked, go = Event(), Event()

    def early(served: H2Served) -> None:
        request = served.head()
        assert request is not None
        asked.set()
        assert go.wait(10)
        block = bytes(served._encoder.encode([(":status", "413")]))
        head = frame(h2.HEADERS, END_HEADERS, request.stream, block)
        served.send(head + frame(h2.DATA, END_STREAM, request.stream, b"enough"))
        served.served.reset()
        go.clear()

    script = h2_script(early, give_room=False)
    with (
        running_process(tmp_path, script, upstream=upstream()) as rig,
        rig.connect() as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        assert asked.wait(10)
        signal_workers(rig, SIGSTOP)  # so that it finds the body and the answer at once
        client.send(b"x" * 50_000)
        go.set()
        until(lambda: not go.is_set())
        signal_workers(rig, SIGCONT)
        answer = client.answer()
        assert (answer.status, answer.body) == (413, b"enough")


def _wrong(kind: str, served: H2Served, stream: int) -> None:
    if kind == "push":
        served.send(frame(h2.PUSH_PROMISE, END_HEADERS, stream, struct.pack(">I", 2)))
    elif kind == "too much":
        block = bytes(served._encoder.encode([(":status", "200"), ("content-length", "1")]))
        head = frame(h2.HEADERS, END_HEADERS, stream, block)
        served.send(head + frame(h2.DATA, END_STREAM, stream, b"abc"))
    elif kind == "too little":
        served.headers(stream, [(":status", "200"), ("content-length", "9")], end=True)
    elif kind == "no status":
        served.headers(stream, [("x-a", "1")], end=True)
    elif kind == "connection field":
        served.headers(stream, [(":status", "200"), ("connection", "close")], end=True)
    elif kind == "upper case":
        served.headers(stream, [(":status", "200"), ("X-A", "1")], end=True)
    elif kind == "101":
        served.headers(stream, [(":status", "101")])
    elif kind == "endless interim":
        for _ in range(40):
            served.headers(stream, [(":status", "103")])
    elif kind == "unknown stream":
        served.headers(stream + 100, [(":status", "200")], end=True)
    elif kind == "data first":
        served.data(stream, b"abc", end=True)
    elif kind == "large frame":
        served.send(frame(h2.DATA, 0, stream, bytes(20_000)))


@pytest.mark.parametrize(
    ("kind", "connection_ends"),
    [
        ("push", True), ("too much", False), ("too little", False), ("no status", False),
        ("connection field", False), ("upper case", False), ("101", False),
        ("endless interim", False), ("unknown stream", True), ("data first", True),
        ("large frame", True),
    ],
)  # fmt: skip
def test_an_upstream_that_breaks_the_protocol(kind: str, connection_ends: bool) -> None:
    goaways: list[h2.Frame | None] = []

    def break_it(served: H2Served) -> None:
        while (request := served.request()) is not None:
            if request.path == "/":
                served.respond(request.stream)
            else:
                _wrong(kind, served, request.stream)
                if connection_ends:
                    goaways.append(served.goaway())

    with proxied(break_it) as rig, rig.connect() as client:
        assert client.get("/wrong").status == 502
        assert client.get("/").status == 200
        assert rig.origin.connections == (2 if connection_ends else 1)
        if connection_ends:
            until(lambda: goaways)
            assert goaways[0] is not None
            assert goaways[0].code in (h2.PROTOCOL_ERROR, h2.FRAME_SIZE_ERROR)
        assert "broke the protocol" in rig.proxy.wait_for_log("broke the protocol")


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"", b"SSH-2.0-nothing\r\n"],
)
def test_an_upstream_that_does_not_speak_http2(answer: bytes) -> None:
    def other(served: Served) -> None:
        served.receive()
        served.send(answer)
        if answer.startswith(b"SSH"):
            served.receive()

    with running(other, upstream=upstream()) as rig, rig.connect() as client:
        assert client.get("/").status == 502
        rig.proxy.wait_for_log("HTTP/2")


def test_a_large_answer_does_not_wait_for_its_request() -> None:
    def early(served: H2Served) -> None:
        request = served.head()
        assert request is not None
        served.respond(request.stream, b"enough")
        served.read_until(lambda one: one.kind == h2.RST_STREAM)
        assert request.reset == h2.CANCEL
        answer_by_path(served)

    with proxied(early) as rig, rig.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        assert client.answer().body == b"enough"
        with rig.connect() as other:
            assert other.get("/").status == 200
        assert rig.origin.connections == 1


# Time limits.


def test_an_answer_that_does_not_come_in_time() -> None:
    ended: list[int | None] = []

    def slow(served: H2Served) -> None:
        while served.read_frame() is not None:
            for request in served.requests.values():
                if request.path == "/" and request.ended:
                    served.respond(request.stream)
                    request.heads[0] = [(":path", "/done")]
            ended[:] = [request.reset for request in served.requests.values()]

    with proxied(slow, more='read_timeout = "300ms"') as rig:
        with rig.connect() as one, rig.connect() as other:
            one.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            assert other.get("/").status == 200
            assert one.answer().status == 504
            until(lambda: h2.CANCEL in ended)
            assert one.get("/").status == 200
        assert "did not answer in time" in rig.proxy.wait_for_log("in time")


def test_a_request_that_is_not_taken_in_time() -> None:
    def take_nothing(served: H2Served) -> None:
        served.goaway()

    with proxied(take_nothing, give_room=False, more='write_timeout = "300ms"') as rig:
        with rig.connect() as client:
            assert client.request("PUT", "/", body=bytes(200_000)).status == 504
        rig.proxy.wait_for_log("did not take the request in time")


def test_an_idle_connection_is_closed() -> None:
    goaways: list[h2.Frame | None] = []

    def serve(served: H2Served) -> None:
        request = served.request()
        assert request is not None
        served.respond(request.stream)
        goaways.append(served.goaway())

    with proxied(serve, more='idle_timeout = "200ms"') as rig, rig.connect() as client:
        assert client.get("/").status == 200
        until(lambda: goaways)
        assert goaways[0] is not None
        assert goaways[0].code == h2.NO_ERROR


# Back-pressure, and clients that leave.


def test_a_client_that_takes_nothing_holds_up_only_itself() -> None:
    sent: list[int] = []

    def flood(served: H2Served) -> None:
        while (request := served.request()) is not None:
            if request.path == "/":
                served.respond(request.stream)
                continue
            served.headers(request.stream, [(":status", "200")])
            Thread(target=_flood, args=(served, request.stream, sent), daemon=True).start()

    def _flood(served: H2Served, stream: int, sent: list[int]) -> None:
        room = served._initial_room
        for _ in range(room // 16384):
            served.send(frame(h2.DATA, 0, stream, bytes(16384)))
        sent.append(stream)

    with proxied(flood) as rig, H2Client(rig.proxy) as greedy, rig.connect() as other:
        for number in range(1, 41, 2):  # 20 streams of 128 KiB: more than 2 MiB
            greedy.headers(number, fields("GET", "/flood"))
        until(lambda: len(sent) == 20)
        assert other.get("/").status == 200


def test_an_upstream_that_takes_nothing_makes_the_client_wait() -> None:
    go = Event()
    requests = []

    def wait(served: H2Served) -> None:
        request = served.head()
        assert request is not None
        requests.append(request)
        assert go.wait(10)
        served._give_room = True
        served.send(h2.window_update(0, 2**24) + h2.window_update(request.stream, 2**24))
        if not request.ended:
            served.request()
        served.respond(request.stream, str(len(request.body)).encode())
        served.goaway()

    with proxied(wait, give_room=False) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("PUT", "/"), END_HEADERS)
        size = 0
        while size < LARGE and size < 65535 + client.given.get(1, 0):
            client.data(1, bytes(16384))
            size += 16384
            if size + 16384 > 65535 + client.given.get(1, 0):
                break
        assert size < 1_000_000
        go.set()
        client.data(1, b"", end=True)
        assert client.finish(1).body == str(size).encode()


def test_a_client_that_leaves_resets_its_stream() -> None:
    resets: list[int | None] = []
    asked = Event()

    def hold(served: H2Served) -> None:
        request = served.head()
        assert request is not None
        asked.set()
        served.read_until(lambda one: one.kind == h2.RST_STREAM)
        resets.append(request.reset)
        answer_by_path(served)

    with proxied(hold) as rig, H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/hold"))
        assert asked.wait(10)
        client.send(h2.reset(1))
        until(lambda: resets == [h2.CANCEL])
        assert client.get(3).status == 200
        assert rig.origin.connections == 1


def test_many_clients_at_once(own_rig: Rig) -> None:
    rig = own_rig
    failures: list[str] = []

    def ask(number: int) -> None:
        with Client(("127.0.0.1", rig.proxy.port())) as client:
            for _ in range(5):
                body = os.urandom(number * 1000)
                if client.request("PUT", "/", body=body).body != (body or b"ok"):
                    failures.append(f"{number}")

    threads = [Thread(target=ask, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert rig.origin.connections == 1


def test_frames_cut_at_every_byte() -> None:
    def trickle(served: H2Served) -> None:
        request = served.request()
        assert request is not None
        block = bytes(served._encoder.encode([(":status", "200"), ("x-a", "1")]))
        sent = frame(h2.HEADERS, 0, 1, block[:2]) + frame(
            h2.CONTINUATION, END_HEADERS, 1, block[2:]
        )
        sent += frame(h2.DATA, h2.PADDED, 1, b"\x01abc\0") + frame(h2.DATA, END_STREAM, 1, b"d")
        for place in range(len(sent)):
            served.send(sent[place : place + 1])
        served.goaway()

    with proxied(trickle) as rig, rig.connect() as client:
        answer = client.get("/")
        assert (answer.header("x-a"), answer.body) == ("1", b"abcd")


# TLS.

ROOT = issue(ca=True, common_name="root")


@contextmanager
def by_tls(folder: Path, alpn: str, offered: list[str], script: Script) -> Iterator[Rig]:
    own = issue("origin.test", by=ROOT).write(folder, "own")
    root = folder / "root.pem"
    root.write_text(ROOT.cert)
    with TlsOrigin(own, script) as origin:
        origin.context.set_alpn_protocols(offered)
        more = f'alpn = "{alpn}"\nmax_h2_streams = 10\nsni = "origin.test"\nupstream_ca = "{root}"'
        with Proxy(configure(origin.addr, upstream=more)) as proxy:
            yield Rig(proxy, origin)


@pytest.mark.parametrize("alpn", ["H2", "H2H1"])
def test_http2_by_alpn(tmp_path: Path, alpn: str) -> None:
    script = h2_script(answer_by_path)
    with by_tls(tmp_path, alpn, ["h2", "http/1.1"], script) as rig, rig.connect() as client:
        assert b":scheme=https" in client.get("/seen").body
        assert client.get("/large").body == bytes(LARGE)
        assert rig.origin.connections == 1


def test_an_upgrade_goes_by_http1_beside_http2(tmp_path: Path) -> None:
    by_http2 = h2_script(answer_by_path)

    def either(served: Served) -> None:
        assert isinstance(served.sock, ssl.SSLSocket)
        if served.sock.selected_alpn_protocol() == "h2":
            by_http2(served)
            return
        request = served.read_request()
        assert request is not None
        assert request.header("upgrade") == "mirror"
        served.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: mirror\r\n\r\n")
        while data := served.receive():
            served.send(data[::-1])

    with by_tls(tmp_path, "H2H1", ["h2", "http/1.1"], either) as rig, rig.connect() as client:
        assert b":scheme=https" in client.get("/seen").body
        with rig.connect() as upgraded:
            upgraded.send(
                b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: mirror\r\n\r\n"
            )
            assert upgraded.read_head().status == 101
            upgraded.send(b"abc")
            assert upgraded.read_exactly(3) == b"cba"
            assert b":scheme=https" in client.get("/seen").body
        assert rig.origin.connections == 2


@pytest.mark.parametrize("offered", [["http/1.1"], []])
def test_http1_if_alpn_says_so(tmp_path: Path, offered: list[str]) -> None:
    with by_tls(tmp_path, "H2H1", offered, echo) as rig, rig.connect() as client:
        for _ in range(3):
            assert client.request("PUT", "/", body=b"abc").body == b"abc"
        assert rig.origin.connections == 1


@pytest.mark.parametrize("offered", [["http/1.1"], []])
def test_http2_is_wanted_and_not_offered(tmp_path: Path, offered: list[str]) -> None:
    with by_tls(tmp_path, "H2", offered, echo) as rig, rig.connect() as client:
        for _ in range(3):
            assert client.request("PUT", "/", body=b"abc").body == b"abc"
            with rig.connect() as another:
                assert another.get("/").status == 200
        rig.proxy.wait_for_log("does not offer HTTP/2 (ALPN h2): HTTP/1.1 is used")
        assert rig.proxy.log.count("does not offer HTTP/2") == 1


# What takes too long to wait for: in this process, whose clock can be moved.


@pytest.mark.parametrize("alive", [True, False])
def test_a_silent_upstream_is_asked_for_a_sign_of_life(clock: Clock, alive: bool) -> None:
    asked, pinged = Event(), Event()

    def silent(served: H2Served) -> None:
        request = served.request()
        assert request is not None
        asked.set()
        if not alive:
            served.answer_pings = False
        assert served.read_until(lambda one: one.kind == h2.PING) is not None
        pinged.set()
        if alive:
            served.respond(request.stream)
        served.goaway()

    with ExitStack() as stack:
        origin = stack.enter_context(Upstream(h2_script(silent)))
        toml = configure(origin.addr, upstream=upstream())
        client = stack.enter_context(stack.enter_context(Proxy(toml)).connect())
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert asked.wait(10)
        clock.advance(PING_SECONDS + 1)
        assert pinged.wait(10)
        if not alive:
            clock.advance(ANSWER_SECONDS + 1)
        assert client.answer().status == (200 if alive else 502)


def test_a_connection_on_which_many_streams_were_reset_is_replaced() -> None:
    """So that the upstream does not take it for an attack, and end it for everybody."""
    resets: list[int] = []

    def script(origin: H2Served) -> None:
        while (request := origin.head()) is not None:
            if request.path == "/stays":
                origin.headers(request.stream, [(":status", "200")])
            resets.append(sum(one.kind == h2.RST_STREAM for one in origin.seen))

    upstream = 'alpn = "H2"\nmax_h2_streams = 20'
    with (
        running(h2_script(script), upstream=upstream, server="enabled_h2 = true") as rig,
        H2Client(rig.proxy) as other,
        H2Client(rig.proxy) as client,
    ):
        other.headers(1, h2.fields("GET", "/stays"))
        other.read_until(h2.HEADERS, 1)
        for stream in range(1, 301, 2):
            client.headers(stream, h2.fields("GET", "/aborted"))
            until(lambda stream=stream: len(resets) > stream // 2 + 1)  # type: ignore[misc]
            client.send(h2.reset(stream))
        assert rig.origin.connections > 2
        assert max(resets) <= 50
        assert not other.answers[1].ended
        assert other.answers[1].reset is None


@pytest.mark.parametrize("end", ["reset", "close", "goaway"])
def test_an_answer_that_is_complete_here_is_not_thrown_away(end: str) -> None:
    """RFC 9113, 8.1: also if the upstream resets the stream, or leaves, while the client is slow."""
    ended = Event()

    def script(served: H2Served) -> None:
        request = served.head()
        assert request is not None
        served.respond(request.stream, bytes(100_000))
        if end == "reset":
            served.send(h2.reset(request.stream, h2.NO_ERROR))
        elif end == "goaway":
            served.send(frame(h2.GOAWAY, 0, 0, bytes(8)))
        if end == "reset":
            served.send(frame(h2.PING, 0, 0, bytes(8)))
            served.read_until(lambda one: one.kind == h2.PING)
        ended.set()

    with proxied(script) as rig:
        start = h2.PREFACE + settings(initial_window_size=10)
        with H2Client(rig.proxy, start) as client:
            client.headers(1, fields("POST"), END_HEADERS)
            client.read_until(h2.DATA)
            assert ended.wait(10)
            if end != "reset":
                until(lambda: not established(rig), "the proxy keeps the connection")
            answer = client.finish_with_room(1)
            assert (answer.reset, len(answer.body)) == (None, 100_000)


def established(rig: Rig) -> bool:
    """Tell whether a connection to the origin is open."""
    port = f":{rig.origin.port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[2].endswith(port) and line.split()[3] == "01" for line in lines)
