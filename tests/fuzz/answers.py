# ruff: noqa: T201
"""Compare the answers of two builds of pingap to the same requests, odd and broken ones included.

``PYTHONPATH=tests python -m fuzz.answers OLD NEW --count 3000``, with the paths of two ``pingap`` commands.
A change that is not meant to change behaviour leaves no difference. The origin answers with the head it
got, so what is sent upstream is compared, too.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.process import Process

from fuzz import http1
from fuzz.content import Ask
from fuzz.mutate import mutate

AT_ONCE = 20
SILENCE = 0.5
"""Seconds without a byte after which an answer is taken for complete."""
HEAD_LIMIT = 1 << 20
MOST_SHOWN = 400

_TOML = """
[upstreams.origin]
addrs = ["127.0.0.1:{port}"]

[locations.plain]
path = "/plain"
upstream = "origin"

[locations.changed]
path = "/changed"
upstream = "origin"
plugins = ["pingap:requestId", "headers"]
proxy_set_headers = ["X-Real-Host: $host", "X-Peer: $remote_addr"]
enable_reverse_proxy_headers = true

[plugins.headers]
category = "response_headers"
set_headers = ["X-A: b"]

[servers.web]
addr = "127.0.0.1:0"
locations = ["plain", "changed"]
enabled_h2 = true
"""

_DATE = re.compile(rb"(?i)date: [^\r]+\r\n")
_VARYING = (
    re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"),
    re.compile(rb"(?i)(?<=x-forwarded-port: )\d+|(?<=content-length: )\d+"),
)
"""Parts that differ from run to run: request ids, ports, and lengths of heads with such parts."""

METHODS = ("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "M-SEARCH")
PATHS = (
    "",
    "/",
    "/a%2Fb",
    "/a/../b",
    "//b",
    "/%41%7e",
    "/a;b=c?d=e&d=%20&",
    "?",
    "/%",
    "/\\",
    "/é",
)
FIELDS = (
    "Accept: */*",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: x-a, close",
    "X-A: 1",
    "X-A:  2 ",
    "x-a:3",
    "Cookie: a=b; c=d",
    "Expect: 100-continue",
    "Upgrade: websocket",
    "TE: trailers",
    "Via: 1.1 x",
    "X-Forwarded-For: 1.2.3.4",
    "Forwarded: for=1.2.3.4",
    "Content-Length: 0",
    "Max-Forwards: 0",
    "Empty:",
    "Range: bytes=0-1",
)


@dataclass(frozen=True)
class Case:
    """One connection.

    :param data: what the client sends.
    """

    number: int
    data: bytes


def cases(seed: int, count: int) -> Iterator[Case]:
    """Make connections of one to three requests; half of them are broken."""
    for number in range(count):
        rng = random.Random(f"{seed}.{number}")
        requests = [_request(rng, f"{seed}.{number}.{n}") for n in range(rng.choice((1, 1, 3)))]
        data = b"".join(requests)
        yield Case(number, mutate(rng, data) if rng.random() < 0.5 else data)


def _request(rng: random.Random, key: str) -> bytes:
    location = rng.choice(("plain", "changed", "changed", "nowhere"))
    if rng.random() < 0.3:
        size = rng.choice((None, 1, 50, 3001))
        return http1.message(rng, Ask(key, location, size, 0))
    target = f"/{location}{rng.choice(PATHS)}"
    if rng.random() < 0.1:
        target = rng.choice((f"http://other.test{target}", "*", "other.test:80"))
    fields = rng.sample(FIELDS, rng.randint(0, 6))
    host = rng.choice(("a.test", "A.test:80", "[::1]", "a.test", ""))
    lines = [f"{rng.choice(METHODS)} {target} HTTP/1.{rng.choice('111110')}", f"Host: {host}"]
    return "\r\n".join([*lines, *fields, "", ""]).encode()


async def answer(port: int, case: Case) -> bytes:
    """Return all that comes back, without what differs from run to run."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        writer.write(case.data)
        await writer.drain()
        while data := await asyncio.wait_for(reader.read(65_536), SILENCE):
            found += data
        found += b"\n(closed)"
    except TimeoutError:
        found += b"\n(open)"
    except ConnectionError:
        found += b"\n(reset)"
    finally:
        writer.close()
    found = _DATE.sub(b"", found)
    for varying in _VARYING:
        found = varying.sub(b"?", found)
    return found


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with its head, as a body; then close."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b"" if head.startswith(b"HEAD ") else head
        status = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        writer.write(status + b"Content-Length: %d\r\n\r\n" % len(head) + body)
        await writer.drain()
        writer.write_eof()
        while await reader.read(65_536):
            pass
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # the proxy gave up a request
    finally:
        writer.close()


async def compare(ports: list[int], seed: int, count: int) -> int:
    """Print every difference; return how many there are."""
    found = 0
    places = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> None:
        nonlocal found
        async with places:
            old, new = [await answer(port, case) for port in ports]
            if old != new:  # perhaps the machine was slow
                old, new = [await answer(port, case) for port in ports]
        if old != new:
            found += 1
            print(f"case {seed}.{case.number}: {_short(case.data)}")
            changes = difflib.unified_diff(_lines(old), _lines(new), "old", "new", "", "", 1, "")
            print(*map(_short, changes), sep="\n")

    async with asyncio.TaskGroup() as tasks:
        for case in cases(seed, count):
            tasks.create_task(one(case))
    return found


def _short(data: bytes | str) -> str:
    text = repr(data)
    return text if len(text) < MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({len(data)} in all)"


def _lines(text: bytes) -> list[str]:
    return text.decode("latin-1").split("\r\n")


async def run(commands: list[Path], seed: int, count: int) -> int:
    """Start the origin and both builds, and compare them."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0, limit=HEAD_LIMIT)
    toml = _TOML.format(port=server.sockets[0].getsockname()[1])
    with ExitStack() as stack:
        ports = []
        for command in commands:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            start = partial(Process, toml, folder, program=(str(command),), start_seconds=60)
            proxy = await asyncio.to_thread(start)
            stack.callback(proxy.stop)
            ports.append(proxy.port("web"))
        found = await compare(ports, seed, count)
    server.close()
    return found


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="fuzz.answers", description=__doc__)
    parser.add_argument("commands", type=Path, nargs=2, metavar="PINGAP")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = asyncio.run(run(asked.commands, asked.seed, asked.count))
    print(f"{asked.count} connections, {found} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
