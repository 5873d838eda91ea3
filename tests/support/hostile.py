"""Peers that give a proxy as much work as they can on one connection, and a client that is polite.

Used by ``tests/e2e/test_fairness.py`` and ``contrib/bench/fairness.py``.
"""

from __future__ import annotations

import ctypes
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from pingap.testing import Served

Address = tuple[str, int]

SIZE = 1024 * 1024
"""Bytes that are sent over and over."""
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
H2_START = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\4\x08\0\0\0\0\0" + b"\x3f\xff\0\0"
)
PATTERN = bytes(range(97, 123)) * 4000
"""A body that is worth looking at."""
GET = b"\x82\x86\x84\x01\x01h"
"""Header block of ``GET http://h/``."""


LOCATIONS = """
[plugins.small]
category = "mock"
data = "ok"
[upstreams.origin]
addrs = ["{origin}"]
health_check = "none"
[locations.small]
host = "h"
plugins = ["small"]
[locations.up]
host = "up"
upstream = "origin"
"""
"""Configuration of what the attacks ask for: a plugin's answer under ``h``, ``hostile_origin`` under ``up``."""


class Attack(NamedTuple):
    """What one connection sends.

    :param start: is sent first.
    :param parts: is sent after it, without end.
    :param tls: over TLS.
    :param http2: in HTTP/2.
    """

    start: bytes
    parts: Callable[[], Iterator[bytes]]
    tls: bool = False
    http2: bool = False


