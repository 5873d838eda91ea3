#!/usr/bin/env python3
"""What the data path costs in Python, without kernel, network and other processes.

    .venv/bin/python contrib/bench/data_path.py [--codes | --modules] [--only mixed-1k] [--json]

Requests are fed to a client's connection over transports that only count. The microseconds are
those of the fastest of many short runs. With ``--codes`` the byte codes of one request are counted
instead, function by function, which is exact whatever else the machine does. With ``--modules`` the
microseconds are shared out among the modules, by sampling.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final, TypeAlias

import uvloop
from h2_heads import Encoder
from mixed import request
from origin import write_certificate
from sampling import Sampler

from pingap.build.client_options import client_limits, client_tcp
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import parse
from pingap.downstream.http1_connection import Http1Connection
from pingap.downstream.http2_connection import Http2Connection
from pingap.downstream.listener import ConnectionBudget, Listener
from pingap.downstream.tls_acceptor import Handshakes, TlsAcceptor
from pingap.observability.handshakes import HandshakeStats
from pingap.protocol import http2_frames as frames
from pingap.protocol.http2_codec import PREFACE
from pingap.upstream.connections.http1_connection import UpstreamConnection

CONFIGURATION: Final = """
[upstreams.origin]
addrs = ["127.0.0.1:1"]

[plugins.ping]
category = "ping"
path = "/ping"

[plugins.requestId]
category = "request_id"

[plugins.servedBy]
category = "response_headers"
set_headers = ["X-Served-By: pingap"]

[locations.ping]
path = "=/ping"
plugins = ["ping"]

[locations.all]
upstream = "origin"
path = "/"
plugins = ["requestId", "servedBy"]

[servers.plain]
addr = "127.0.0.1:2"
locations = ["ping", "all"]
access_log = "/dev/null?rolling=never combined"
keepalive_requests = 1_000_000_000
"""
TLS: Final = "proxy-1k by TLS"
H2: Final = "mixed-h2-1k"
Exchange: TypeAlias = tuple[bytes, bytes]
"""A request, and the response of the upstream; empty if the request is not forwarded."""
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 23:54:22 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 1024\r\n"
    b"Last-Modified: Mon, 23 Nov 2026 23:54:22 GMT\r\nConnection: keep-alive\r\n"
    b'ETag: "65f0a0b1-400"\r\nAccept-Ranges: bytes\r\n\r\n' + b"x" * 1024
)
MIXED_ANSWER: Final = (
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 23:54:22 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n"
    'ETag: "{one:032x}"\r\nX-Trace-Id: {one:032x}\r\nCache-Control: private, max-age=5\r\n\r\n'
    + "x"
    * 1024
)
SAMPLES: Final = 2500
"""Enough to know a share of a tenth to within about a hundredth."""


def ping(_: Random) -> Exchange:
    """Return a request that a plugin answers."""
    return b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1:2\r\n\r\n", b""


def plain(_: Random) -> Exchange:
    """Return the same request and the same response repeatedly."""
    return b"GET /1k HTTP/1.1\r\nHost: 127.0.0.1:2\r\n\r\n", bytes(bytearray(ANSWER))


def mixed(random: Random) -> Exchange:
    """Return a unique request and a unique response."""
    return request(random).head.encode(), mixed_answer(random)[1]


def mixed_answer(random: Random) -> Exchange:
    """Return no request: ``Http2Client`` creates it."""
    return b"", MIXED_ANSWER.format(one=random.getrandbits(128)).encode()


SCENARIOS: Final[dict[str, Callable[[Random], Exchange]]] = {
    "ping": ping,
    "proxy-1k": plain,
    TLS: plain,
    "mixed-1k": mixed,
    H2: mixed_answer,
}


class CountingTransport(asyncio.Transport):
    """Discards written data."""

    written = 0

    def write(self, data: Any) -> None:
        """Count."""
        self.written += len(data)

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Do nothing: nothing is read here."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return an address, but no socket."""
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default


class TlsClientTransport(CountingTransport):
    """The client's end of TLS. It reads nothing once the handshake is done.

    :param context: of the server.
    """

    def __init__(self, context: ssl.SSLContext, handshakes: Handshakes, app: asyncio.Protocol):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        self._tls = trusting.wrap_bio(self._incoming, self._outgoing)
        self.acceptor = TlsAcceptor(context, frozenset(), handshakes, lambda alpn: app)
        self.acceptor.connection_made(self)
        self._shake_hands()
        self.write = super().write  # type: ignore[method-assign]

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._tell(self._outgoing.read())
            self._shake_hands()
        else:
            self._tell(self._outgoing.read())

    def _tell(self, data: bytes) -> None:
        self.acceptor.data_received(data)
        self.acceptor.on_turn()  # accept was put off for lack of time in this turn

    def write(self, data: Any) -> None:
        """Take part in the handshake."""
        self._incoming.write(data)

    def encrypted(self, data: bytes) -> bytes:
        """Return data from the client; feed it in the order of these calls."""
        self._tls.write(data)
        return self._outgoing.read()


