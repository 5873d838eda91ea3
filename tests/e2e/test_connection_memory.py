"""What one connection may cost a worker in each state that a client can keep it in (docs/limits.md)."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support import h2
from support.certificates import issue
from support.h2 import END_HEADERS, END_STREAM, frame
from support.process import Process
from support.rig import resident
from support.tls import client_context

from pingap.testing import Served, Upstream

DOCS = Path(__file__).parents[2] / "docs"
WAIT = "GET /wait HTTP/1.1\r\nHost: a\r\n"
BLOCK = b"\x86\x01\x01a"  # http, a
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MIB = 1024 * 1024


def origin(served: Served) -> None:
    """Answer with 8 MB, or not at all; take no body; change to WebSocket and send on."""
    with suppress(OSError):
        head = served.read_head()
        if head is None:
            return
        if head.target == "/big":
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 * MIB))
            served.send(bytes(8 * MIB))
        elif head.target == "/ws":
            served.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
            )
            served.send(bytes(8 * MIB))
        served.pause(60)


def configuration(addr: str) -> str:
    server = 'addr = "127.0.0.1:0"\nlocations = ["all"]\nenabled_h2 = true\n'
    return f"""
[basic]
trusted_proxies = ["127.0.0.1"]
grace_period = "1s"
[upstreams.origin]
addrs = ["{addr}"]
health_check = "none"
[locations.all]
upstream = "origin"
[servers.web]
{server}
[servers.secure]
{server}global_certificates = true
[servers.proxied]
{server}proxy_protocol = true
""" + issue("localhost").toml("leaf", "is_default = true")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Process]:
    with Upstream(origin) as upstream, Process(configuration(upstream.addr), tmp_path) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port())) as sock:  # (warms it up)
            sock.sendall(h2.PREFACE + h2.settings() + _request(1, b"/ws"))
            sock.recv(1)
        yield proxy


def _request(number: int, path: bytes, flags: int = END_HEADERS | END_STREAM) -> bytes:
    method = b"\x82" if flags & END_STREAM else b"\x83"
    block = method + BLOCK + b"\x04" + bytes((len(path),)) + path
    return frame(h2.HEADERS, flags, number, block)


def _push(sock: socket.socket, data: bytes, repeat: int = 1) -> None:
    """Send as much as is taken."""
    sock.settimeout(0.2)
    with suppress(TimeoutError, ConnectionError):
        for _ in range(repeat):
            sock.sendall(data)


def http2(*frames: bytes, settings: bytes = b"") -> Callable[[socket.socket], None]:
    start = h2.PREFACE + frame(h2.SETTINGS, 0, 0, settings) + h2.window_update(0, 2**30)
    return lambda sock: _push(sock, start + b"".join(frames))


def _remembered() -> Iterator[bytes]:
    large = b"v" * 4050
    yield frame(h2.HEADERS, 5, 1, b"\x82\x84" + BLOCK + b"\x40\x01x\x7f\xd3\x1e" + large)
    for number in range(3, 67, 2):
        path = b"/%d" % number
        block = b"\x82" + BLOCK + b"\x04" + bytes((len(path),)) + path + b"\xbe" * 17
        yield frame(h2.HEADERS, 5, number, block)


def _half_handshake(sock: socket.socket) -> None:
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(came, goes, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    sock.sendall(goes.read())


def _hide(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


BODIES = [
    _request(number, b"/wait", END_HEADERS)
    + b"".join(frame(h2.DATA, 0, number, bytes(16384)) for _ in range(8))
    for number in range(1, 33, 2)
]
# state: server, connections, what each sends
STATES: dict[str, tuple[str, int, Callable[[socket.socket], None]]] = {
    "idle": ("web", 200, lambda sock: None),
    "half of a PROXY header": ("proxied", 200, lambda sock: sock.sendall(b"PROXY TCP4 1.2")),
    "half of a head of 32KiB": (
        "web",
        100,
        lambda sock: sock.sendall(WAIT.encode() + (b"a: " + b"b" * 400 + b"\r\n") * 75),
    ),
    "a request whose upstream does not answer": (
        "web",
        100,
        lambda sock: sock.sendall(WAIT.encode() + b"\r\n"),
    ),
    "the same, with pipelined requests": (
        "web",
        20,
        lambda sock: _push(sock, (WAIT.encode() + b"\r\n") * 50_000),
    ),
    "a request body that the upstream does not read": (
        "web",
        10,
        lambda sock: _push(
            sock,
            b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n" + bytes(MIB),
            repeat=20,
        ),
    ),
    "a response that the client does not read": (
        "web",
        10,
        lambda sock: sock.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"),
    ),
    "a WebSocket whose client does not read": ("web", 10, lambda sock: sock.sendall(UPGRADE)),
    "half of a TLS handshake": ("secure", 100, _half_handshake),
    "TLS, idle": ("secure", 100, lambda sock: None),
    "HTTP/2, idle": ("web", 100, http2()),
    "HTTP/2, cached header blocks": ("web", 20, http2(*_remembered())),
    "HTTP/2, 128 requests whose upstream does not answer": (
        "web",
        4,
        http2(*(_request(number, b"/wait") for number in range(1, 257, 2))),
    ),
    "HTTP/2, 128 responses that the client does not read": (
        "web",
        2,
        http2(
            *(_request(number, b"/big") for number in range(1, 257, 2)),
            settings=struct.pack(">HI", h2.INITIAL_WINDOW_SIZE, 0),
        ),
    ),
    "HTTP/2, request bodies that the upstream does not read": ("web", 4, http2(*BODIES)),
}


@pytest.fixture(scope="module")
def bounds() -> Iterator[dict[str, int]]:
    sys.path.insert(0, str(DOCS))  # as it is for the script that makes the page
    import limits_of_clients

    yield limits_of_clients.STATES
    sys.path.remove(str(DOCS))


def test_every_state_of_the_page_is_measured(bounds: dict[str, int]) -> None:
    assert bounds.keys() == STATES.keys()


@pytest.mark.parametrize("state", STATES)
def test_memory_of_a_connection(proxy: Process, bounds: dict[str, int], state: str) -> None:
    server, number, act = STATES[state]
    before = resident(proxy)
    with ExitStack() as stack:
        for _ in range(number):
            sock = socket.socket()
            _hide(sock)
            sock.connect(("127.0.0.1", proxy.port(server)))
            if state == "TLS, idle":
                sock = client_context().wrap_socket(sock, server_hostname="localhost")
            stack.enter_context(sock)
            act(sock)
        each = (_settled(proxy) - before) / number
        assert each <= bounds[state], f"{each / 1024:.0f} KiB"


def _settled(proxy: Process) -> int:
    """Return the memory once it no longer grows."""
    size, since = resident(proxy), time.monotonic()
    while time.monotonic() < since + 0.7:
        if (now := resident(proxy)) > size:
            size, since = now, time.monotonic()
        time.sleep(0.05)
    return size
