#!/usr/bin/env python3
"""What the data path costs in Python, without kernel, network and other processes.

    .venv/bin/python contrib/bench/data_path.py [--codes]

Requests are fed to a client's connection over transports that only count. The microseconds are
those of the fastest of many short runs; with ``--codes`` the byte codes of one request are counted
instead, function by function, which is exact whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final

from pingap.builder import build, client_limits, client_tcp
from pingap.config import parse
from pingap.net.http1_connection import Http1Connection
from pingap.net.listener import ConnectionBudget, Listener
from pingap.plugins import Registry
from pingap.upstream.connection import UpstreamConnection

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
"""
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 23:54:22 GMT\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 1024\r\n"
    b"Last-Modified: Mon, 23 Nov 2026 23:54:22 GMT\r\nConnection: keep-alive\r\n"
    b'ETag: "65f0a0b1-400"\r\nAccept-Ranges: bytes\r\n\r\n' + b"x" * 1024
)
REQUESTS: Final = {
    "ping": b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1:2\r\n\r\n",
    "proxy-1k": b"GET /1k HTTP/1.1\r\nHost: 127.0.0.1:2\r\n\r\n",
    "proxy-1k of a browser": (
        b"GET /1k?n=%06d HTTP/1.1\r\nHost: 127.0.0.1:2\r\nConnection: keep-alive\r\n"
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        b"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
        b"Cookie: session=0123456789abcdef; theme=dark\r\n\r\n"
    ),
}


class CountingTransport(asyncio.Transport):
    """Takes what is written and forgets it."""

    written = 0

    def write(self, data: Any) -> None:
        """Count."""
        self.written += len(data)

    def is_closing(self) -> bool:
        """Never."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Know an address, and no socket."""
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default


class DataPath:
    """One client's connection and one upstream's, both in memory."""

    def __init__(self) -> None:
        runtime = build(parse(CONFIGURATION, "bench"), Registry())
        settings = runtime.config.servers["plain"]
        tasks: Any = None  # nothing in this configuration is async
        listener = Listener(
            runtime.servers["plain"],
            client_limits(settings),
            client_tcp(settings),
            runtime.deadlines,
            runtime.writes,
            tasks,
            ConnectionBudget(10),
            runtime.stats,
        )
        self.writes = runtime.writes
        self.client_transport = CountingTransport()
        self.client = Http1Connection(listener)
        self.client.connection_made(self.client_transport)
        upstream = runtime.upstreams["origin"]
        self.upstream = UpstreamConnection(upstream, upstream.peers[0])
        self.upstream.connection_made(CountingTransport())
        upstream.peers[0].idle.append(self.upstream)

    def request(self, head: bytes, *, proxied: bool) -> None:
        """Take a request from its first byte to its last."""
        self.client.data_received(head)
        if proxied:
            self.writes._flush()
            self.upstream.data_received(ANSWER)
        self.writes._flush()


def heads(pattern: bytes, number: int) -> list[bytes]:
    """Return as many heads, all different if the pattern has a place for a number."""
    return [pattern % at if b"%" in pattern else bytes(bytearray(pattern)) for at in range(number)]


def microseconds(path: DataPath, pattern: bytes, *, proxied: bool) -> float:
    """Return the time of a request, in the fastest of many runs."""
    best = float("inf")
    for _ in range(60):
        batch = heads(pattern, 500)
        began = time.perf_counter()
        for head in batch:
            path.request(head, proxied=proxied)
        best = min(best, (time.perf_counter() - began) / len(batch))
    return best * 1e6


def byte_codes(path: DataPath, pattern: bytes, *, proxied: bool) -> Counter[str]:
    """Count the byte codes of a request by function."""
    counted: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            code = frame.f_code
            counted[f"{Path(code.co_filename).stem}.{code.co_qualname}"] += 1
        return trace

    warm = heads(pattern, 4)
    for head in warm[:3]:
        path.request(head, proxied=proxied)
    sys.settrace(trace)
    path.request(warm[3], proxied=proxied)
    sys.settrace(None)
    return counted


async def main() -> None:
    """Print a line for each kind of request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codes", action="store_true", help="count byte codes by function")
    args = parser.parse_args()
    for name, pattern in REQUESTS.items():
        path = DataPath()
        proxied = name != "ping"
        if args.codes:
            counted = byte_codes(path, pattern, proxied=proxied)
            print(f"{name}: {counted.total()} byte codes")
            for function, number in counted.most_common(45):
                print(f"  {number:5} {function}")
        else:
            print(f"{name:22} {microseconds(path, pattern, proxied=proxied):6.2f} us")


if __name__ == "__main__":
    asyncio.run(main())
