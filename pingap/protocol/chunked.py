"""Reading bodies in chunked coding (RFC 9112, 7.1), by llhttp, without IO.

llhttp is given slices that end at an empty line: a chunked message ends at an empty line and nowhere
else, so llhttp never sees the first byte of what follows a message.
"""

from __future__ import annotations

from typing import Any, Final

import httptools

from pingap.headers import Headers
from pingap.protocol.http1_head import END_OF_HEAD, Malformed

OVERHEAD: Final = 16 * 1024
OVERHEAD_PER_CHUNK: Final = 32

_BEGIN: Final = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


class ChunkedDecoder:
    """The chunked bodies of one connection, one after the other.

    ``begin`` announces a body, ``feed`` reads a piece of it. Once it is ``complete``,
    ``take_trailers`` returns what followed it.

    :param most_trailers: fields that may follow a body.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_most_trailers",
        "_overhead_left",
        "_pairs",
        "_parser",
        "_tail",
        "complete",
    )

    def __init__(self, most_trailers: int) -> None:
        self._most_trailers = most_trailers
        self._parser: Any = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._chunks = 0
        self._overhead_left = OVERHEAD
        self._tail = b""  # the last bytes llhttp was given, which may begin an empty line
        self._pairs: list[tuple[bytes, bytes]] = []
        self.complete = True

    # Called by llhttp.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value))

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, chunk: bytes) -> None:
        self._body.append(chunk)

    def on_message_complete(self) -> None:
        self.complete = True

    # Called by the decoders of messages.

    def begin(self) -> None:
        """Prepare for the next body."""
        self._parser.feed_data(_BEGIN)
        self._pairs.clear()
        self._tail = b""
        self._overhead_left = OVERHEAD
        self.complete = False

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Read a piece of the body; sets ``complete`` at its end.

        :returns: body bytes, and how many bytes of the piece belong to the message.
        :raises Malformed: bad chunked coding, or too much that is not body.
        """
        start, size = 0, len(data)
        view = memoryview(data)
        self._chunks = 0
        while start < size and not self.complete:
            end = self._next_slice(data, start)
            try:
                self._parser.feed_data(view[start:end])
            except httptools.HttpParserError as error:
                raise Malformed(f"malformed chunked body: {error}") from None
            start = end
        self._tail = (self._tail + data[-3:])[-3:]
        body, self._body = b"".join(self._body), []
        self._count_overhead(start - len(body))
        return body, start

    def take_trailers(self) -> Headers | None:
        """Return the fields that followed the body; None if there were none."""
        if not self._pairs:
            return None
        pairs, self._pairs = self._pairs, []
        lines = [b"%b: %b" % (name, value.strip(b" \t")) for name, value in pairs]
        return Headers.of([name.lower() for name, _ in pairs], lines)

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
        if self._overhead_left < 0 or len(self._pairs) > self._most_trailers:
            raise Malformed("chunked body with too many extensions or trailers")