def _again(unit: bytes) -> Callable[[], Iterator[bytes]]:
    blob = unit * (SIZE // len(unit))

    def parts() -> Iterator[bytes]:
        while True:
            yield blob

    return parts


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return struct.pack(">BHBBI", size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def _heads(block: bytes) -> Callable[[], Iterator[bytes]]:
    """Return the frames of requests without end, each on a stream of its own."""

    def parts() -> Iterator[bytes]:
        numbers = count(3, 2)
        while True:
            yield b"".join(_frame(1, 5, next(numbers), block) for _ in range(2000))

    return parts


def _size_updates() -> Iterator[bytes]:
    block = b"\x20" * 60_000 + GET
    for number in count(3, 2):
        frames = [_frame(1, 1, number, block[:16384])]
        for at in range(16384, len(block), 16384):
            last = at + 16384 >= len(block)
            frames.append(_frame(9, 4 if last else 0, number, block[at : at + 16384]))
        yield b"".join(frames)


_LARGE_FIELD = _frame(1, 5, 1, GET + b"\x40\x01x\x7f\xd3\x1e" + b"v" * 4050)  # goes to the table

ATTACKS = {
    "pipelined requests": Attack(b"", _again(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")),
    "pipelined 404": Attack(b"", _again(b"GET /x HTTP/1.1\r\nHost: no\r\n\r\n")),
    "empty lines": Attack(b"", _again(b"\r\n")),
    "chunks of one byte": Attack(
        b"POST /swallow HTTP/1.1\r\nHost: up\r\n" + CHUNKED, _again(b"1\r\nx\r\n")
    ),
    "pipelined requests over TLS": Attack(
        b"", _again(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"), tls=True
    ),
    "HTTP/2 requests": Attack(H2_START, _heads(GET), http2=True),
    "HTTP/2 heads of 70 KB": Attack(
        H2_START + _LARGE_FIELD, _heads(GET + b"\xbe" * 17), http2=True
    ),
    "HTTP/2 heads of 1600 fields": Attack(H2_START, _heads(GET + b"\xa0" * 1600), http2=True),
    "HTTP/2 changes of the table": Attack(H2_START, _size_updates, http2=True),
}
"""Those of clients, but for ``key_updates``."""


def send(address: Address, attack: Attack, stop: threading.Event) -> None:
    """Send an attack on one connection after the other until it is stopped; read all answers."""
    while not stop.is_set():
        with suppress(OSError), socket.create_connection(address, 5) as sock:
            if attack.tls:
                _send_secure(sock, attack, stop)
                continue
            sock.settimeout(0.2)
            reader = threading.Thread(target=_read, args=(sock, stop))
            reader.start()
            try:
                _send_all(sock, attack.start, stop)
                for part in attack.parts():
                    _send_all(sock, part, stop)
                    if stop.is_set():
                        break
            finally:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                reader.join()


def _send_secure(sock: socket.socket, attack: Attack, stop: threading.Event) -> None:
    """The same in one thread, since two must not use a connection of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(sock, server_hostname="localhost") as tls:
        tls.settimeout(0.01)
        for part in attack.parts():
            for at in range(0, len(part), 65536):
                with suppress(TimeoutError):
                    tls.sendall(part[at : at + 65536])
                with suppress(TimeoutError):
                    while tls.recv(SIZE) and not stop.is_set():
                        pass
                if stop.is_set():
                    return


def _send_all(sock: socket.socket, data: bytes, stop: threading.Event) -> None:
    view = memoryview(data)
    while view and not stop.is_set():
        with suppress(TimeoutError):
            view = view[sock.send(view) :]


def _read(sock: socket.socket, stop: threading.Event) -> None:
    buffer = bytearray(SIZE)
    while not stop.is_set():
        try:
            if not sock.recv_into(buffer):
                return
        except TimeoutError:
            pass
        except OSError:
            return


def key_updates(address: Address, stop: threading.Event) -> None:
    """Ask for new keys of TLS 1.3 again and again, on one connection after the other."""
    while not stop.is_set():
        with suppress(OSError), socket.create_connection(address, 5) as sock:
            ask_for_keys(sock, stop)


def ask_for_keys(sock: socket.socket, stop: threading.Event) -> None:
    """Ask for new keys of TLS 1.3 without end, and read no answer.

    :raises OSError: the connection has ended.
    """
    library = re.search(r"\S*libssl\S*", Path("/proc/self/maps").read_text())
    assert library
    openssl = ctypes.CDLL(library[0])
    openssl.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
    openssl.SSL_do_handshake.argtypes = [ctypes.c_void_p]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, goes, server_hostname="localhost")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(goes.read())
            came.write(sock.recv(65536))
    sock.sendall(goes.read())
    # (ssl.SSLObject -> _ssl._SSLSocket -> SSL*, behind the head of the object and a socket)
    pointer = ctypes.c_void_p.from_address(id(tls._sslobj) + 24).value  # type: ignore[attr-defined]
    sock.settimeout(0.2)
    while not stop.is_set():
        for _ in range(500):
            openssl.SSL_key_update(pointer, 1)
            openssl.SSL_do_handshake(pointer)
        _send_all(sock, goes.read(), stop)


def ask_origin(path: str, address: Address, stop: threading.Event) -> None:
    """Ask ``hostile_origin`` for 50 answers on one connection, and read them until it is stopped."""

    def parts() -> Iterator[bytes]:
        while not stop.wait(0.05):
            yield b""

    head = f"GET {path} HTTP/1.1\r\nHost: up\r\n\r\n".encode()
    send(address, Attack(head * 50, parts), stop)


def hostile_origin(served: Served) -> None:
    """Answer with as much work as fits into one answer; the path says of what kind."""
    with suppress(OSError):
        while (head := served.read_head()) is not None:
            path = head.target
            if path == "/chunks":
                served.send(b"HTTP/1.1 200 OK\r\n" + CHUNKED)
                while True:
                    served.send(b"1\r\nx\r\n" * 40_000)
            elif path == "/interim":
                for _ in range(50):
                    served.send(b"HTTP/1.1 102 \r\n\r\n" * 60)
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            elif path == "/once":
                served.send(b"HTTP/1.1 102 \r\n\r\n" * 200 + b"HTTP/1.1 200 OK\r\n" + CHUNKED)
                served.send(b"".join(b"1\r\n%c\r\n" % byte for byte in PATTERN) + b"0\r\n\r\n")
            elif path == "/echo":
                body = served.read_body(head)
                served.respond(body)
            elif path == "/swallow":
                while served.receive():
                    pass
                return
            else:
                served.respond(b"ok")


@contextmanager
def under(attack: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run an attack in a thread for as long as the block lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=attack, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def polite(address: Address, requests: int, seconds: float, pause: float = 0.01) -> list[float]:
    """Return the seconds that each of some requests took on one connection, sorted.

    :param seconds: in which no more are sent.
    """
    took = []
    end = time.monotonic() + seconds
    with socket.create_connection(address, 30) as sock:
        while len(took) < requests and time.monotonic() < end:
            began = time.perf_counter()
            sock.sendall(b"GET /polite HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += sock.recv(65536) or b"HTTP/1.1 000 closed\r\n\r\n"
            assert answer.startswith(b"HTTP/1.1 200 "), answer[:100]
            took.append(time.perf_counter() - began)
            time.sleep(pause)
    return sorted(took)
