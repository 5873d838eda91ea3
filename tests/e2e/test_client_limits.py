"""Every limit of a client, and the answer to one who passes it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event

import pytest
from support import h2
from support.h2 import H2Client, fields
from support.rig import Rig, answer_or_none, resident, running, running_process
from support.waiting import until

from pingap.downstream.listener import MOST_TURNED_AWAY
from pingap.testing import Client, Served

SHORT = """
head_read_timeout = "300ms"
downstream_read_timeout = "300ms"
keepalive_timeout = "300ms"
access_log = "tiny"
"""


@pytest.fixture(scope="module")
def impatient() -> Iterator[Rig]:
    with running(server=SHORT) as rig:
        yield rig
        assert " ERROR " not in rig.proxy.log


def seconds_until_closed(client: Client) -> float:
    began = time.monotonic()
    assert client.is_closed()
    return time.monotonic() - began


def stays_silent(client: Client, seconds: float) -> None:
    """Wait, during which nothing may come."""
    readable, _, _ = select.select([client.sock], [], [], seconds)
    assert not readable, client.receive()


def test_a_connection_without_a_request_is_closed(impatient: Rig) -> None:
    with impatient.connect() as client:
        assert 0.2 < seconds_until_closed(client) < 5


def test_an_idle_connection_is_closed(impatient: Rig) -> None:
    with impatient.connect() as client:
        client.get("/")
        assert 0.2 < seconds_until_closed(client) < 5


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r"])
def test_a_head_that_does_not_come_is_answered_with_408(impatient: Rig, part: bytes) -> None:
    with impatient.connect() as client:
        client.send(part)
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (408, "close")
        assert answer.header("x-pingap-etype") == "ReadTimedout"
        assert client.is_closed()


def test_a_head_that_trickles_does_not_get_more_time(impatient: Rig) -> None:
    with impatient.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        client.sock.settimeout(0.05)
        began = time.monotonic()
        data = b""
        while not data and time.monotonic() < began + 5:
            with suppress(TimeoutError):
                data = client.sock.recv(65536)
            if not data:
                client.send(b"X: y\r\n")
        assert data.startswith(b"HTTP/1.1 408 ")


def test_empty_lines_do_not_keep_a_connection_open(impatient: Rig) -> None:
    with impatient.connect() as client:
        client.sock.settimeout(0.05)
        began = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() < began + 5:
                client.send(b"\r\n")
                with suppress(TimeoutError):
                    if not client.sock.recv(100):
                        break
        assert time.monotonic() < began + 5


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_answered_with_408(impatient: Rig, framing: bytes) -> None:
    with impatient.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (408, "close")
        assert answer.header("x-pingap-etype") == "ReadTimedout"
        assert client.is_closed()


def test_a_body_may_take_its_time_as_long_as_it_comes(impatient: Rig) -> None:
    with impatient.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
        for _ in range(11):
            client.send(b"x")
            stays_silent(client, 0.05)
        client.send(b"x")
        assert client.answer().status == 200


def test_a_408_is_logged_and_no_error(impatient: Rig) -> None:
    with impatient.connect() as client:
        client.send(b"POST /too-slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        assert client.answer().status == 408
    impatient.proxy.wait_for_log("POST /too-slow 408")


def test_an_upstream_that_thinks_is_no_client_that_is_slow() -> None:
    go = Event()

    def script(served: Served) -> None:
        while served.read_request() is not None:
            go.wait(10)
            served.respond()

    with running(script, server=SHORT) as rig, rig.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        stays_silent(client, 1.2)  # four times each limit
        go.set()
        assert client.answer().status == 200


def big(size: int) -> object:
    def script(served: Served) -> None:
        while served.read_request() is not None:
            served.respond(b"x" * size)

    return script


def narrow(rig: Rig) -> Client:
    """Return a client that takes little at a time."""
    sock = socket.socket()
    sock.settimeout(10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", rig.proxy.port()))
    return Client(sock)


def test_a_client_that_does_not_read_is_cut() -> None:
    closed = Event()

    def script(served: Served) -> None:
        served.read_request()
        with suppress(OSError):
            served.respond(b"x" * 50_000_000)
        closed.set()

    with (
        running(script, server='downstream_write_timeout = "300ms"') as rig,
        narrow(rig) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert closed.wait(5), "the upstream still waits"
        answer = answer_or_none(client)
        assert answer is None or not answer.complete
    assert rig.origin.errors == []


def test_a_client_that_reads_slowly_is_not_cut() -> None:
    size = 8_000_000
    with (
        running(big(size), server='downstream_write_timeout = "500ms"') as rig,  # type: ignore[arg-type]
        rig.connect() as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        got, began = 0, time.monotonic()
        while got < size:
            data = client.receive()
            assert data, f"cut after {got} bytes"
            got += len(data)
            while time.monotonic() < began + 2 * got / size:  # two seconds in all
                time.sleep(0.001)
        assert got == size


def test_a_client_that_does_not_read_the_end_is_cut(tmp_path: Path) -> None:
    """Also when so little is left that the transport did not ask for a pause."""
    sizes = iter(range(100_000, 4_000_000, 20_000))

    def script(served: Served) -> None:
        while served.read_request() is not None:
            with suppress(OSError):
                served.respond(b"x" * next(sizes))

    with (
        running_process(tmp_path, script, server='downstream_write_timeout = "300ms"') as rig,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(narrow(rig)) for _ in range(190)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        until(lambda: _open_connections(rig, clients) == 0)


def _open_connections(rig: Rig, clients: list[Client]) -> int:
    """Count the sockets that the proxy still holds for these clients."""
    ports = {client.sock.getsockname()[1] for client in clients}
    inodes = set()
    for link in Path(f"/proc/{rig.proxy.workers[0]}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(link.readlink().name)
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        remote = int(fields[2].rpartition(":")[2], 16)
        if remote in ports and f"socket:[{fields[9]}]" in inodes:
            count += 1
    return count


def test_keepalive_requests_end_a_connection() -> None:
    with running(server="keepalive_requests = 3") as rig, rig.connect() as client:
        assert [client.get("/").header("connection") for _ in range(3)] == [None, None, "close"]
        assert client.is_closed()


def test_too_many_connections_are_answered_with_503() -> None:
    with running(basic="max_connections = 2") as rig:
        with rig.connect() as first, rig.connect() as second:
            assert [client.get("/").status for client in (first, second)] == [200, 200]
            with rig.connect() as third:
                answer = third.answer()
                assert (answer.status, answer.header("connection")) == (503, "close")
                assert third.is_closed()
            assert first.get("/").status == 200

        def is_free() -> bool:
            with rig.connect() as client:
                return client.get("/").status == 200

        until(is_free, "closed connections still count")


def test_a_connection_that_is_one_too_many_gets_one_answer() -> None:
    with running(basic="max_connections = 1") as rig, rig.connect() as first:
        assert first.get("/").status == 200
        with rig.connect() as second:
            with suppress(OSError):
                second.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert second.answer().status == 503
            assert answer_or_none(second) is None


@pytest.mark.parametrize("server", ["enabled_h2 = true", ""])
@pytest.mark.parametrize("sent", [b"", b"P", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_one_too_many_that_speaks_http1_or_nothing(server: str, sent: bytes) -> None:
    with (
        running(basic="max_connections = 1", server=server) as rig,
        rig.connect() as first,
    ):
        assert first.get("/").status == 200
        with rig.connect() as second:
            with suppress(OSError):
                second.send(sent)
            assert second.answer().status == 503
            assert answer_or_none(second) is None
        assert first.get("/").status == 200


def test_one_too_many_that_speaks_http2_is_told_so() -> None:
    basic, server = "max_connections = 1", "enabled_h2 = true"
    with running(basic=basic, server=server) as rig, H2Client(rig.proxy) as first:
        assert first.get(1).status == 200
        with H2Client(rig.proxy) as second:
            second.headers(1, fields())
            assert second.goaway() == h2.NO_ERROR
            assert second.seen[0].kind == h2.SETTINGS
            assert second.goaways[-1].payload[:4] == bytes(4), "no stream was looked at"
        assert first.get(3).status == 200


def test_of_many_that_are_too_many_few_are_waited_for() -> None:
    basic, server = "max_connections = 1", "enabled_h2 = true"
    with running(basic=basic, server=server) as rig, ExitStack() as stack:
        began = time.monotonic()
        waiting = [stack.enter_context(rig.connect()) for _ in range(MOST_TURNED_AWAY + 2)]
        assert waiting[-1].answer().status == 503
        assert time.monotonic() - began < 10


@pytest.fixture(scope="module")
def small() -> Iterator[Rig]:
    with running(
        location='client_max_body_size = "10b"',
        server='pipeline_buffer_size = "1kb"',
    ) as rig:
        yield rig


def test_a_body_that_is_announced_too_large_is_answered_with_413(small: Rig) -> None:
    before = small.origin.connections
    with small.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (413, "close")
        assert client.is_closed()
    assert small.origin.connections == before


def test_a_body_that_turns_out_too_large_is_answered_with_413(small: Rig) -> None:
    with small.connect() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
        )
        client.send(b"6\r\nabcdef\r\n")
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (413, "close")
        assert client.is_closed()


def test_a_body_of_the_largest_size_passes(small: Rig) -> None:
    with small.connect() as client:
        assert client.request("POST", "/", body=b"x" * 10).body == b"x" * 10
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n")
        assert client.answer().status == 200


def test_a_413_that_was_read_whole_does_not_end_the_connection_in_the_middle(small: Rig) -> None:
    with small.connect() as client:
        answer = client.request("POST", "/", body=b"x" * 11)
        assert answer.status == 413
        if answer.header("connection") is None:
            assert client.get("/").status == 200


def test_a_head_may_be_larger_than_the_buffer_for_pipelining() -> None:
    server = 'pipeline_buffer_size = "1kb"\nhead_read_timeout = "1s"'
    with running(server=server) as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2000)
        stays_silent(client, 0.2)
        client.send(b"\r\n\r\n")
        assert client.answer().status == 200


def test_too_many_requests_at_once_are_answered_with_429() -> None:
    go = Event()

    def script(served: Served) -> None:
        while served.read_request() is not None:
            go.wait(10)
            served.respond()

    with (
        running(script, location="max_processing = 2") as rig,
        rig.connect() as first,
        rig.connect() as second,
        rig.connect() as third,
    ):
        for client in (first, second):
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: len(rig.origin.requests) == 2)
        assert third.get("/").status == 429
        go.set()
        assert [first.answer().status, second.answer().status] == [200, 200]
        assert third.get("/").status == 200


def test_pipelined_requests_wait_in_the_network_not_in_memory(tmp_path: Path) -> None:
    go = Event()

    def script(served: Served) -> None:
        while served.read_request() is not None:
            go.wait(20)
            served.respond()

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        assert _flood(rig, client) < 20_000_000
        go.set()


def test_requests_of_a_client_that_does_not_read_wait_in_the_network_not_in_memory(
    tmp_path: Path,
) -> None:
    with running_process(tmp_path, big(5000)) as rig, rig.connect() as client:  # type: ignore[arg-type]
        assert _flood(rig, client) < 20_000_000


def _flood(rig: Rig, client: Client) -> int:
    """Send requests until nobody takes them; return by how many bytes the proxy grew."""
    before = resident(rig.proxy)
    requests = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 1000 + b"\r\n\r\n"
    client.sock.settimeout(1)
    with suppress(TimeoutError):
        for _ in range(60):
            client.send(requests * 1000)
            if resident(rig.proxy) - before > 40_000_000:
                break
    return resident(rig.proxy) - before


def test_a_large_answer_behind_small_ones_waits_for_the_client() -> None:
    """The client is full before the last request has an answer whose source could wait."""
    sent = [0]

    def script(served: Served) -> None:
        if served.read_request() is not None:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n")
            with suppress(OSError):
                while not served.stopping.is_set() and sent[0] < 100_000_000:
                    served.send(b"x" * 100_000)
                    sent[0] += 100_000

    data = "s" * 20_000
    more = (
        f'[plugins.m]\ncategory = "mock"\ndata = "{data}"\n'
        '[locations.small]\npath = "/small"\nplugins = ["m"]\n'
    )
    with (
        running(script, locations='"small", ', more=more) as rig,
        narrow(rig) as client,
    ):
        client.send(
            b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n" * 400
            + b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        time.sleep(2)
        assert sent[0] < 40_000_000


def test_a_body_that_stops_after_the_client_was_full_has_its_time_limit() -> None:
    """The limit for the body is set again when the client has taken what was sent."""

    def script(served: Served) -> None:
        if served.read_head() is not None:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6000000\r\n\r\n" + b"x" * 5_000_000)
            served.stopping.wait(10)

    server = 'downstream_read_timeout = "500ms"\ndownstream_write_timeout = "5s"'
    with running(script, server=server) as rig, narrow(rig) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        with suppress(OSError):  # a reset is as good as an end
            while client.receive():
                pass
