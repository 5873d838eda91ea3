"""Clients that leave at every step of every path leave nothing behind.

Proxy, upstreams and clients share one event loop, so that a client can leave after any number of its
turns. Afterwards everything that is counted has to be as before.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import h2.config
import h2.connection
import pytest
import uvloop
from support.certificates import issue

from pingap import (
    AsyncBodyFilter,
    BodyFilter,
    FileBody,
    Headers,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    ThreadedBodyFilter,
    hookimpl,
)
from pingap.observability.log_files import LogFiles
from pingap.plugins.file_body import _threads as FILES  # noqa: N812
from pingap.plugins.threaded_filter import _threads as FILTERS  # noqa: N812
from pingap.testing.build import build_runtime
from pingap.worker.worker import Worker

PATHS = [
    "plain", "h2", "proxied", "tls", "tlsh2", "retried", "named", "odd", "slow", "produced", "whole",
    "filtered", "awaiting", "threaded", "held", "read", "file", "cold",
]  # fmt: skip
"""Locations of the proxy, each with its own kind of upstream or plugins."""
BODIES = ["awaiting", "threaded", "held", "read", "file", "cold"]
TURNS = [*range(14), 16, 18, 21, 25, 30, 40, 60]
ROOT = issue(ca=True, common_name="root")
ORIGIN = issue("origin.test", by=ROOT)


class Slow(Plugin):
    """Awaits in every phase that may be async, and produces or filters bodies."""

    category = "slow"

    @hookimpl
    async def early_request(self, request: Request, ctx: RequestContext) -> None:
        await asyncio.sleep(0)

    @hookimpl
    async def request(self, request: Request, ctx: RequestContext) -> Response | None:
        with anyio.fail_after(5):
            await asyncio.sleep(0)
        return Response(200, self._pieces()) if request.path == "/produced" else None

    async def _pieces(self) -> AsyncIterable[bytes]:
        for _ in range(6):
            await asyncio.sleep(0)
            yield b"x" * 100_000

    @hookimpl
    async def upstream_response(
        self, request: Request, response: Response, ctx: RequestContext
    ) -> None:
        await asyncio.sleep(0)

    @hookimpl
    async def logging(self, request: Request, response: Response, ctx: RequestContext) -> None:
        await asyncio.sleep(0)


class Whole(Plugin):
    """Has the whole request body read."""

    category = "whole"

    whole_request_body = 100_000


class Counting(BodyFilter):
    """Counts the filters that wait for their end."""

    waiting = 0

    def __init__(self) -> None:
        Counting.waiting += 1

    def end(self, trailers: Headers) -> bytes:
        Counting.waiting -= 1
        return b""

    def abandoned(self, outcome: object) -> None:
        Counting.waiting -= 1


class Filters(Plugin):
    """Looks at both bodies."""

    category = "filters"
    body = "reads"

    @hookimpl
    def request_body(self, request: Request, ctx: RequestContext) -> BodyFilter:
        return Counting()

    @hookimpl
    def response_body(self, request: Request, response: Response, ctx: Any) -> BodyFilter:
        return Counting()


class AsyncCounting(AsyncBodyFilter):
    """The same, with methods that await."""

    def __init__(self) -> None:
        Counting.waiting += 1

    async def feed(self, chunk: bytes) -> bytes:
        for _ in range(3):
            await asyncio.sleep(0)
        return chunk

    async def flush(self) -> bytes:
        await asyncio.sleep(0)
        return b""

    async def end(self, trailers: Headers) -> bytes:
        Counting.waiting -= 1
        for _ in range(3):
            await asyncio.sleep(0)
        return b""

    def abandoned(self, outcome: object) -> None:
        Counting.waiting -= 1


class Held(Counting):
    """Has the head wait for a body that is too large for that."""

    hold_head = 2000


class Bodies(Plugin):
    """Filters both bodies in another way, reads requests, and sends files."""

    category = "bodies"
    body = "reads"
    path = Path()

    class Settings(PluginSettings):
        what: str

    def __init__(self, settings: Any) -> None:
        self.what = settings.what

    @hookimpl
    async def request(self, request: Request, ctx: RequestContext) -> Response | None:
        if self.what == "read":
            await ctx.read_body(100_000)
        if self.what in ("file", "cold"):
            if request.method == "GET":
                return Response(200, FileBody(self.path))
            return Response(200, FileBody(os.open(self.path, os.O_RDONLY)))
        return None

    @hookimpl
    def request_body(self, request: Request, ctx: RequestContext) -> Any:
        return self.make_filter()

    @hookimpl
    def response_body(self, request: Request, response: Response, ctx: Any) -> Any:
        return self.make_filter()

    def make_filter(self) -> BodyFilter | AsyncBodyFilter | None:
        if self.what == "awaiting":
            return AsyncCounting()
        if self.what == "threaded":
            return ThreadedBodyFilter(Counting())
        return Held() if self.what == "held" else None


INNER = """
[basic]
trusted_proxies = ["127.0.0.1"]
[plugins.m]
category = "mock"
data = "{data}"
[locations.all]
plugins = ["m"]
[servers.plain]
addr = "127.0.0.1:0"
locations = ["all"]
enabled_h2 = true
[servers.proxied]
addr = "127.0.0.1:0"
locations = ["all"]
proxy_protocol = true
[servers.tls]
addr = "127.0.0.1:0"
locations = ["all"]
enabled_h2 = true
global_certificates = true
"""


def _upstream(name: str, addr: str, more: str = "", location: str = "") -> str:
    return f"""
