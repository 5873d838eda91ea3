"""HTTP/2 load with varying requests, which h2load cannot send; started by ``load.py``.

    python h2_load.py PORT SECONDS CONNECTIONS STREAMS HEADS

HEADS is a file written by ``h2_heads.py``. Prints a JSON object: ``requests`` answered,
``seconds``, and ``p50`` and ``p99`` of the answer time in milliseconds. Header blocks are encoded
beforehand, so that requests cost little to make; a connection ends after those of one sequence.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import deque
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from random import Random
from typing import Final

from h2_heads import read_heads

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = END_STREAM = 1
END_HEADERS: Final = 4
WINDOW: Final = 2**31 - 1
STATUS_200: Final = 0x88
"""The whole line ``:status: 200`` (RFC 7541, 6.1 and appendix A)."""


class LoadError(Exception):
    """The proxy did not send the expected response."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame (RFC 9113, 4.1)."""
    header = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return header + payload


PREFACE: Final = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\0" + b"\0\x04" + WINDOW.to_bytes(4, "big"))
    + frame(8, 0, 0, (WINDOW - 65535).to_bytes(4, "big"))
)
"""No pushes; windows that are never full, so that none has to be updated."""


class Connection:
    """One connection, which sends a sequence of requests, some at a time.

    :param times: takes the seconds that each answer took.
    :raises LoadError: from :meth:`receive`.
    """

    def __init__(self, port: int, blocks: list[bytes], streams: int, times: list[float]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._blocks = deque(blocks)
        self._next = 1
        self._asked: dict[int, float] = {}
        self._buffer = b""
        self._times = times
        self._out = [PREFACE]
        for _ in range(streams):
            self._ask()
        self._flush()

    def receive(self) -> bool:
        """Read available data, and send more requests; False once the sequence has ended."""
        data = self.socket.recv(262_144)
        if not data:
            raise LoadError("connection closed")
        data = self._buffer + data
        at, end = 0, len(data)
        while at + 9 <= end:
            size = int.from_bytes(data[at : at + 3], "big")
            if at + 9 + size > end:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._frame(data[at + 3], data[at + 4], stream, data[at + 9 : at + 9 + size])
            at += 9 + size
        self._buffer = data[at:]
        self._flush()
        return bool(self._asked)

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS and not is_ok(payload):
            raise LoadError(f"another answer than 200: {payload[:20].hex()}")
        if kind in (HEADERS, DATA):
            if flags & END_STREAM:
                self._times.append(time.perf_counter() - self._asked.pop(stream))
                self._ask()
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._out.append(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in (RST_STREAM, GOAWAY):
            raise LoadError(f"{'GOAWAY' if kind == GOAWAY else 'RST_STREAM'} {payload.hex()}")

    def _ask(self) -> None:
        if self._blocks:
            block = self._blocks.popleft()
            self._out.append(frame(HEADERS, END_STREAM | END_HEADERS, self._next, block))
            self._asked[self._next] = time.perf_counter()
            self._next += 2

    def _flush(self) -> None:
        if self._out:
            self.socket.sendall(b"".join(self._out))
            self._out.clear()


def is_ok(block: bytes) -> bool:
    """Return whether a header block begins with ``:status: 200``, after changes of table size."""
    at = 0
    while at < len(block) and block[at] & 0xE0 == 0x20:
        at += 1 if block[at] & 0x1F != 0x1F else 3  # sizes of up to 16 KiB
    return block[at : at + 1] == bytes((STATUS_200,))


def run(
    port: int, seconds: float, connections: int, streams: int, sequences: list[list[bytes]]
) -> list[float]:
    """Send requests for this many seconds; return the duration of each response.

    :raises LoadError: a response was not the expected one.
    """
    times: list[float] = []
    turn = count(Random().randrange(len(sequences)))  # not for the requests of the last run
    with selectors.DefaultSelector() as selector, ExitStack() as left:

        def connect() -> None:
            one = Connection(port, sequences[next(turn) % len(sequences)], streams, times)
            left.callback(one.socket.close)
            selector.register(one.socket, selectors.EVENT_READ, one)

        for _ in range(connections):
            connect()
        end = time.perf_counter() + seconds
        while (remaining := end - time.perf_counter()) > 0:
            for key, _ in selector.select(remaining):
                one: Connection = key.data
                if not one.receive():
                    selector.unregister(one.socket)
                    one.socket.close()
                    connect()
    return times


def main(port: str, seconds: str, connections: str, streams: str, heads: str) -> int:
    """Run and print the figures; 1 with a message if a response was wrong."""
    sequences = read_heads(Path(heads))
    began = time.perf_counter()
    try:
        times = sorted(run(int(port), float(seconds), int(connections), int(streams), sequences))
    except (LoadError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    taken = time.perf_counter() - began
    if not times:
        print("no answer", file=sys.stderr)
        return 1
    p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    print(json.dumps({"requests": len(times), "seconds": taken, "p50": p50, "p99": p99}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
