"""A large body of either direction goes through a proxy whose memory stays as it was."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from support.rig import Rig, resident, running_process

from pingap.testing import Served

SIZE = 200 * 1024 * 1024
PIECE = 1024 * 1024
ALLOWED = 10 * 1024 * 1024
SLOW = 0.002
"""Seconds that the slow side rests after each piece: its buffers are full all the time."""


def largest(rig: Rig, work: Thread) -> int:
    """Return the most memory the proxy uses while the work goes on."""
    most = resident(rig.proxy)
    while work.is_alive():
        most = max(most, resident(rig.proxy))
        time.sleep(0.02)
    return max(most, resident(rig.proxy))


@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_a_large_download_to_a_slow_reader(tmp_path: Path, framing: str) -> None:
    piece = b"x" * PIECE

    def script(served: Served) -> None:
        while (request := served.read_request()) is not None:
            if request.target == "/warm":
                served.respond()
                continue
            head = (
                b"Content-Length: %d" % SIZE
                if framing == "counted"
                else b"Transfer-Encoding: chunked"
            )
            served.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
            for _ in range(SIZE // PIECE):
                served.send(piece if framing == "counted" else b"%x\r\n%b\r\n" % (PIECE, piece))
            if framing == "chunked":
                served.send(b"0\r\n\r\n")

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        client.get("/warm")
        before = resident(rig.proxy)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        got = [len(client.unread)]

        def read() -> None:
            buffer = bytearray(PIECE)
            while got[0] < SIZE and (count := client.sock.recv_into(buffer)):
                got[0] += count
                time.sleep(SLOW)

        reader = Thread(target=read)
        reader.start()
        most = largest(rig, reader)
        assert got[0] >= SIZE
        assert most - before < ALLOWED


@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_a_large_upload_to_a_slow_origin(tmp_path: Path, framing: str) -> None:
    received = [0]

    def script(served: Served) -> None:
        request = served.read_head()
        assert request is not None
        if request.target == "/warm":
            served.respond()
            request = served.read_head()
        received[0], end = len(served.unread), b""
        buffer = bytearray(PIECE)
        while received[0] < SIZE or (framing == "chunked" and end != b"0\r\n\r\n"):
            count = served.sock.recv_into(buffer)
            assert count
            received[0] += count
            end = (end + buffer[max(0, count - 5) : count])[-5:]
            time.sleep(SLOW)
        served.respond(b"thanks")
        served.receive()

    with running_process(tmp_path, script) as rig, rig.connect() as client:
        client.get("/warm")
        before = resident(rig.proxy)
        piece = b"x" * PIECE

        def write() -> None:
            with suppress(OSError):
                if framing == "counted":
                    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
                else:
                    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(SIZE // PIECE):
                    client.send(piece if framing == "counted" else b"%x\r\n%b\r\n" % (PIECE, piece))
                if framing == "chunked":
                    client.send(b"0\r\n\r\n")

        writer = Thread(target=write)
        writer.start()
        most = largest(rig, writer)
        assert client.answer().body == b"thanks"
        assert received[0] >= SIZE
        assert most - before < ALLOWED
