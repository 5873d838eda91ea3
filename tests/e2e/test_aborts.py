"""Either side leaves in the middle."""

from __future__ import annotations

import select
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from support.rig import Rig, running, running_process
from support.waiting import until

from pingap.downstream import http1_connection
from pingap.testing import Client, Served

PROBE = 0.5
"""Seconds after which a client that ended its side is first looked for (``PROBE_SECONDS``)."""


class Watching:
    """An origin that sends what it is told, and notices when the proxy leaves."""

    def __init__(self) -> None:
        self.first = b""
        self.asked: dict[str, Event] = defaultdict(Event)
        self.left: dict[str, Event] = defaultdict(Event)
        self.end = Event()

    def __call__(self, served: Served) -> None:
        request = served.read_head()
        if request is None:
            return
        served.send(self.first)
        self.asked[request.target].set()
        while not self.end.is_set():
            readable, _, _ = select.select([served.sock], [], [], 0.05)
            if readable and not served.receive():
                break
        self.left[request.target].set()


@pytest.fixture(scope="module")
def setup() -> Iterator[tuple[Rig, Watching]]:
    watching = Watching()
    with running(watching, server='access_log = "tiny"') as rig:
        yield rig, watching
        assert " ERROR " not in rig.proxy.log
        watching.end.set()


def reset(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"", "499"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "499"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "200"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "200"),
    ],
)
def test_a_client_that_resets_lets_go_of_the_upstream(
    setup: tuple[Rig, Watching], first: bytes, status: str
) -> None:
    rig, watching = setup
    watching.first = first
    with rig.connect() as client:
        target = f"/reset-{len(first)}"
        client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert watching.asked[target].wait(5)
        if first:
            client.read_until(b"\r\n\r\n")
        reset(client)
        assert watching.left[target].wait(5), "the upstream is still kept busy"
    rig.proxy.wait_for_log(f"GET {target} {status}")


def test_a_client_that_only_ends_its_side_is_served_however_late(
    setup: tuple[Rig, Watching],
) -> None:
    rig, watching = setup
    watching.first = b""
    with rig.connect() as client:
        client.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert watching.asked["/late"].wait(5)
        client.sock.shutdown(socket.SHUT_WR)
        assert not watching.left["/late"].wait(3 * PROBE)
        client.close()
        assert watching.left["/late"].wait(15)
    rig.proxy.wait_for_log("GET /late 499")


def test_a_client_that_leaves_at_once_lets_go_of_the_upstream(setup: tuple[Rig, Watching]) -> None:
    rig, watching = setup
    watching.first = b""
    with rig.connect() as client:
        client.send(b"GET /early HTTP/1.1\r\nHost: a\r\n\r\n")
        assert watching.asked["/early"].wait(5)
    assert watching.left["/early"].wait(2)


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_client_that_leaves_in_the_middle_of_its_request(
    setup: tuple[Rig, Watching], framing: bytes
) -> None:
    rig, watching = setup
    watching.first = b""
    with rig.connect() as client:
        target = f"/half-{len(framing)}"
        head = f"POST {target} HTTP/1.1\r\nHost: a\r\n".encode() + framing
        client.send(head + b"\r\n\r\n3\r\nabc\r\n")
        assert watching.asked[target].wait(5)
    assert watching.left[target].wait(5)
    rig.proxy.wait_for_log(f"POST {target} 499")


