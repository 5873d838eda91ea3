"""The text mode of gRPC-Web: base64 with padding anywhere, not only at the end.

Each side encodes and pads the data that it sends at a time, so a body consists of several pieces of base64,
and the network splits them at any byte (the spec, "Text-encoded streams").
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Iterator
from typing import Final

from pingap import BodyFilter, Headers, HTTPError

_PREFIX: Final = 5
"""Bytes before each message: a flag, and the length of the message in four bytes."""


class TextDecoder(BodyFilter):
    """Decodes the base64 of a request. Keeps three characters at most."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Decode all complete groups of four characters.

        :raises HTTPError: 400, it is not base64.
        """
        text = self._rest + chunk if self._rest else chunk
        whole = len(text) & ~3
        self._rest = text[whole:]
        try:
            if b"=" not in text:
                return a2b_base64(text[:whole], strict_mode=True)
            pieces = (a2b_base64(one, strict_mode=True) for one in _padded(text[:whole]))
            return b"".join(pieces)
        except Error:
            raise HTTPError(400, "The body of this gRPC-Web request is not base64") from None

    def end(self, trailers: Headers) -> bytes:
        """Check that no group is incomplete.

        :raises HTTPError: 400, one is.
        """
        if self._rest:
            raise HTTPError(400, "The body of this gRPC-Web request ends within its base64")
        return b""


def _padded(text: bytes) -> Iterator[bytes]:
    """Split complete groups after each padded one."""
    start = 0
    while (at := text.find(b"=", start)) >= 0:
        end = (at | 3) + 1
        yield text[start:end]
        start = end
    yield text[start:]


class TextEncoder:
    """Encodes gRPC messages as base64, each padded at its own end.

    So a message can be read as soon as it has arrived, and the text does not depend on how the network split
    the messages. Keeps two bytes at most, in addition to the prefix of a message.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._prefix = b""
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        """Encode the available data; of an incomplete message, all but one or two bytes."""
        pieces = []
        start = at = 0
        while at < len(data):
            at = self._read_on(data, at)
            if not self._left and not self._prefix:
                pieces.append(self._encode(data[start:at]))
                start = at
        tail = self._rest + data[start:]
        whole = len(tail) - len(tail) % 3
        self._rest = b""
        pieces.append(self._encode(tail[:whole]))
        self._rest = tail[whole:]
        return b"".join(pieces)

    def end(self) -> bytes:
        """Encode the rest; it is empty unless the upstream ended within a message."""
        return self._encode(b"")

    def _read_on(self, data: bytes, at: int) -> int:
        """Return the end of the prefix of a message, or of the message, or else of the data."""
        if self._left:
            end = min(at + self._left, len(data))
            self._left -= end - at
            return end
        end = at + _PREFIX - len(self._prefix)
        self._prefix += data[at:end]
        if len(self._prefix) < _PREFIX:
            return len(data)
        self._left = int.from_bytes(self._prefix[1:], "big")
        self._prefix = b""
        return end

    def _encode(self, data: bytes) -> bytes:
        rest, self._rest = self._rest, b""
        return b2a_base64(rest + data, newline=False)
