"""Upstreams that are away, slow, gone idle or more than one; connections that are kept."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from threading import Barrier, Event

import pytest
from support import network
from support.origin import echo
from support.rig import configure, read_to_end, running, running_process, signal_workers
from support.waiting import until

from pingap.testing import Proxy, Served, Upstream
from pingap.upstream.retrying.retries import MOST_REFUSALS


def named(name: bytes) -> object:
    def script(served: Served) -> None:
        while served.read_request() is not None:
            served.respond(name)

    return script


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that refuses connections: bound, not listening."""
    with network.refusing_port() as port:
        yield port


def start(*addrs: str, **settings: str) -> Proxy:
    settings.setdefault("server", 'access_log = "tiny"')
    return Proxy(configure(*addrs, **settings))


def test_an_upstream_that_refuses_is_answered_with_502(free_port: int) -> None:
    with start(f"127.0.0.1:{free_port}") as proxy, proxy.connect() as client:
        for _ in range(2):
            answer = client.request("GET", "/")
            assert (answer.status, answer.complete) == (502, True)
            assert str(free_port).encode() not in answer.body
        log = proxy.wait_for_log("GET / 502")
        assert f"origin(127.0.0.1:{free_port})" in log
        assert " ERROR " not in log


@pytest.fixture
def full_backlog() -> Iterator[socket.socket]:
    """A listener that answers no SYN: its backlog is full."""
    with network.full_backlog() as listener:
        yield listener


def test_an_upstream_that_does_not_accept_is_answered_with_504(full_backlog: socket.socket) -> None:
    port = full_backlog.getsockname()[1]
    upstream = 'connection_timeout = "300ms"'
    with start(f"127.0.0.1:{port}", upstream=upstream) as proxy:
        with proxy.connect() as client:
            assert client.get("/").status == 504
        with proxy.connect() as client:
            assert client.request("POST", "/", body=b"abc").status == 504
        proxy.wait_for_log("did not accept a connection in time (ConnectTimedout)")


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_upstream_that_does_not_answer_is_answered_with_504(first: bytes) -> None:
    left = Event()

    def script(served: Served) -> None:
        served.read_request()
        served.send(first)
        read_to_end(served)
        left.set()

    with (
        running(script, upstream='read_timeout = "300ms"') as rig,
        rig.connect() as client,
    ):
        assert client.get("/").status == 504
        assert left.wait(5)
        assert rig.origin.connections == 1  # not tried again
        rig.proxy.wait_for_log("did not answer in time (ReadTimedout)")


def test_an_upstream_that_stops_in_the_middle_is_cut() -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        read_to_end(served)

    with (
        running(script, upstream='read_timeout = "300ms"') as rig,
        rig.connect() as client,
    ):
        answer = client.get("/")
        assert (answer.body, answer.complete) == (b"abc", False)


