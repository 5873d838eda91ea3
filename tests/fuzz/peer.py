"""A client's connection: writes in pieces and with pauses, reads fast or slowly, ends in some way."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
from typing import Self

from fuzz.mutate import pieces

LIMIT = 40.0
"""Seconds in which a polite client must have its answer, on a machine that is busy."""


class Wrong(AssertionError):
    """A client saw what must not be."""


class Peer:
    """A connection to the proxy.

    :param rng: decides on sizes and pauses.
    """

    def __init__(
        self, rng: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.rng, self.reader, self.writer = rng, reader, writer
        self.closed = False

    @classmethod
    async def connect(
        cls, rng: random.Random, port: int, tls: ssl.SSLContext | None = None, before: bytes = b""
    ) -> Self:
        """Connect; with TLS, and with bytes in front of that."""
        sock = socket.socket()
        sock.setblocking(False)
        if rng.random() < 0.2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.sock_connect(sock, ("127.0.0.1", port)), LIMIT)
            if before:
                await loop.sock_sendall(sock, before)
            name = "fuzz.test" if tls else None
            streams = asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name)
            return cls(rng, *await asyncio.wait_for(streams, LIMIT))
        except BaseException:
            sock.close()
            raise

    async def write(self, data: bytes) -> None:
        """Write, as the seed says."""
        slow = self.rng.random() < 0.2
        for piece in pieces(self.rng, data):
            self.writer.write(piece)
            if slow:
                await asyncio.sleep(self.rng.choice((0, 0, 0.001, 0.02)))
            await asyncio.wait_for(self.writer.drain(), LIMIT)

    async def read(self, size: int = 65_536) -> bytes:
        """Return what comes next; empty at the end."""
        if self.rng.random() < 0.05:
            await asyncio.sleep(self.rng.choice((0.001, 0.05)))
        return await asyncio.wait_for(self.reader.read(size), LIMIT)

    async def read_exactly(self, size: int) -> bytes:
        """Return so many bytes."""
        return await asyncio.wait_for(self.reader.readexactly(size), LIMIT)

    async def read_until(self, end: bytes) -> bytes:
        """Return all up to some bytes, and them."""
        return await asyncio.wait_for(self.reader.readuntil(end), LIMIT)

    async def leave(self) -> None:
        """End: orderly, half, with a reset, or after whatever comes within a moment."""
        how = self.rng.choice(("close", "reset", "half", "wait"))
        try:
            if how == "half" and self.writer.can_write_eof():
                self.writer.write_eof()
            if how in ("half", "wait"):
                async with asyncio.timeout(self.rng.choice((0.01, 0.2, 1.0))):
                    while await self.reader.read(65_536):
                        pass
        except (OSError, TimeoutError):
            pass
        finally:
            self.close(reset=how == "reset")

    def close(self, *, reset: bool = False) -> None:
        """Close now."""
        if self.closed:
            return
        self.closed = True
        if reset:
            sock = self.writer.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()