[upstreams.{name}]
addrs = [{addr}]
circuit_break_max_consecutive_failures = 1000
enable_backend_stats = true
{more}
[locations.{name}]
path = "/{name}"
upstream = "{name}"
{location}
"""


def _edge(plain: str, proxied: str, tls: str, odd: str, folder: Path) -> str:
    ca = f'sni = "origin.test"\nupstream_ca = "{folder}/root.pem"\n'
    plain, proxied, tls, odd = (f'"{addr}"' for addr in (plain, proxied, tls, odd))
    parts = [
        _upstream("plain", plain),
        _upstream("h2", plain, 'alpn = "H2"\nmax_h2_streams = 3'),
        _upstream("proxied", proxied, 'proxy_protocol = "v2"'),
        _upstream("tls", tls, ca),
        _upstream("tlsh2", tls, ca + 'alpn = "H2H1"'),
        _upstream("retried", f'"127.0.0.1:1", {plain}', "", "max_retries = 3"),
        _upstream("named", plain.replace("127.0.0.1", "localhost")),
        _upstream("odd", odd, 'connection_timeout = "300ms"'),
        _upstream("slow", plain, "", 'plugins = ["slow"]'),
        _upstream("produced", plain, "", 'plugins = ["slow", "filters"]'),
        _upstream("whole", plain, "", 'plugins = ["whole"]'),
        _upstream("filtered", plain, "", 'plugins = ["filters"]'),
        *(_upstream(name, plain, "", f'plugins = ["{name}"]') for name in BODIES),
    ]
    plugins = "".join(
        f'[plugins.{one}]\ncategory = "{one}"\n' for one in ("slow", "whole", "filters")
    ) + "".join(f'[plugins.{one}]\ncategory = "bodies"\nwhat = "{one}"\n' for one in BODIES)
    listed = ", ".join(f'"{name}"' for name in PATHS)
    return (
        "".join(parts)
        + plugins
        + f"""
