"""A client's connection of HTTP/1.1 under events in any order, without sockets.

Every complete request is answered, once and in its order; nothing is left waiting, and the connection
ends when its client has ended.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from typing import Any, Final

import pytest

from pingap.build.client_options import client_limits, client_tcp
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import parse as parse_config
from pingap.downstream.http1_connection import Http1Connection
from pingap.downstream.listener import ConnectionBudget, Listener
from pingap.proxy.async_hooks import HookTasks
from pingap.upstream.connections.http1_connection import UpstreamConnection

CONFIGURATION: Final = """
[upstreams.origin]
addrs = ["127.0.0.1:1"]

[plugins.ping]
category = "ping"
path = "/ping"

[locations.ping]
path = "=/ping"
plugins = ["ping"]

[locations.all]
upstream = "origin"
path = "/"

[servers.plain]
addr = "127.0.0.1:2"
locations = ["ping", "all"]
"""
END: Final = None
HALVES: Final = (
    b"GET /half HTT",
    b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
    b"POST /half HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
)
"""What may come last; only a client that ends its side leaves a body incomplete."""
HIGH: Final = 4096
"""Bytes of a transport above which it wants no more."""


class Transport(asyncio.Transport):
    """Does what uvloop does, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.incoming: deque[bytes | None] = deque()
        self.reading = True
        self.at_end = False
        self.buffer = b""
        self.taken = b""
        self.full = self.closing = self.ended = self.lost = False

    # What the peer does.

    def deliver(self) -> bool:
        """Pass on one thing that came; False if there is nothing, or it is not read."""
        if self.closing or not self.reading or not (self.incoming or self.at_end):
            return False
        if self.incoming and (data := self.incoming.popleft()) is not None:
            self.protocol.data_received(data)
            return True
        self.at_end, self.reading = True, False  # uvloop: the end is told again by the next reading
        if not self.protocol.eof_received():
            self.close()
        return True

    def take(self, size: int) -> None:
        """Let the peer read."""
        self.taken += self.buffer[:size]
        self.buffer = self.buffer[size:]
        if self.full and len(self.buffer) < HIGH // 4 and not self.lost:
            self.full = False
            self.protocol.resume_writing()
        if self.closing and not self.buffer:
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        self.closing = True
        if not self.lost:
            self.lost = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)

    # What the protocol calls.

    def write(self, data: Any) -> None:
        assert not self.ended, "written behind the end"
        if self.closing:
            return
        self.buffer += data
        if len(self.buffer) > HIGH and not self.full:
            self.full = True
            self.protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closing = True
        if not self.buffer:
            self._lose(None)

    def abort(self) -> None:
        self.buffer = b""
        self._lose(None)

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default


HEAD: Final = re.compile(rb"(\w+) /(\w+)(.*?)\r\n\r\n", re.DOTALL)


class Origin:
    """A connection to the origin, which answers in pieces, when the test says so."""

    def __init__(self, protocol: UpstreamConnection, chance: random.Random) -> None:
        self.transport = transport = Transport()
        transport.protocol = protocol
        self.chance = chance
        protocol.connection_made(transport)

    def act(self) -> bool:
        """Do one thing; False if there is nothing to do."""
        transport = self.transport
        transport.take(self.chance.choice((100, 1000, 100_000)))
        if transport.deliver():
            return True
        if transport.incoming or transport.lost:
            return False
        taken = transport.taken
        if (match := HEAD.match(taken)) is None:
            return False
        body = taken[match.end() :]
        length = re.search(rb"\r\ncontent-length: (\d+)", match[0], re.IGNORECASE)
        if length is not None:
            if len(body) < int(length[1]):
                return False
            rest = body[int(length[1]) :]
        elif b"chunked" in match[0].lower():
            _, end, rest = body.partition(b"0\r\n\r\n")
            if not end:
                return False
        else:
            rest = body
        transport.taken = rest
        transport.incoming.extend(self.answer(match[2]))
        return True

    def answer(self, name: bytes) -> list[bytes]:
        text = name * self.chance.choice((1, 1, 1, 1000))
        kind = self.chance.random()
        if kind < 0.5:
            data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
        elif kind < 0.9:
            data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            data += b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text)
        else:
            data = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
                len(text),
                text,
            )
        if self.chance.random() < 0.5:
            return [data]
        cut = sorted(self.chance.randrange(len(data)) for _ in range(self.chance.choice((1, 2, 5))))
        return [data[a:b] for a, b in zip([0, *cut], [*cut, len(data)], strict=True) if a < b]