def test_a_client_that_leaves_in_the_middle_of_a_head_is_nobody(
    setup: tuple[Rig, Watching],
) -> None:
    rig, watching = setup
    before = rig.origin.connections
    with rig.connect() as client:
        client.send(b"GET /nobody HTTP/1.1\r\nHo")
    with rig.connect() as client:
        client.send(b"GET /somebody HTTP/1.1\r\nHost: a\r\n\r\n")
        assert watching.asked["/somebody"].wait(5)
        reset(client)
    log = rig.proxy.wait_for_log("GET /somebody 499")
    assert "nobody" not in log.replace("somebody", "")
    assert rig.origin.connections == before + 1


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize(
    "head", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"], ids=["counted", "chunked"]
)
def test_an_upstream_that_leaves_in_the_middle_cuts_the_answer(head: bytes, end: str) -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(
            b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n"
        )
        if end == "reset":
            served.reset()

    with running(script, server='access_log = "tiny"') as rig, rig.connect() as client:
        client.send(b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
        data = b""
        with suppress(ConnectionResetError):
            while more := client.sock.recv(65536):
                data += more
        assert not data.endswith(b"0\r\n\r\n")
        log = rig.proxy.wait_for_log("GET /cut")
        assert " ERROR " not in log
        assert " WARN " in log


def test_nothing_is_left_open_after_many_aborts(tmp_path: Path) -> None:
    """Clients leave at every stage; afterwards the proxy holds what it held before."""
    with running_process(tmp_path, server='access_log = "tiny"') as rig:
        with rig.connect() as client:
            client.get("/")
        files = Path(f"/proc/{rig.proxy.workers[0]}/fd")
        before = len(list(files.iterdir()))
        request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n" + b"x" * 100
        for length in range(1, len(request) + 1, 3):
            client = rig.connect()
            client.send(request[:length])
            if length % 2:
                reset(client)
            else:
                client.close()
        until(lambda: len(list(files.iterdir())) <= before + 1, "sockets are left open")
        with rig.connect() as client:
            assert client.get("/").status == 200
        assert " ERROR " not in rig.proxy.log


@pytest.mark.parametrize("answers", [1, 2])
def test_a_client_that_leaves_behind_pipelined_requests_is_noticed(
    monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    # A client that reads the probe and then leaves cannot be told from one that waits: it leaves before.
    monkeypatch.setattr(http1_connection, "PROBE_SECONDS", 3.0)

    def script(served: Served) -> None:
        while (request := served.read_head()) is not None:
            if request.target == "/last":
                served.receive()  # the end of the connection
                return
            served.respond()

    with running(script, server='access_log = "tiny"') as rig, rig.connect() as client:
        head = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"
        client.send(head % b"first" * answers + head % b"last")
        until(lambda: rig.origin.requests)
        client.sock.shutdown(socket.SHUT_WR)
        for _ in range(answers):
            assert client.answer().status == 200
        until(lambda: rig.origin.requests[-1].target == "/last")  # (which may begin a turn later)
        client.close()
        rig.proxy.wait_for_log("GET /last 499")


@pytest.mark.parametrize(
    "rest", [b"Content-Length: 9\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n3\r\nab"]
)
def test_a_pipelined_body_that_will_never_be_complete(rest: bytes) -> None:
    """The end of the client's side comes while the response to the request before is awaited."""
    answers = Event()

    def script(served: Served) -> None:
        while (request := served.read_head()) is not None:
            if request.method == "GET":
                answers.wait(10)
                served.respond()

    with running(script, server='access_log = "tiny"') as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /cut HTTP/1.1\r\nHost: a\r\n" + rest)
        client.sock.shutdown(socket.SHUT_WR)
        client.read_until(b"100 Continue\r\n\r\n")  # (the end of the client's side was seen)
        answers.set()
        assert client.answer().status == 200
        assert client.read_rest() == b""
        rig.proxy.wait_for_log("POST /cut 499")


def test_a_client_that_ends_its_side_gets_one_interim_answer() -> None:
    answers = Event()

    def script(served: Served) -> None:
        if served.read_head() is not None:
            answers.wait(10)
            served.respond()

    with running(script) as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        answers.wait(5)
        answers.set()
        answer = client.answer()
    assert [interim.status for interim in answer.interim] == [100]


def test_a_client_that_is_not_read_from_is_missed_when_it_leaves() -> None:
    """More requests are here than are taken, so the loop does not see the end of the connection."""

    def script(served: Served) -> None:
        served.read_head()
        served.receive()  # the end of the connection

    with running(script, server='access_log = "tiny"') as rig:
        client = rig.connect()
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % one for one in range(4000)))
        until(lambda: rig.origin.requests)
        client.close()
        rig.proxy.wait_for_log("GET /0 499")


def test_a_client_that_ended_its_side_is_given_up_if_its_answer_stops() -> None:
    """(It may be gone: nothing is sent to it that would tell.)"""

    def script(served: Served) -> None:
        if served.read_head() is not None:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
            served.receive()  # the end of the connection

    with running(script) as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_head()
        assert client.read_exactly(4) == b"half"
        client.half_close()
        assert client.is_closed()


def test_the_kernel_looks_for_a_client_that_ended_its_side() -> None:
    def script(served: Served) -> None:
        served.read_head()
        served.receive()  # the end of the connection

    def has_keep_alive_timer() -> bool:
        ports = rig.proxy.port(), client.sock.getsockname()[1]
        pair = " ".join(f"0100007F:{port:04X}" for port in ports)
        lines = Path("/proc/net/tcp").read_text().splitlines()
        return any(pair in line and line.split()[5].startswith("02:") for line in lines)

    with running(script) as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: rig.origin.connections)
        assert not has_keep_alive_timer()
        client.half_close()
        until(has_keep_alive_timer)
