"""Reading bodies in chunked coding (RFC 9112, 7.1), without IO."""

from __future__ import annotations

import re
from typing import Final

from pingap.http.headers import Headers
from pingap.protocol.fields import keep_trailers
from pingap.protocol.http1_head import END_OF_HEAD, Malformed, has_bare_lf, read_field

OVERHEAD: Final = 16 * 1024
OVERHEAD_PER_CHUNK: Final = 32

_LF: Final = 10
_MOST_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 8

# Old servers that pad their sizes send white space before an extension or the end of the line; a recipient
# must remove it (RFC 9112, 7.1.1). Ambiguous forms are rejected: white space before the size, signs, ``0x``,
# CR or LF within the line. More than 15 digits overflow in some implementations.
_LINE: Final = re.compile(rb"(?:\r\n)?(0*[0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r")


class _Sizes(dict[bytes, int]):
    """Line -> size of the chunk: looking up a known line is faster than parsing it.

    :param start: the beginning of a line: the end of the chunk before it.
    """

    def __init__(self, start: bytes) -> None:
        super().__init__()
        self.start = start

    def __missing__(self, line: bytes) -> int:
        if not (match := _LINE.fullmatch(line)) or match.start(1) != len(self.start):
            raise Malformed("malformed chunked body: no chunk size, or data beyond the size")
        size = int(match[1], 16)
        if len(line) <= _LONGEST_REMEMBERED and len(self) < _MOST_REMEMBERED:
            self[line] = size
        return size


_first: Final = _Sizes(b"")
_next: Final = _Sizes(b"\r\n")


class ChunkedDecoder:
    """The chunked bodies of one connection, one after the other.

    ``begin`` announces a body, ``feed`` reads a piece of it. Once it is ``complete``, ``take_trailers``
    returns the fields after it.

    :param most_trailers: maximum number of fields after a body.
    """

    __slots__ = (
        "_in_trailers",
        "_left",
        "_most_trailers",
        "_overhead_left",
        "_sizes",
        "_trailers",
        "_unread",
        "complete",
    )

    def __init__(self, most_trailers: int) -> None:
        self._most_trailers = most_trailers
        self._trailers: Headers | None = None
        self.begin()
        self.complete = True

    def begin(self) -> None:
        """Prepare for the next body."""
        self._sizes = _first
        self._left = 0  # remaining bytes of the current chunk
        self._unread = b""  # the beginning of a line, or of trailers
        self._in_trailers = False
        self._overhead_left = OVERHEAD
        self.complete = False

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Read a piece of the body; sets ``complete`` at its end.

        :returns: body bytes, and how many bytes of the piece belong to the message.
        :raises Malformed: bad chunked coding, or too many bytes that are not body.
        """
        size = len(data)
        if size < self._left:
            self._left -= size
            return data, size
        known = len(self._unread)
        if known:
            if b"\n" not in data:  # so that a long line in small pieces is not read repeatedly
                self._count_overhead(size, 0)
                self._unread += data
                return b"", size
            data, self._unread = self._unread + data, b""
        pieces: list[bytes] = []
        chunks, end = (0, 0) if self._in_trailers else self._read_chunks(data, pieces)
        if self._in_trailers:
            end = self._read_trailers(data, end, known)
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._count_overhead(end - known - len(body), chunks)
        return body, end - known

    def take_trailers(self) -> Headers | None:
        """Return the fields after the body; None if there were none."""
        trailers, self._trailers = self._trailers, None
        return trailers

    def _read_chunks(self, data: bytes, pieces: list[bytes]) -> tuple[int, int]:
        """Read the available chunks; return their number, and where reading ended."""
        at, size, chunks = self._left, len(data), 0
        if at:
            pieces.append(data[:at])
        sizes = self._sizes
        skip = len(sizes.start)
        find, append = data.find, pieces.append
        while at < size:
            line_end = find(_LF, at + skip)
            if line_end < 0:
                self._unread = data[at:]
                break
            length = sizes[data[at:line_end]]
            sizes, skip = _next, 2
            chunks += 1
            at = line_end + 1
            if not length:
                self._in_trailers = True
                break
            append(data[at : at + length])
            at += length
        self._sizes = sizes
        self._left = max(0, at - size)
        return chunks, min(at, size) if self._in_trailers else size

    def _read_trailers(self, data: bytes, start: int, known: int) -> int:
        """Read the rest after the last chunk; return where the message ends, or all bytes.

        :param known: number of bytes that are known to contain no end.
        """
        if data.startswith(b"\r\n", start):
            self.complete = True
            return start + 2
        end = data.find(END_OF_HEAD, max(start, known - 3))
        if end < 0:
            if has_bare_lf(data, start):
                raise Malformed("malformed trailers")
            self._unread = data[start:]
            return len(data)
        lines = data[start:end].split(b"\r\n")
        if len(lines) > self._most_trailers:
            raise Malformed("too many trailers")
        self._trailers = keep_trailers(Headers(map(read_field, lines)))
        self.complete = True
        return end + 4

    def _count_overhead(self, size: int, chunks: int) -> None:
        """Limit the bytes that are not body: chunk sizes, extensions, trailers.

        Some bytes are allowed for each chunk, so that streams of tiny chunks pass; a flood of extensions or
        trailers is rejected, for any size of the body.
        """
        earned = OVERHEAD_PER_CHUNK * chunks
        self._overhead_left = min(OVERHEAD, self._overhead_left + earned - size)
        if self._overhead_left < 0:
            raise Malformed("chunked body with too many extensions or trailers")
