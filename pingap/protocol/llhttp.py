"""What reading requests and responses through llhttp have in common.

llhttp is given a whole head, and then, for a chunked body, slices that end at an empty line: a
chunked message ends at an empty line and nowhere else, so llhttp never sees the first byte of what
follows a message. Bodies of known length are counted and not shown to it at all.
"""

from __future__ import annotations

import re
from typing import Any, Final

import httptools

from pingap.messages import Headers
from pingap.protocol.events import HeadLimits

END_OF_HEAD: Final = b"\r\n\r\n"
BARE_LF: Final = re.compile(rb"(?<!\r)\n")

OVERHEAD: Final = 16 * 1024
OVERHEAD_PER_CHUNK: Final = 32


class Malformed(Exception):
    """The peer broke the protocol; the message says how."""


class LlhttpReader:
    """Collects what llhttp calls back.

    :param limits: of a head; the number of fields is also that of the trailers.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_complete",
        "_limits",
        "_overhead_left",
        "_pairs",
        "_parser",
        "_spoiled",
        "_tail",
    )

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._parser: Any = None
        self._spoiled = False  # llhttp takes Proxy-Connection for Connection; nobody else does
        self._pairs: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._chunks = 0
        self._complete = False
        self._tail = b""  # the last bytes llhttp was given, which may begin an empty line
        self._overhead_left = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value))

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, chunk: bytes) -> None:
        self._body.append(chunk)

    def on_message_complete(self) -> None:
        self._complete = True

    def _begin_chunked(self) -> None:
        self._tail = b""
        self._complete = False
        self._overhead_left = OVERHEAD

    def _read_chunked(self, data: bytes) -> tuple[bytes, int]:
        """Read a piece of a chunked body; sets ``_complete`` at its end.

        :returns: body bytes, and how many bytes of the piece belong to the message.
        :raises Malformed: bad chunked coding, or too much that is not body.
        """
        start, size = 0, len(data)
        view = memoryview(data)
        self._chunks = 0
        while start < size and not self._complete:
            end = self._next_slice(data, start)
            try:
                self._parser.feed_data(view[start:end])
            except httptools.HttpParserError as error:
                raise Malformed(f"chunked body: {error}") from None
            start = end
        self._tail = (self._tail + data[-3:])[-3:]
        body, self._body = b"".join(self._body), []
        self._count_overhead(start - len(body))
        return body, start

    def _next_slice(self, data: bytes, start: int) -> int:
        """Return the end of the next empty line, which may have begun in the previous piece."""
        if start == 0 and self._tail:
            seam = (self._tail + data[:3]).find(END_OF_HEAD)
            if seam >= 0:
                return seam + 4 - len(self._tail)
        end = data.find(END_OF_HEAD, start)
        return len(data) if end < 0 else end + 4

    def _count_overhead(self, size: int) -> None:
        """Bound what is not body: chunk sizes, extensions, trailers.

        Some bytes are allowed for each chunk, so that streams of tiny chunks pass; a flood of
        extensions or trailers does not, however large the body was.
        """
        earned = OVERHEAD_PER_CHUNK * self._chunks
        self._overhead_left = min(OVERHEAD, self._overhead_left + earned - size)
        if self._overhead_left < 0 or len(self._pairs) > self._limits.fields:
            raise Malformed("chunked body: too many extensions or trailers")

    def _take_trailers(self) -> Headers | None:
        if not self._pairs:
            return None
        pairs, self._pairs = self._pairs, []
        return Headers.of([(name, value.strip(b" \t")) for name, value in pairs])


def strip_values(head: bytes, pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Strip white space that llhttp leaves at the end of values (RFC 9112, 5.1)."""
    if b" \r\n" in head or b"\t\r\n" in head:
        return [(name, value.rstrip(b" \t")) for name, value in pairs]
    return pairs
