"""The origin of HTTP/1.1: strict about what it receives, and broken on demand."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable

from fuzz.content import Book
from fuzz.http1 import chunked

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)")
_HUGE = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 50


class Malformed(Exception):
    """The proxy sent what is no request."""


class Origin:
    """Answers asks exactly, and other paths in all ways there are.

    :param book: of what was asked.
    :param seed: decides on framing and on failures.
    """

    def __init__(self, book: Book, seed: str) -> None:
        self._book = book
        self._rng = random.Random(seed)
        self._odd: tuple[Callable[[asyncio.StreamWriter], Awaitable[None]], ...] = (
            self._nothing, self._half_head, self._bad_head, self._bad_length, self._cut_body,
            self._cut_chunks, self._bad_chunks, self._flood, self._two_lengths, self._slow, self._reset,
        )  # fmt: skip

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection of the proxy."""
        try:
            while await self._one(reader, writer):
                pass
        except Malformed as error:
            self._book.wrong.append(f"an origin got what is no request: {error}")
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the proxy has left
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].split(b"\r\n")
        found = _LINE.fullmatch(line)
        fields = [_FIELD.fullmatch(one) for one in lines]
        if found is None or None in fields:
            raise Malformed(repr(head[:300]))
        named = [(one[1].lower(), one[2].strip()) for one in fields if one is not None]
        target = found[2].decode("latin-1")
        if "/odd/" in target and self._rng.random() < 0.9:
            await self._rng.choice(self._odd)(writer)
            return False
        if (b"upgrade", b"websocket") in named:
            return await self._echo(reader, writer, dict(named))
        try:
            data = await self._body(reader, named)
        except ValueError as error:
            raise Malformed(f"{head[:300]!r}: {error}") from None
        answer = self._book.received(found[1].decode(), target, data)
        await self._answer(writer, answer, found[1] == b"HEAD")
        return True

    async def _body(self, reader: asyncio.StreamReader, fields: list[tuple[bytes, bytes]]) -> bytes:
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        if len(lengths) + len(codings) > 1 or codings not in ([], [b"chunked"]):
            raise ValueError("two ways to read the body")
        if lengths:
            return await reader.readexactly(int(lengths[0]))
        data = b""
        if codings:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                data += await reader.readexactly(size)
                if await reader.readexactly(2) != b"\r\n":
                    raise ValueError("a chunk has no end")
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
        return data

    async def _answer(self, writer: asyncio.StreamWriter, data: bytes, bodyless: bool) -> None:
        rng = self._rng
        if rng.random() < 0.1:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        if rng.random() < 0.4:
            head, data = b"Transfer-Encoding: chunked", chunked(rng, data)
        else:
            head = b"Content-Length: %d" % len(data)
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % head)
        data = b"" if bodyless else data
        while data:
            size = rng.choice((1, 100, 10_000, 100_000, 1_000_000))
            writer.write(data[:size])
            data = data[size:]
            if rng.random() < 0.05:
                await asyncio.sleep(0.002)
            await writer.drain()

    async def _echo(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fields: dict[bytes, bytes]
    ) -> bool:
        """Change the protocol, and send back what comes. (Pingap checks the key by itself.)"""
        from pingap.protocol.websocket import accept_value

        key = accept_value(fields.get(b"sec-websocket-key", b"").decode())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % key.encode()
        )
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        return False

    # What origins do wrong.

    async def _nothing(self, writer: asyncio.StreamWriter) -> None:
        """End without an answer."""

    async def _half_head(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")

    async def _bad_head(self, writer: asyncio.StreamWriter) -> None:
        writer.write(
            self._rng.choice((b"\0\0\0", b"HTTP/1.1 2x0 OK\r\n\r\n", b"SMTP\r\n\r\n", b"\r\n" * 9))
        )

    async def _bad_length(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello")

    async def _two_lengths(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")

    async def _cut_body(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhello")

    async def _cut_chunks(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    async def _bad_chunks(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")

    async def _flood(self, writer: asyncio.StreamWriter) -> None:
        for _ in range(20):
            writer.write(_HUGE)
            await writer.drain()

    async def _slow(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        for byte in b"abc":
            await asyncio.sleep(self._rng.random() / 5)
            writer.write(bytes([byte]))

    async def _reset(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
