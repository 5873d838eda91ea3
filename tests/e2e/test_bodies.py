"""Bodies, trailers, interim answers and answers without body, through a real proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from threading import Event, Thread

import pytest
from support.rig import (
    Rig,
    answer_or_none,
    read_to_end,
    running,
    running_process,
    signal_workers,
)
from support.waiting import until

from pingap.testing import Answer, Client, Fields, Served

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def by_target(served: Served) -> None:
    """Answer as the target says."""
    while (request := served.read_request()) is not None:
        answer = ANSWERS.get(request.target)
        if answer is None:
            served.respond(request.body or b"ok")
        else:
            served.send(answer)


ANSWERS = {
    "/chunked": CHUNKED + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n",
    "/long-chunked": CHUNKED + b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n0\r\nA: b\r\n\r\n",
    "/large": OK + b"Content-Length: 30000000\r\n\r\n" + b"x" * 30_000_000,
    "/trailers": CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 7\r\nX-Sum: 8\r\n\r\n",
    "/empty-chunked": CHUNKED + b"0\r\n\r\n",
    "/204": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "/204-length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "/204-chunked": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "/304": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    "/304-length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "/304-chunked": b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    "/head": OK + b"Content-Length: 5\r\n\r\n",
    "/head-chunked": CHUNKED,
    "/head-open": OK + b"X: y\r\nConnection: keep-alive\r\n\r\n",
    "/hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x-hop\r\nX-Hop: 1\r\n"
    b"Content-Length: 5\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\nTransfer-Encoding: chunked\r\n\r\n"
    + OK
    + b"Content-Length: 2\r\n\r\nok",
    "/no-reason": b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n",
    "/reason": b"HTTP/1.1 404 Nothing Here\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    more = """
