"""What each kind of connection does of its work in one turn of the event loop, and when it reads on."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pingap.downstream.http1_connection import Http1Connection
from pingap.downstream.http2_connection import MOST_UNSENT, Http2Connection
from pingap.downstream.listener import ClientLimits
from pingap.protocol.events import HeadLimits
from pingap.upstream.connections.http1_connection import UpstreamConnection
from pingap.upstream.connections.http2_connection import Http2UpstreamConnection
from pingap.wire.backlog import FULL_READ, Backlog
from pingap.wire.tls_transport import TlsTransport
from pingap.wire.write_batch import WriteBatch

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
UNKNOWN = struct.pack(">BHBBI", 0, 16384, 0x77, 0, 0) + bytes(16384)
SMALL = struct.pack(">BHBBI", 0, 0, 0x77, 0, 0)
RECORD = b"\x17\x03\x03\x40\x00" + bytes(16384)


class Transport:
    """Notes whether it is read."""

    reading = True
    unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass


class Clock(Backlog):
    """Says that the time of a turn is over when the test says so."""

    is_over = False

    def has_time(self) -> bool:
        return not self.is_over


def client(kind: Any, backlog: Backlog, transport: Transport, start: bytes) -> Any:
    limits = ClientLimits(HeadLimits(), pipeline_buffer_size=2**20)
    connection = kind(SimpleNamespace(limits=limits, writes=WriteBatch(), backlog=backlog))
    connection._transport = transport
    if start:
        connection.codec.start()
        connection.data_received(start)
    return connection


class Open(TlsTransport):
    """Is past its handshake, and reads what it is sent as it is."""

    def _decrypt(self, record: bytes) -> bytes:
        return record[5:]


def tls(backlog: Backlog, transport: Transport) -> Any:
    connection = Open(ssl.create_default_context(), backlog, "localhost")
    connection._raw = transport  # type: ignore[assignment]
    connection._app = SimpleNamespace(data_received=len)  # type: ignore[assignment]
    return connection


def upstream(kind: Any, backlog: Backlog, transport: Transport, start: bytes) -> Any:
    pool = SimpleNamespace(writes=WriteBatch(), backlog=backlog)
    timeouts = SimpleNamespace(read=None, write=None, idle=None)
    runtime = SimpleNamespace(
        name="u", timeouts=timeouts, pool=pool, has_tls=False, max_h2_streams=1
    )
    connection = kind(runtime, SimpleNamespace(text="p", shared=SimpleNamespace(offer=id)))
    connection._transport = transport
    if kind is UpstreamConnection:
        exchange = SimpleNamespace(
            tunnelling=False, on_upstream_head=id, on_upstream_chunk=len, on_upstream_waiting=int
        )
        connection._exchange = exchange
        connection._decoder.expect("GET", "")
    connection.data_received(start)
    return connection


KINDS: dict[str, tuple[Callable[[Backlog, Transport], Any], bytes, bytes]] = {
    "HTTP/1.1": (lambda *at: client(Http1Connection, *at, b""), b"\r\n", b"\r\n"),
    "HTTP/2": (
        lambda *at: client(Http2Connection, *at, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS),
        UNKNOWN,
        SMALL,
    ),
    "TLS": (tls, RECORD, b"\x17\x03\x03\x00\x01x"),
    "HTTP/1.1 upstream": (
        lambda *at: upstream(
            UpstreamConnection, *at, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ),
        b"4000\r\n" + bytes(16384) + b"\r\n",
        b"1\r\nx\r\n",
    ),
    "HTTP/2 upstream": (
        lambda *at: upstream(Http2UpstreamConnection, *at, SETTINGS),
        UNKNOWN,
        SMALL,
    ),
}
"""How a connection is made, and what it is sent: large units, and small ones."""


@pytest.mark.parametrize("kind", KINDS)
def test_other_sockets_are_read_first_after_a_full_read(kind: str) -> None:
    """(libuv would read on from the same one, up to 32 times, whatever else is ready.)"""
    make, unit, _ = KINDS[kind]

    async def run() -> None:
        transport = Transport()
        connection = make(Clock(WriteBatch()), transport)
        connection.data_received(unit * (32768 // len(unit)))
        assert transport.reading
        connection.data_received(unit * (FULL_READ // len(unit) + 1))
        assert not transport.reading
        for _ in range(3):
            await asyncio.sleep(0)
        assert transport.reading, "it goes on in the next turn"

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_work_stops_when_the_time_is_over(kind: str) -> None:
    make, _, unit = KINDS[kind]

    async def run() -> None:
        transport, backlog = Transport(), Clock(WriteBatch())
        connection = make(backlog, transport)
        backlog.is_over = True
        connection.data_received(unit * max(100, 70_000 // len(unit) if unit != SMALL else 0))
        for _ in range(2):
            assert not transport.reading
            connection.on_turn()
        assert not transport.reading
        backlog.is_over = False
        for _ in range(10):
            await asyncio.sleep(0)
        assert transport.reading, "the rest is done in further turns"

    asyncio.run(run())


def test_no_further_frame_is_read_of_a_client_that_takes_no_answers() -> None:
    make, _, unit = KINDS["HTTP/2"]

    async def run() -> None:
        transport = Transport()
        connection = make(Clock(WriteBatch()), transport)
        connection.writable, transport.unsent = False, MOST_UNSENT + 1
        connection.data_received(10 * unit)
        assert connection.codec.unfinished
        for _ in range(3):
            await asyncio.sleep(0)
        assert connection.codec.unfinished
        assert not transport.reading
        transport.unsent = 0
        connection.resume_writing()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not connection.codec.unfinished
        assert transport.reading

    asyncio.run(run())