class Model:
    """One run.

    :param seed: of everything that is chosen at random.
    """

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.runtime = runtime = build(parse_config(CONFIGURATION, "model"), installed_registry())
        settings = runtime.config.servers["plain"]
        self.listener = Listener(
            runtime.servers["plain"],
            client_limits(settings),
            client_tcp(settings),
            runtime.deadlines,
            runtime.writes,
            runtime.backlog,
            HookTasks(runtime.deadlines),
            ConnectionBudget(10),
            runtime.stats,
        )
        has_time, busy = runtime.backlog.has_time, chance.choice((0, 0.3, 0.9))
        runtime.backlog.has_time = lambda: has_time() and chance.random() >= busy  # type: ignore[method-assign]
        self.origins: list[Origin] = []
        runtime.upstreams["origin"].connect = self.connect  # type: ignore[method-assign]
        self.client = Transport()
        self.client.protocol = Http1Connection(self.listener)
        self.client.protocol.connection_made(self.client)
        self.requests: list[tuple[bytes, bytes]] = []

    async def connect(self, peer: Any, *_: Any, **options: Any) -> UpstreamConnection:
        connection = UpstreamConnection(self.runtime.upstreams["origin"], peer)
        self.origins.append(Origin(connection, self.chance))
        return connection

    def request(self) -> bytes:
        """Return a request, and expect its answer."""
        chance, name = self.chance, b"r%d" % len(self.requests)
        kind = chance.random()
        if kind < 0.3:
            self.requests.append((b"ping", b"pong"))
            return b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"
        self.requests.append((name, name))
        if kind < 0.7:
            return b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % name
        body = b"x" * chance.choice((1, 100, 20_000))
        if kind < 0.85:
            return b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (
                name,
                len(body),
                body,
            )
        return (
            b"POST /%b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
            % (
                name,
                len(body),
                body,
            )
        )

    def plan(self) -> list[bytes | None]:
        """Return what the client sends, in pieces."""
        chance = self.chance
        data = b"".join(self.request() for _ in range(chance.choice((1, 2, 3, 8, 30))))
        ends = chance.random() < 0.7
        if chance.random() < 0.2:
            data += chance.choice(HALVES if ends else HALVES[:1])
        cuts = sorted(chance.randrange(len(data)) for _ in range(chance.choice((0, 0, 1, 3, 10))))
        pieces: list[bytes | None] = [
            data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b
        ]
        if ends:
            pieces.append(END)
        return pieces

    async def step(self, work: list[Any]) -> bool:
        """Let the loop go round a few times, and one of those who can do something."""
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            await asyncio.sleep(0)
        sides = [*work, *(origin.act for origin in self.origins)]
        self.chance.shuffle(sides)
        return any(side() for side in sides)

    def read(self) -> bool:
        """Let the client take something."""
        size = len(self.client.buffer)
        self.client.take(self.chance.choice((1, 100, 5000, 1_000_000)))
        return bool(size)

    async def run(self) -> None:
        client, pieces = self.client, deque(self.plan())
        half = b"half" in b"".join(piece or b"" for piece in pieces)
        ends = pieces[-1] is END
        lazy = self.chance.random() < 0.3

        def send() -> bool:
            if not pieces:
                return False
            client.incoming.append(pieces.popleft())
            return True

        work = [send, client.deliver] + ([] if lazy else [self.read])
        await self.settle(work)
        await self.settle([send, client.deliver, self.read])
        answers = parse(client.taken)
        expected = [body for _, body in self.requests]
        assert [re.sub(rb"^(r\d+|pong)\1*$", rb"\1", one) for one in answers] == expected
        if ends:
            assert client.lost, "the client has ended, and the connection has not"
        else:
            assert not client.lost
            assert client.reading, "nothing is read any more"
        assert not client.protocol.exchanges
        assert self.runtime.stats.processing == 0
        if not (ends or half):
            client.incoming.append(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
            await self.settle([client.deliver, self.read])
            assert len(parse(client.taken)) == len(expected) + 1
        client.abort()
        for _ in range(5):
            await asyncio.sleep(0)

    async def settle(self, work: list[Any]) -> None:
        """Go on until nobody has anything to do."""
        idle = 0
        while idle < 20:
            idle = 0 if await self.step(work) else idle + 1
            if idle:
                await asyncio.sleep(0)


def parse(data: bytes) -> list[bytes]:
    """Return the bodies of answers."""
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"half an answer: {head!r}"
        if head.startswith(b"HTTP/1.1 100"):
            continue
        assert head.startswith(b"HTTP/1.1 200"), head
        if match := re.search(rb"\r\nContent-Length: (\d+)", head):
            size = int(match[1])
            found.append(data[:size])
            assert len(data) >= size
            data = data[size:]
        else:
            body = b""
            while True:
                size_line, _, data = data.partition(b"\r\n")
                size = int(size_line, 16)
                body += data[:size]
                data = data[size + 2 :]
                if not size:
                    break
            found.append(body)
    return found


@pytest.mark.parametrize("seed", range(300))
def test_every_request_is_answered_in_order(seed: int) -> None:
    async def run() -> None:
        await Model(seed).run()

    asyncio.run(run())