[upstreams.dead]
addrs = ["127.0.0.1:1"]
health_check = "none"
[locations.dead]
path = "/dead"
upstream = "dead"
"""
    with running(
        by_target,
        more=more,
        locations='"dead", ',
        server='prometheus_metrics = "/metrics"',
    ) as rig:
        yield rig
        assert rig.origin.errors == []


@pytest.fixture
def client(rig: Rig) -> Iterator[Client]:
    rig.origin.requests.clear()
    with rig.connect() as client:
        yield client


# Bodies.


def test_pipelined_requests_with_all_kinds_of_bodies_are_answered_in_order(
    rig: Rig, client: Client
) -> None:
    client.send(
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst"
        b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nsec\r\n3\r\nond\r\n0\r\nA: b\r\n\r\n"
        b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n"
        b"\r\nGET /chunked HTTP/1.1\r\nHost: a\r\n\r\n"
        b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n"
        b"POST /6 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        b"GET /204 HTTP/1.1\r\nHost: a\r\n\r\n"
        b"POST /8 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        b"POST /9 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlast"
    )
    methods = ["GET"] * 4 + ["HEAD"] + ["GET"] * 4
    bodies = [client.answer(method).body for method in methods]
    assert bodies == [b"first", b"second", b"ok", b"abcdefg", b"", b"ok", b"", b"ok", b"last"]
    targets = [request.target for request in rig.origin.requests]
    assert targets == ["/1", "/2", "/3", "/chunked", "/head", "/6", "/204", "/8", "/9"]


def test_a_thousand_pipelined_requests(client: Client) -> None:
    one = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n%04d"
    sender = Thread(target=client.send, args=(b"".join(one % number for number in range(1000)),))
    sender.start()
    assert [client.answer().body for _ in range(1000)] == [b"%04d" % n for n in range(1000)]
    sender.join()


def test_a_chunked_request_stays_chunked(rig: Rig, client: Client) -> None:
    client.send(
        b"POST /p HTTP/1.1\r\nHost: a\r\ntransfer-encoding: CHUNKED\r\n\r\n"
        b"1;x=y\r\na\r\n0002\r\nbc\r\n0\r\n\r\n"
    )
    assert client.answer().body == b"abc"
    [request] = rig.origin.requests
    assert request.header_all("transfer-encoding") == ["chunked"]
    assert request.header("content-length") is None


def test_a_chunked_answer_is_complete(client: Client) -> None:
    answer = client.get("/chunked")
    assert (answer.body, answer.complete) == (b"abcdefg", True)
    assert client.get("/empty-chunked").complete


def test_a_long_chunked_answer_stays_chunked(client: Client) -> None:
    for _ in range(2):
        answer = client.get("/long-chunked")
        assert (len(answer.body), answer.complete) == (1_000_000, True)
        assert answer.header("transfer-encoding") == "chunked"
        assert answer.header("content-length") is None
        assert answer.trailers == [("A", "b")]


def test_a_long_chunked_answer_ends_the_connection_of_http_1_0(client: Client) -> None:
    client.send(b"GET /long-chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer = client.answer()
    assert (answer.status, len(answer.body)) == (200, 1_000_000)
    assert answer.header("connection") == "close"


def test_trailers_pass_both_ways(rig: Rig, client: Client) -> None:
    client.send(
        b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n"
    )
    assert client.answer().status == 200
    assert rig.origin.requests[0].trailers == [("X-One", "1"), ("X-Two", "2")]
    assert client.get("/trailers").trailers == [("X-Sum", "7"), ("X-Sum", "8")]


def test_binary_bodies_pass_unchanged(client: Client) -> None:
    body = bytes(range(256)) * 2000 + b"\r\n\r\n0\r\n\r\n"
    assert client.request("POST", "/p", body=body).body == body
    client.send(b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(
        b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in [body[:70_000], body[70_000:]])
    )
    client.send(b"0\r\n\r\n")
    assert client.answer().body == body


def test_the_body_of_an_upgrade_offer_is_no_request(rig: Rig, client: Client) -> None:
    """As curl sends it with ``--http2`` and a body of unknown length."""
    client.send(
        b"POST /p HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\n\r\n"
    )
    assert client.answer().body == b"abc"
    assert client.get("/2").status == 200


def test_a_body_that_was_held_does_not_block_the_next_one(client: Client) -> None:
    client.sock.settimeout(2)
    for _ in range(2):
        assert client.request("POST", "/dead", body=b"held").status == 502
    assert client.request("POST", "/p", body=b"body").body == b"body"


# Expectations.


def waiting_origin(first: bytes, *, read_body: bool) -> object:
    def script(served: Served) -> None:
        request = served.read_head()
        if request is None:
            return
        served.send(first)
        if read_body:
            served.read_until(b"body")
            served.respond(b"thanks")
            served.receive()
        else:
            served.receive()

    return script


def test_expect_continue_is_passed_on_and_answered() -> None:
    script = waiting_origin(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", read_body=True)
    with running(script) as rig, rig.connect() as client:  # type: ignore[arg-type]
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n"
        )
        assert client.read_interim().status == 100
        client.send(b"body")
        assert client.answer().body == b"thanks"
        assert rig.origin.requests[0].header("expect") == "100-Continue"


def test_the_body_of_an_expectation_need_not_be_waited_for(rig: Rig, client: Client) -> None:
    client.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert client.answer().body == b"body"
    assert rig.origin.requests[0].header("expect") == "100-continue"


@pytest.mark.parametrize(
    ("status", "line"), [(417, b"417 Expectation Failed"), (200, b"200 OK"), (401, b"401 Who")]
)
def test_a_final_answer_instead_of_continue(status: int, line: bytes) -> None:
    first = b"HTTP/1.1 " + line + b"\r\nContent-Length: 2\r\n\r\nno"
    script = waiting_origin(first, read_body=False)
    with running(script) as rig, rig.connect() as client:  # type: ignore[arg-type]
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
        answer = client.answer()
        assert (answer.status, answer.body, answer.complete) == (status, b"no", True)
        # The body may still come or not: only the end of the connection is without doubt.
        assert answer.header("connection") == "close"
        assert client.is_closed()


# Versions.


def test_http_1_0_gets_a_chunked_answer_until_the_end(client: Client) -> None:
    client.send(b"GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.body) == (200, b"abcdefg")
    assert answer.header("transfer-encoding") is None
    # It came in one piece, so its length was known; else the connection would end.
    assert answer.header("connection") in ("keep-alive", "close")


def test_http_1_0_may_send_a_body(client: Client) -> None:
    client.send(b"POST /p HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
    assert client.answer().body == b"abc"


def test_http_1_0_without_host_gets_that_of_the_upstream(rig: Rig, client: Client) -> None:
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.answer().status == 200
    [request] = rig.origin.requests
    assert request.raw_head.startswith(b"GET / HTTP/1.1\r\n")
    assert request.header_all("host") == [rig.origin.addr]


def test_upstreams_of_http_1_0() -> None:
    def script(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nuntil the end")

    with running(script) as rig, rig.connect() as client:
        for _ in range(2):
            answer = client.get("/")
            assert (answer.body, answer.complete) == (b"until the end", True)
            assert answer.header("transfer-encoding") == "chunked"
        assert rig.origin.connections == 2


def test_interim_answers_are_passed_on(client: Client) -> None:
    client.send(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read_interim() == Answer(103, "Early Hints", Fields([("Link", "</a>")]))
    assert client.read_interim() == Answer(103, "Early Hints", Fields([("Link", "</b>")]))
    assert client.answer().body == b"ok"


def test_http_1_0_gets_no_interim_answers(client: Client) -> None:
    client.send(b"GET /hints HTTP/1.0\r\n\r\n")
    assert client.read_head().status == 200


# Answers without body.


@pytest.mark.parametrize(
    ("method", "target", "length"),
    [
        ("GET", "/204", None),
        ("GET", "/204-length", None),  # (RFC 9110, 8.6)
        ("GET", "/204-chunked", None),  # (RFC 9112, 6.1)
        ("GET", "/304", None),
        ("GET", "/304-length", "5"),
        ("HEAD", "/head", "5"),
        ("HEAD", "/head-open", None),
        ("HEAD", "/204", None),
    ],
)
def test_answers_without_body(
    rig: Rig, client: Client, method: str, target: str, length: str | None
) -> None:
    for _ in range(2):
        answer = client.request(method, target)
        assert answer.header("content-length") == length
        assert answer.header("transfer-encoding") is None
        assert client.get("/").body == b"ok"


@pytest.mark.parametrize(("method", "target"), [("HEAD", "/head-chunked"), ("GET", "/304-chunked")])
def test_answers_without_body_that_announce_a_coding(
    client: Client, method: str, target: str
) -> None:
    assert client.request(method, target).status == (200 if method == "HEAD" else 304)
    assert client.get("/").body == b"ok"


def test_the_answer_to_head_of_an_error_has_no_body(client: Client) -> None:
    assert client.request("HEAD", "/dead").status == 502
    assert client.get("/").body == b"ok"


@pytest.mark.parametrize(
    ("target", "status", "reason"), [("/no-reason", 299, ""), ("/reason", 404, "Nothing Here")]
)
def test_status_lines_pass_as_they_are(
    client: Client, target: str, status: int, reason: str
) -> None:
    answer = client.get(target)
    assert (answer.status, answer.reason) == (status, reason)


# The end of a connection.


def test_a_client_that_ends_its_side_still_gets_its_answer(rig: Rig, client: Client) -> None:
    client.send(b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.answer().body == b"abc"
    assert client.is_closed()


def test_a_client_that_ends_its_side_gets_every_answer(client: Client) -> None:
    client.send(
        b"".join(
            b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d" % n for n in range(5)
        )
    )
    client.sock.shutdown(socket.SHUT_WR)
    answers = [answer_or_none(client) for _ in range(5)]
    assert [answer.body for answer in answers if answer] == [b"%d" % n for n in range(5)]


def test_nothing_comes_between_the_parts_of_an_answer_when_a_client_ends_its_side(
    tmp_path: Path,
) -> None:
    """All in one turn of the event loop: the rest of one answer, the next request, the end."""
    go, done = Event(), Event()

    def script(served: Served) -> None:
        served.read_request()
        served.send(OK + b"Content-Length: 20\r\n\r\n" + b"first part")
        assert go.wait(10)
        served.send(b"other part")
        done.set()
        served.read_request()
        served.respond(b"second")
        served.receive()

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        assert client.read_exactly(10) == b"first part"
        signal_workers(rig, SIGSTOP)
        go.set()
        assert done.wait(10)
        client.sock.shutdown(socket.SHUT_WR)
        signal_workers(rig, SIGCONT)
        assert client.read_exactly(10) == b"other part"
        assert client.answer().body == b"second"


def test_the_client_ends_its_side_in_the_same_turn_in_which_its_answer_comes(
    tmp_path: Path,
) -> None:
    """The answer waits for the end of the turn, and must not be overtaken by closing."""
    here, go, done = Event(), Event(), Event()

    def script(served: Served) -> None:
        served.read_request()
        here.set()
        assert go.wait(10)
        served.respond(b"answer")
        done.set()
        served.receive()

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert here.wait(10)
        signal_workers(rig, SIGSTOP)
        go.set()
        assert done.wait(10)
        client.sock.shutdown(socket.SHUT_WR)
        signal_workers(rig, SIGCONT)
        assert client.answer().body == b"answer"


def test_a_client_that_ends_its_side_during_the_answer_gets_the_rest(client: Client) -> None:
    client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    client.read_until(b"\r\n\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert len(client.read_exactly(30_000_000)) == 30_000_000


def test_a_client_that_ends_its_side_gets_answers_of_the_proxy_itself(tmp_path: Path) -> None:
    server = 'prometheus_metrics = "/metrics"'
    with running_process(tmp_path, server=server) as rig, rig.connect() as client:
        signal_workers(rig, SIGSTOP)  # so that request and end are read in one go
        client.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        signal_workers(rig, SIGCONT)
        assert client.answer().status == 200


def test_an_answer_that_ends_the_connection_survives_what_the_client_sends_after_its_request() -> (
    None
):
    """Closing with bytes unread resets the connection, and takes the answer along (RFC 9112, 9.6)."""
    body = b"x" * 1_000_000

    def script(served: Served) -> None:
        served.read_request()
        served.respond(body)
        served.receive()

    with running(script, server='access_log = "tiny"') as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        rig.proxy.wait_for_log("GET / 200")
        with suppress(OSError):
            client.send(b"GET /more HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.answer()
        assert (len(answer.body), answer.complete) == (len(body), True)


# Early answers.


def test_an_answer_may_overtake_a_large_request() -> None:
    def script(served: Served) -> None:
        served.read_head()
        served.respond(b"enough", "413 Content Too Large")
        read_to_end(served)

    with running(script) as rig, rig.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")

        def upload() -> None:
            with suppress(OSError):
                for _ in range(1000):
                    client.send(b"x" * 1_000_000)

        sender = Thread(target=upload)
        sender.start()
        answer = client.answer()
        assert (answer.status, answer.body, answer.complete) == (413, b"enough", True)
        assert answer.header("connection") == "close"
        sender.join(15)
        assert not sender.is_alive(), "the upload goes on for ever"


def test_an_answer_may_overtake_a_request_whose_upstream_closes(tmp_path: Path) -> None:
    go = Event()

    def script(served: Served) -> None:
        served.read_head()
        assert go.wait(10)
        served.send(b"HTTP/1.1 413 -\r\nContent-Length: 6\r\nConnection: close\r\n\r\nenough")
        served.reset()  # as the kernel does if a server closes before it has read everything
        go.clear()

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        until(lambda: rig.origin.requests)
        signal_workers(rig, SIGSTOP)  # so that it finds the body and the answer at once
        client.send(b"x" * 50_000)
        go.set()
        until(lambda: not go.is_set())
        signal_workers(rig, SIGCONT)
        assert client.answer().status == 413


# Streams.


def test_events_of_a_stream_arrive_one_by_one() -> None:
    seen = Event()

    def script(served: Served) -> None:
        served.read_request()
        served.send(OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            assert seen.wait(10)
            seen.clear()
            served.send(b"9\r\ndata: %d\n\n\r\n" % number)
        served.send(b"0\r\n\r\n")
        served.receive()

    with running(script) as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_head().status == 200  # before the first event
        for number in range(5):
            seen.set()
            assert client.read_until(b"\n\n\r\n") == b"9\r\ndata: %d\n\n\r\n" % number
        assert client.read_until(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert rig.origin.errors == []


def test_pieces_of_an_upload_arrive_one_by_one() -> None:
    arrived = [Event() for _ in range(3)]

    def script(served: Served) -> None:
        served.read_head()
        for event in arrived:
            assert served.read_until(b".") != b""
            event.set()
        served.respond()
        served.receive()

    with running(script) as rig, rig.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        for event in arrived:
            client.send(b"x.")
            assert event.wait(10)
        assert client.answer().status == 200