def server_context() -> ssl.SSLContext:
    """Return a server context with a new certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_certificate(folder)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


class Http2Client:
    """The client's end of HTTP/2. It reads nothing, and never limits what the server sends."""

    WINDOW: Final = 2**31 - 1
    FIRST: Final = 65_535  # the window at the start (RFC 9113, 6.9.2)

    def __init__(self, server: asyncio.Protocol) -> None:
        self._encoder = Encoder()
        self._stream = -1
        settings = struct.pack(">HL", 4, self.WINDOW)  # SETTINGS_INITIAL_WINDOW_SIZE
        more = struct.pack(">L", self.WINDOW - self.FIRST)
        server.data_received(
            PREFACE
            + frames.frame(frames.SETTINGS, 0, 0, settings)
            + frames.frame(frames.WINDOW_UPDATE, 0, 0, more)
        )

    def request(self, random: Random) -> bytes:
        """Return a unique request."""
        self._stream += 2
        block = self._encoder.request(request(random))
        return frames.header_frames(self._stream, block, frames.END_STREAM)


class DataPath:
    """One client's connection and one upstream's, both in memory.

    :param tls: whether the client speaks TLS.
    :param h2: whether it speaks HTTP/2.
    """

    def __init__(self, *, tls: bool = False, h2: bool = False) -> None:
        runtime = build(parse(CONFIGURATION, "bench"), installed_registry())
        settings = runtime.config.servers["plain"]
        tasks: Any = None  # nothing in this configuration is async
        listener = Listener(
            runtime.servers["plain"],
            client_limits(settings),
            client_tcp(settings),
            runtime.deadlines,
            runtime.writes,
            runtime.backlog,
            tasks,
            ConnectionBudget(10),
            runtime.stats,
        )
        self.random = Random(1)
        self.writes = runtime.writes
        self.client: asyncio.Protocol = (Http2Connection if h2 else Http1Connection)(listener)
        self.tls: TlsClientTransport | None = None
        if tls:
            handshakes = Handshakes(1, 10.0, runtime.deadlines, HandshakeStats(), runtime.backlog)
            self.tls = TlsClientTransport(server_context(), handshakes, self.client)
            self.client = self.tls.acceptor
        else:
            self.client.connection_made(CountingTransport())
        self.h2 = Http2Client(self.client) if h2 else None
        upstream = runtime.upstreams["origin"]
        self.upstream = UpstreamConnection(upstream, upstream.peers[0])
        self.upstream.connection_made(CountingTransport())
        upstream.peers[0].idle.append(self.upstream)

    def request(self, head: bytes, answer: bytes) -> None:
        """Take a request from its first byte to its last."""
        self.client.data_received(head)
        if answer:
            self.writes.flush()
            self.upstream.data_received(answer)
        self.writes.flush()

    def exchanges(self, make: Callable[[Random], Exchange], number: int) -> list[Exchange]:
        """Return requests with their answers."""
        made = [make(self.random) for _ in range(number)]
        if self.h2 is not None:
            return [(self.h2.request(self.random), answer) for _, answer in made]
        return made if self.tls is None else [(self.tls.encrypted(a), b) for a, b in made]


def microseconds(path: DataPath, make: Callable[[Random], Exchange]) -> float:
    """Return the CPU time of a request, in the fastest of many runs."""
    best = float("inf")
    for _ in range(300):
        batch = path.exchanges(make, 100)
        began = time.process_time()
        for head, answer in batch:
            path.request(head, answer)
        best = min(best, (time.process_time() - began) / len(batch))
    return best * 1e6


def byte_codes(path: DataPath, make: Callable[[Random], Exchange]) -> Counter[str]:
    """Count the byte codes of a request by function."""
    counted: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            code = frame.f_code
            counted[f"{Path(code.co_filename).stem}.{code.co_qualname}"] += 1
        return trace

    *warm, last = path.exchanges(make, 4)
    for head, answer in warm:
        path.request(head, answer)
    sys.settrace(trace)
    path.request(*last)
    sys.settrace(None)
    return counted


def by_module(path: DataPath, make: Callable[[Random], Exchange]) -> dict[str, float]:
    """Return the microseconds of a request by module; those of the bench itself are omitted."""
    cost = microseconds(path, make)
    sampler = Sampler()
    while sampler.seen.total() < SAMPLES:
        batch = path.exchanges(make, 1000)
        with sampler:
            for head, answer in batch:
                path.request(head, answer)
    modules = sampler.modules
    del modules["__main__"]
    return {name: cost * number / modules.total() for name, number in modules.most_common()}


def show(name: str, args: argparse.Namespace) -> None:
    """Measure one kind of request and print the selected results."""
    make = SCENARIOS[name]
    path = DataPath(tls=name == TLS, h2=name == H2)
    if args.codes:
        counted = byte_codes(path, make)
        print(f"{name}: {counted.total()} byte codes")
        for function, number in counted.most_common(45):
            print(f"  {number:5} {function}")
    elif args.modules:
        modules = by_module(path, make)
        if args.json:
            print(json.dumps(modules))
            return
        print(f"{name}: {sum(modules.values()):.2f} us")
        for module, cost in modules.items():
            print(f"  {cost:5.2f} us {module}")
    else:
        print(f"{name:22} {microseconds(path, make):6.2f} us")


async def main() -> None:
    """Print a line, or a table, for each kind of request."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--codes", action="store_true", help="count byte codes by function")
    what.add_argument("--modules", action="store_true", help="share out the time among modules")
    parser.add_argument("--only", choices=SCENARIOS, help="one kind of request")
    parser.add_argument("--json", action="store_true", help="with --modules: a JSON object each")
    args = parser.parse_args()
    for name in [args.only] if args.only else SCENARIOS:
        show(name, args)


if __name__ == "__main__":
    uvloop.run(main())
