"""Who is to blame when something takes too long or breaks: an upstream only for what it caused."""

from __future__ import annotations

import resource
import select
import socket
from pathlib import Path
from threading import Event

import pytest
from support.h2_origin import H2Served, h2_script
from support.rig import running, running_process
from support.waiting import until

from pingap.testing import Served

BREAKER = """
circuit_break_max_consecutive_failures = 1
circuit_break_half_open_consecutive_success_threshold = 1
circuit_break_open_duration = "200ms"
"""
HEAD = b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("limit", ["idle_timeout", "read_timeout", "write_timeout"])
@pytest.mark.parametrize("kept", [False, True])
def test_a_slow_upload_is_not_charged_to_the_upstream(limit: str, kept: bool) -> None:
    upstream = f'{limit} = "300ms"\n{BREAKER}'
    with running(upstream=upstream) as rig, rig.connect() as client:
        if kept:
            assert client.get("/").status == 200
        client.send(HEAD % 12)
        for _ in range(12):
            assert not _readable(client.sock, 0.1), client.answer()
            client.send(b"x")
        assert client.answer("POST").body == b"x" * 12


def test_an_interim_answer_does_not_begin_the_time_for_the_answer() -> None:
    def script(served: Served) -> None:
        if served.read_head() is not None:
            served.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if served.read_exactly(4):
                served.respond(b"done")

    with (
        running(script, upstream='read_timeout = "300ms"') as rig,
        rig.connect() as client,
    ):
        client.send(HEAD % 4)
        assert client.read_interim().status == 100
        assert not _readable(client.sock, 1.0)
        client.send(b"body")
        assert client.answer("POST").body == b"done"


def test_a_client_that_does_not_take_the_answer_is_no_fault_of_the_upstream() -> None:
    size = 20_000_000

    def script(served: Served) -> None:
        if served.read_request() is not None:
            served.respond(b"x" * size)

    settings = 'read_timeout = "1s"\nwrite_timeout = "1s"\n'
    with running(script, upstream=settings) as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not Event().wait(3)
        assert len(client.answer().body) == size


def test_a_slow_client_does_not_hold_the_place_of_a_probe() -> None:
    answers = Event()

    def script(served: Served) -> None:
        if answers.is_set():
            while served.read_request() is not None:
                served.respond(b"ok")

    with running(script, upstream=BREAKER) as rig, rig.connect() as client:
        assert client.get("/").status == 502
        until(lambda: "half-open" in rig.proxy.log)
        answers.set()
        before = rig.origin.connections
        with rig.connect() as slow:
            slow.send(HEAD % 100)
            until(lambda: rig.origin.connections > before)
            until(lambda: client.get("/").status == 200)  # while the slow one goes on


def test_an_upstream_that_gives_up_a_slow_client_is_not_blamed() -> None:
    gives_up = Event()

    def script(served: Served) -> None:
        request = served.read_head()
        if request is not None and request.method == "POST":
            gives_up.wait(10)
        elif request is not None:
            served.respond(b"ok")

    with running(script, upstream=BREAKER) as rig, rig.connect() as client:
        client.send(HEAD % 100)
        assert not _readable(client.sock, 5.5)
        gives_up.set()
        assert client.answer("POST").status == 502
        with rig.connect() as other:
            assert other.get("/").status == 200
        assert "circuit breaker" not in rig.proxy.log


def test_want_of_descriptors_is_no_failure_of_the_backend(tmp_path: Path) -> None:
    def script(served: Served) -> None:
        if served.read_request() is not None:
            served.respond(b"ok", headers={"Connection": "close"})

    with running_process(tmp_path, script, upstream=BREAKER) as rig, rig.connect() as kept:
        assert kept.get("/").status == 200
        (worker,) = rig.proxy.workers
        used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used, used + 1000))
        assert kept.get("/").status == 503
        assert "Too many open files" in rig.proxy.log
        with rig.connect():
            pass  # one too many
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 500, used + 1000))
        assert kept.get("/").status == 200
        with rig.connect() as later:
            assert later.get("/").status == 200
        assert "circuit breaker" not in rig.proxy.log


def test_a_streamed_request_may_pause_over_http2_too() -> None:
    def script(origin: H2Served) -> None:
        while (request := origin.request()) is not None:
            origin.respond(request.stream, request.body)

    upstream = 'alpn = "H2"\nread_timeout = "300ms"\n'
    with running(h2_script(script), upstream=upstream) as rig, rig.connect() as client:
        client.send(HEAD % 4)
        assert not _readable(client.sock, 1.0)
        client.send(b"body")
        assert client.answer("POST").body == b"body"


def _readable(sock: socket.socket, seconds: float) -> bool:
    return bool(select.select([sock], [], [], seconds)[0])
