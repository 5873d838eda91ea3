"""The control socket with clients that are not ours."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anyio
import anyio.from_thread
import pytest

from pingap.supervisor import control_client, control_socket
from pingap.supervisor.control_socket import ControlSocket


async def answer(request: dict[str, Any], pid: int) -> dict[str, Any]:
    return {"ok": True, "request": request, "pid": pid}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlSocket]:
    with anyio.from_thread.start_blocking_portal() as portal:
        one = ControlSocket([tmp_path / "missing", tmp_path])
        serving = portal.start_task_soon(one.serve, answer)
        yield one
        serving.cancel()
    one.close()
    assert list(tmp_path.iterdir()) == []


@contextmanager
def client(control: ControlSocket) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(control.path))
        yield sock


def ask(control: ControlSocket, data: bytes) -> Any:
    with client(control) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        text = sock.makefile().readline()
        return json.loads(text) if text else None


def test_a_request_is_answered(control: ControlSocket) -> None:
    with client(control) as sock:
        for byte in b'{"command": "x"}\n':
            sock.sendall(bytes([byte]))
        assert json.loads(sock.makefile().readline()) == {
            "ok": True,
            "request": {"command": "x"},
            "pid": os.getpid(),
        }


@pytest.mark.parametrize("data", [b"", b"{}", b"\n", b"[1]\n", b"\xff\n", b"[" * 3000 + b"\n"])
def test_anything_else_is_refused(control: ControlSocket, data: bytes) -> None:
    assert ask(control, data) == {"ok": False, "message": "this is not a request"}


def test_too_long_requests_are_refused(control: ControlSocket) -> None:
    with client(control) as sock:
        sock.sendall(b"x" * (control_socket.LONGEST_REQUEST + 1))
        assert "not a request" in sock.makefile().readline()


def test_other_users_are_refused(control: ControlSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "peer_of", lambda _: (1, os.geteuid() + 1))
    said = ask(control, b"{}\n")
    assert said == {"ok": False, "message": "this is the socket of another user"}


def test_there_is_a_limit_for_clients(
    control: ControlSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_socket, "MOST_CLIENTS", 1)
    with client(control) as first:
        first.sendall(b"{")
        with client(control) as second:
            assert second.recv(1) == b""
        first.sendall(b"}\n")
        assert json.loads(first.makefile().readline())["ok"]


def test_slow_clients_are_dropped(control: ControlSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "ASK_SECONDS", 0.1)
    with client(control) as sock:
        sock.sendall(b"{")
        assert sock.recv(1) == b""


def test_a_lack_of_descriptors_passes(
    control: ControlSocket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing:
        def __init__(self, sock: socket.socket) -> None:
            self._sock = sock

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sock, name)

        def accept(self) -> tuple[socket.socket, Any]:
            control._sock = self._sock
            raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(control_socket, "PAUSE_SECONDS", 0.01)
    assert ask(control, b"{}\n")["ok"]
    control._sock = Refusing(control._sock)  # type: ignore[assignment]
    assert ask(control, b"{}\n")["ok"]  # the loop may accept this one before it looks
    assert ask(control, b"{}\n")["ok"]
    assert "Too many open files" in caplog.text


@contextmanager
def other_instance(folder: Path, *answers: bytes) -> Iterator[Path]:
    """Listen as an instance that sends parts of an answer, and then nothing more."""
    path = folder / "pingap-1.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()

        def serve() -> None:
            peer, _ = sock.accept()
            with peer, suppress(OSError):
                for part in answers:
                    peer.sendall(part)
                    ended.wait(0.05)

        ended = Event()
        thread = Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            ended.set()
            thread.join(10)


def test_an_answer_may_be_anything(tmp_path: Path) -> None:
    with other_instance(tmp_path, b"[" * 200_000 + b"\n") as path:
        assert list(control_client._instances([path])) == []


def test_the_whole_answer_has_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "CONNECT_SECONDS", 0.2)
    with other_instance(tmp_path, *[b" "] * 1000) as path:
        began = time.monotonic()
        assert list(control_client._instances([path])) == []
        assert time.monotonic() - began < 10


def test_without_a_place_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = ControlSocket([tmp_path / "missing", tmp_path / ("x" * 120)])
    assert one.path is None
    one.close()
    (record,) = caplog.records
    assert "cannot be controlled by commands" in record.getMessage()
