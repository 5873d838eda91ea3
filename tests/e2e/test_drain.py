"""The end of the process: at once if nothing is under way, else after what is."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path
from threading import Event

import pytest
from support.rig import Rig, running_process
from support.waiting import until

from pingap.testing import Served


def waiting(go: Event) -> object:
    def script(served: Served) -> None:
        while served.read_request() is not None:
            go.wait(20)
            served.respond(b"late")

    return script


def terminate(rig: Rig, number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal, and wait until it is taken note of."""
    rig.proxy.process.send_signal(number)
    rig.proxy.wait_for_log("draining")


def seconds_to_end(rig: Rig) -> float:
    began = time.monotonic()
    assert rig.proxy.process.wait(10) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_with_nothing_under_way_ends_at_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running_process(tmp_path) as rig, rig.connect() as client:
        assert client.get("/").status == 200  # idle connections on both sides
        with rig.connect():
            rig.proxy.process.send_signal(number)
            assert seconds_to_end(rig) < 5
        assert client.is_closed()


def test_requests_under_way_are_completed(tmp_path: Path) -> None:
    go = Event()
    with (
        running_process(tmp_path, waiting(go)) as rig,  # type: ignore[arg-type]
        rig.connect() as busy,
        rig.connect() as idle,
    ):
        go.set()
        assert idle.get("/").status == 200
        go.clear()
        busy.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /pipelined HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: len(rig.origin.requests) == 2)
        terminate(rig)
        assert idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            rig.connect()
        go.set()
        answer = busy.answer()
        assert (answer.body, answer.header("connection")) == (b"late", "close")
        assert busy.is_closed()
        assert seconds_to_end(rig) < 5
        assert rig.origin.requests[-1].target == "/"


def test_a_body_under_way_is_completed(tmp_path: Path) -> None:
    go, half = Event(), b"x" * 100_000

    def script(served: Served) -> None:
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + half)
        go.wait(20)
        served.send(half)
        served.receive()

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        terminate(rig)
        go.set()
        assert client.read_exactly(200_000) == half + half
        assert client.is_closed()
        assert seconds_to_end(rig) < 5


def test_an_upload_under_way_is_completed(tmp_path: Path) -> None:
    with running_process(tmp_path) as rig, rig.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        until(lambda: rig.origin.requests)
        terminate(rig)
        client.send(b"def")
        answer = client.answer()
        assert (answer.body, answer.header("connection")) == (b"abcdef", "close")
        assert seconds_to_end(rig) < 5


def test_a_head_under_way_is_completed(tmp_path: Path) -> None:
    server = 'head_read_timeout = "2s"'
    with running_process(tmp_path, server=server) as rig, rig.connect() as client:
        client.get("/")
        client.send(b"GET /begun HTTP/1.1\r\n")
        with rig.connect() as other:
            other.get("/")  # so the part above has been read
        terminate(rig)
        client.send(b"Host: a\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert seconds_to_end(rig) < 5


def test_the_grace_period_ends(tmp_path: Path) -> None:
    go = Event()
    with (
        running_process(tmp_path, waiting(go), basic='grace_period = "300ms"') as rig,  # type: ignore[arg-type]
        rig.connect() as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: rig.origin.requests)
        rig.proxy.process.send_signal(signal.SIGTERM)
        assert 0.2 < seconds_to_end(rig) < 5
        assert client.is_closed()
        assert "grace period is over" in rig.proxy.log
        go.set()


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    go = Event()
    with running_process(tmp_path, waiting(go)) as rig, rig.connect() as client:  # type: ignore[arg-type]
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: rig.origin.requests)
        terminate(rig)
        rig.proxy.process.send_signal(signal.SIGTERM)
        assert seconds_to_end(rig) < 5
        assert client.is_closed()
        go.set()


def test_the_port_is_free_afterwards(tmp_path: Path) -> None:
    with running_process(tmp_path) as rig:
        port = rig.proxy.port()
        rig.proxy.stop()
        with socket.create_server(("127.0.0.1", port)):
            pass