def test_an_answer_may_take_longer_than_the_time_between_its_pieces() -> None:
    go = [Event() for _ in range(6)]

    def script(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for event in go:
            event.wait(0.3)
            served.send(b"x")
        served.receive()

    with (
        running(script, upstream='read_timeout = "1s"') as rig,
        rig.connect() as client,
    ):
        assert client.get("/").body == b"xxxxxx"


def test_a_slow_upload_is_no_upstream_that_does_not_answer() -> None:
    with (
        running(upstream='read_timeout = "300ms"') as rig,
        rig.connect() as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        client.sock.settimeout(0.1)
        for _ in range(10):
            client.send(b"x")
            with suppress(TimeoutError):
                client.unread += client.sock.recv(65536)
        client.sock.settimeout(10)
        assert client.answer().status == 200


def test_an_upstream_that_does_not_take_the_request_is_answered_with_504() -> None:
    end = Event()

    def script(served: Served) -> None:
        served.read_head()
        end.wait(10)

    with (
        running(script, upstream='write_timeout = "300ms"') as rig,
        rig.connect() as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        client.sock.settimeout(0.5)
        with suppress(OSError):
            while True:
                client.send(b"x" * 100_000)
        client.sock.settimeout(10)
        assert client.answer().status == 504
        end.set()
        rig.proxy.wait_for_log("did not take the request in time (WriteTimedout)")


# Connections that died while they were idle.


def dying(served: Served) -> None:
    """Answer once, and leave at the second request without a word."""
    if served.read_request() is not None:
        served.respond(b"first")
        if served.read_head() is not None:
            read_to_end_if_asked(served)


def read_to_end_if_asked(served: Served) -> None:
    with suppress(ValueError, TimeoutError):
        served.sock.settimeout(0.05)
        served.sock.recv(65536)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_an_idempotent_request_is_repeated_if_a_kept_connection_had_ended(method: str) -> None:
    with running(dying) as rig, rig.connect() as client:
        assert client.get("/1").status == 200
        answer = client.request(method, "/2", body=b"body" if method == "PUT" else b"")
        assert answer.status == 200
        assert [request.target for request in rig.origin.requests] == ["/1", "/2", "/2"]
        if method == "PUT":
            assert rig.origin.requests[-1].body == b"body"
            assert rig.origin.requests[-1].header_all("content-length") == ["4"]
        assert rig.origin.connections == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_other_requests_are_not_repeated(method: str) -> None:
    with running(dying) as rig, rig.connect() as client:
        assert client.get("/1").status == 200
        assert client.request(method, "/2", body=b"body").status == 502
        assert [request.target for request in rig.origin.requests] == ["/1", "/2"]


def test_a_request_is_repeated_only_once() -> None:
    def script(served: Served) -> None:
        served.read_request()
        if served.number == 1:
            served.respond(b"first")
            served.read_request()

    with running(script) as rig, rig.connect() as client:
        assert client.get("/1").status == 200
        assert client.get("/2").status == 502
        assert len(rig.origin.requests) == 3


def test_a_request_is_not_repeated_once_an_answer_began() -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.respond(b"first")
        served.read_request()
        served.send(b"HTTP/1.1 200")

    with running(script) as rig, rig.connect() as client:
        assert client.get("/1").status == 200
        assert client.get("/2").status == 502
        assert len(rig.origin.requests) == 2


def test_a_connection_that_the_upstream_closed_is_not_used_again() -> None:
    closed = Event()

    def script(served: Served) -> None:
        served.read_request()
        served.respond(b"only", headers={"Connection": "keep-alive"})
        served.sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    with running(script) as rig, rig.connect() as client:
        for _ in range(10):  # a POST must not fail because of the one before
            assert client.get("/").status == 200
            assert closed.wait(5)
            until(lambda: _has_no_upstream_connection(rig))
            assert client.request("POST", "/", body=b"x").status == 200
            until(lambda: _has_no_upstream_connection(rig))


def test_a_connection_that_the_upstream_closes_in_the_same_turn_is_not_used_again(
    tmp_path: Path,
) -> None:
    """Its end is read before the request, but the transport tells only afterwards that it is lost."""
    go, closed = Event(), Event()

    def script(served: Served) -> None:
        served.read_request()
        served.respond()
        if served.number == 1:
            assert go.wait(10)
            served.sock.shutdown(socket.SHUT_RDWR)
            closed.set()

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        assert client.get("/").status == 200
        signal_workers(rig, SIGSTOP)  # so that it finds the end and the request at once
        go.set()
        assert closed.wait(5)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        signal_workers(rig, SIGCONT)
        assert client.answer().status == 200


@pytest.mark.parametrize("body", [b"x", b""])
def test_a_connection_that_breaks_in_the_same_turn_is_not_sent_a_request_that_must_not_be_repeated(
    tmp_path: Path, body: bytes
) -> None:
    go, broken = Event(), Event()

    def script(served: Served) -> None:
        served.read_request()
        served.respond()
        if served.number == 1:
            assert go.wait(10)
            served.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            served.sock.close()
            broken.set()

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        assert client.get("/").status == 200
        signal_workers(rig, SIGSTOP)
        go.set()
        assert broken.wait(5)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.send(head + body)
        signal_workers(rig, SIGCONT)
        assert client.answer().status == 200


@pytest.mark.parametrize("body", [b"x", b""])
def test_many_connections_that_break_in_one_turn_do_not_lose_a_request(
    tmp_path: Path, body: bytes
) -> None:
    """More of them than a request is given back."""
    kept = MOST_REFUSALS + 2
    together, go, broken = Barrier(kept), Event(), Barrier(kept + 1)

    def script(served: Served) -> None:
        served.read_request()
        if served.number > kept:
            served.respond()
            return
        together.wait(10)
        served.respond()
        assert go.wait(10)
        served.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        served.sock.close()
        broken.wait(10)

    with running_process(tmp_path, script) as rig, ExitStack() as stack:
        clients = [stack.enter_context(rig.connect()) for _ in range(kept)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [client.answer().status for client in clients] == [200] * kept
        signal_workers(rig, SIGSTOP)
        go.set()
        broken.wait(10)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.send(head + body)
        signal_workers(rig, SIGCONT)
        assert client.answer().status == 200


def _has_no_upstream_connection(rig: object) -> bool:
    port = f":{rig.origin.port:04X}"  # type: ignore[attr-defined]
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    # 01: established, 08: the other side has closed.
    return not any(
        line.split()[2].endswith(port) and line.split()[3] in ("01", "08") for line in lines
    )


def test_an_upload_that_is_repeated_is_whole() -> None:
    """The client goes on sending while the second connection is being made."""
    first, rest = b"a" * 60_000, b"b" * 20_000
    received = b""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        listener.settimeout(10)
        proxy = stack.enter_context(start(f"127.0.0.1:{listener.getsockname()[1]}"))
        client = stack.enter_context(proxy.connect())
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        kept, _ = listener.accept()
        kept.settimeout(10)
        kept.recv(65536)
        kept.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert client.answer().status == 200
        waiting = []
        for _ in range(3):  # fill the backlog: the next connection takes a second
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listener.getsockname())
            waiting.append(one)
        head = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head + b"%x\r\n%b\r\n" % (len(first), first))
        while not received.endswith(b"aaa\r\n"):
            received += kept.recv(65536)
        kept.close()
        proxy.wait_for_log("(ConnectionClosed)")  # found out by reading, or by writing
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        for one in waiting:
            one.close()
        body = b""
        while b"0\r\n\r\n" not in body:
            sock, _ = listener.accept()
            stack.enter_context(sock)
            sock.settimeout(2)
            with suppress(TimeoutError, ConnectionResetError):
                while data := sock.recv(65536):
                    body += data
                    if body.endswith(b"0\r\n\r\n"):
                        break
        assert body.startswith(b"PUT ")
        chunks = re.sub(rb"\r\n(?:[0-9a-f]+\r\n)?", b"", b"\r\n" + body.partition(b"\r\n\r\n")[2])
        assert (chunks.count(b"a"), chunks.count(b"b")) == (60_000, 20_000)


# More than one backend.


def test_a_backend_that_refuses_is_passed_over(free_port: int) -> None:
    with (
        Upstream(echo) as origin,
        start(f"127.0.0.1:{free_port}", origin.addr, location="max_retries = 1") as proxy,
        proxy.connect() as client,
    ):
        for number in range(6):
            assert client.request("POST", "/", body=b"%d" % number).body == b"%d" % number
        assert [request.body for request in origin.requests] == [b"%d" % n for n in range(6)]


def test_without_retries_a_backend_that_refuses_is_an_error(free_port: int) -> None:
    with (
        Upstream(echo) as origin,
        start(f"127.0.0.1:{free_port}", origin.addr) as proxy,
        proxy.connect() as client,
    ):
        assert sorted(client.get("/").status for _ in range(6)) == [200] * 3 + [502] * 3


def test_retries_end(free_port: int) -> None:
    with (
        start(f"127.0.0.1:{free_port}", location="max_retries = 3") as proxy,
        proxy.connect() as client,
    ):
        assert client.get("/").status == 502
        assert proxy.wait_for_log("GET / 502").count("cannot be reached") == 4


def test_backends_get_requests_by_their_weight() -> None:
    with ExitStack() as stack:
        origins = [stack.enter_context(Upstream(named(name))) for name in (b"a", b"b", b"c")]  # type: ignore[arg-type]
        addrs = [
            f"{origin.addr} {weight}" for origin, weight in zip(origins, (5, 2, 1), strict=True)
        ]
        proxy = stack.enter_context(start(*addrs))
        client = stack.enter_context(proxy.connect())
        answers = b"".join(client.get("/").body for _ in range(16))
    assert [answers.count(name) for name in (b"a", b"b", b"c")] == [10, 4, 2]
    assert b"aaaa" not in answers


# Connections that are kept.


def test_the_pool_is_bounded() -> None:
    go = Event()

    def script(served: Served) -> None:
        while served.read_request() is not None:
            go.wait(10)
            served.respond()
        closed.append(1)

    closed: list[int] = []
    with (
        running(script, basic="upstream_keepalive_pool_size = 2") as rig,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(rig.connect()) for _ in range(6)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: len(rig.origin.requests) == 6)
        go.set()
        assert [client.answer().status for client in clients] == [200] * 6
        until(lambda: len(closed) == 4)
        assert clients[0].get("/").status == 200
        assert rig.origin.connections == 6


def test_idle_connections_are_closed() -> None:
    closed = Event()

    def script(served: Served) -> None:
        served.read_request()
        served.respond()
        read_to_end(served)
        closed.set()

    with (
        running(script, upstream='idle_timeout = "300ms"') as rig,
        rig.connect() as client,
    ):
        assert client.get("/").status == 200
        assert closed.wait(5)
        assert client.request("POST", "/", body=b"x").status == 200


def test_a_request_that_was_not_sent_whole_does_not_leave_its_connection_behind() -> None:
    """The upstream answers before the body; the rest of it must not be the next request."""

    def script(served: Served) -> None:
        while served.read_head() is not None:
            served.respond(b"early")

    with running(script) as rig:
        with rig.connect() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
            assert client.answer().body == b"early"
            client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.is_closed()
        with rig.connect() as client:
            assert client.get("/next").body == b"early"
        assert [request.target for request in rig.origin.requests] == ["/", "/next"]
        assert rig.origin.connections == 2


def test_an_upstream_that_ends_new_connections_at_once_is_answered_with_502() -> None:
    with running(lambda served: None) as rig, rig.connect() as client:
        assert {client.get("/").status for _ in range(50)} == {502}
        assert "bug in pingap" not in rig.proxy.log