[servers.web]
addr = "127.0.0.1:0"
locations = [{listed}]
enabled_h2 = true
"""
    )


class Rig:
    """A proxy, and the proxy that is its upstream."""

    def __init__(self, edge: Worker, inner: Worker) -> None:
        self.workers = [edge, inner]
        self.port = int(edge.addresses["web"][0].rpartition(":")[2])

    def state(self) -> dict[str, object]:
        """Return all that is counted, without what is idle."""
        state: dict[str, object] = {
            "tasks": len(asyncio.all_tasks()),
            "files": len(list(Path("/proc/self/fd").iterdir())),
            "filters": Counting.waiting,
            "threads": [one.get().borrowed_tokens for one in (FILES, FILTERS)],
        }
        for number, worker in enumerate(self.workers):
            runtime = worker.runtime
            runtime.pool.close()
            fronts = worker._fronts.values()
            peers = [peer for one in runtime.upstreams.values() for peer in one.peers]
            breakers = [peer.breaker.breaker for peer in peers if peer.breaker is not None]
            state[f"worker {number}"] = {
                "clients": [front.listener.connections for front in fronts],
                "budget": worker._budget.used,
                "hooks": [len(front.listener.tasks._running) for front in fronts],
                "upstream": {one.name: one.connections for one in runtime.upstreams.values()},
                "in flight": [peer.in_flight for peer in peers],
                "attempts": [len(one._attempts) + len(one._probes) for one in breakers],
                "watched": len(runtime.deadlines._watched),
                "processing": [one.stats.processing for one in runtime.locations.values()],
            }
        return state


async def _odd_origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Agree to a WebSocket, or send half an answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"pgrade" in head:
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
            )
            while data := await reader.read(100):
                writer.write(data)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
            await reader.read()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def _port(worker: Worker, server: str) -> str:
    return worker.addresses[server][0].removeprefix("https://").removeprefix("http://")


@asynccontextmanager
async def _rig(folder: Path) -> AsyncIterator[Rig]:
    (folder / "root.pem").write_text(ROOT.cert)
    Bodies.path = folder / "file"
    Bodies.path.write_bytes(b"f" * 600_000)
    data = INNER.format(data="d" * 3000) + ORIGIN.toml("origin", 'domains = "origin.test"')
    inner = Worker(build_runtime(data, [], LogFiles()))
    inner.bind()
    odd = await asyncio.start_server(_odd_origin, "127.0.0.1", 0)
    addr = f"127.0.0.1:{odd.sockets[0].getsockname()[1]}"
    plain, proxied, tls = (_port(inner, one) for one in ("plain", "proxied", "tls"))
    toml = _edge(plain, proxied, tls, addr, folder)
    edge = Worker(build_runtime(toml, [Slow, Whole, Filters, Bodies], LogFiles()))
    edge.bind()
    async with inner.serving(), edge.serving(), odd:
        yield Rig(edge, inner)


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def _http1(rig: Rig, data: bytes, turns: int, rest: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(data)
    if rest:
        await _turns(turns // 2)
        writer.write(rest)
    await _turns(turns)
    if b" /odd " in data:  # an end of its side is not enough to tell that the client has left
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _http2(rig: Rig, path: str, turns: int, *, stream_only: bool) -> None:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)]
    for stream in (1, 3, 5, 7):
        client.send_headers(stream, fields, end_stream=True)
    _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(client.data_to_send())
    await _turns(turns)
    if stream_only:
        for stream in (1, 3, 5, 7):
            client.reset_stream(stream, 8)
        writer.write(client.data_to_send())
        await _turns(4)
    writer.transport.abort()


async def _settled(rig: Rig, before: dict[str, object], what: str) -> None:
    end = time.monotonic() + 10
    while (now := rig.state()) != before:
        assert time.monotonic() < end, f"{what}: {_differences(before, now)}"
        await asyncio.sleep(0.002)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    found = []
    for key, old in before.items():
        if isinstance(old, dict) and "clients" in old:
            found += [f"{key}: {one}" for one in _differences(old, now[key])]
        elif now[key] != old:
            found.append(f"{key}: {old} became {now[key]}")
    return found


GET = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"
UPGRADE = b"GET /odd HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


def _cases() -> dict[str, Callable[[Rig, int], Any]]:
    cases: dict[str, Callable[[Rig, int], Any]] = {}
    for path in PATHS:
        get, post = GET % path.encode(), POST % path.encode()
        cases[f"{path} GET"] = lambda rig, turns, data=get: _http1(rig, data, turns, b"")
        cases[f"{path} POST"] = lambda rig, turns, data=post: _http1(rig, data, turns, b"")
        cases[f"{path} whole POST"] = lambda rig, turns, data=post: _http1(
            rig, data, turns, b"defghi"
        )
        cases[f"{path} HTTP/2"] = lambda rig, turns, path=path: _http2(
            rig, f"/{path}", turns, stream_only=False
        )
        cases[f"{path} streams"] = lambda rig, turns, path=path: _http2(
            rig, f"/{path}", turns, stream_only=True
        )
    cases["tunnel"] = lambda rig, turns: _http1(rig, UPGRADE, turns, b"hello")
    return cases


@pytest.mark.parametrize("path", [*PATHS, "tunnel"])
def test_a_client_that_leaves_at_any_step_leaves_nothing(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "cold":  # as if it were not in memory
        monkeypatch.setattr("pingap.plugins.file_body._NO_WAIT", 0)

    async def main() -> None:
        async with _rig(tmp_path) as rig:
            cases = {name: one for name, one in _cases().items() if name.split()[0] == path}
            for leave in cases.values():  # what is made once is made now
                await leave(rig, 300)
            await asyncio.sleep(0.5)
            rig.state()
            await asyncio.sleep(0.1)
            before = rig.state()
            for name, leave in cases.items():
                for turns in TURNS:
                    await leave(rig, turns)
                    await _settled(rig, before, f"{name}, left after {turns} turns")

    uvloop.run(main())
