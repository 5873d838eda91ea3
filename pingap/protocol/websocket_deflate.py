"""Compression of WebSocket messages: the extension permessage-deflate (RFC 7692), without IO.

The two endpoints agree on it. An intermediary that reads their messages must know their parameters, and
compresses the messages that it sends with the same parameters.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pingap.protocol.websocket_frames import INVALID_DATA, TOO_LARGE, WebSocketError

NAME: Final = "permessage-deflate"

_TAIL: Final = b"\x00\x00\xff\xff"
"""The end of each message, which is not sent (RFC 7692, 7.2.1)."""

MOST_FINAL_BLOCKS: Final = 16
"""Maximum number of DEFLATE streams in one message; only senders that cannot flush end one (RFC 7692, 7.2.3.4)."""

_SMALL: Final = 32  # size in bytes below which compression hardly helps
_SMALLEST_WINDOW: Final = 9  # bits; zlib cannot compress with 8
_OUR_WINDOW: Final = 12  # bits: 32 KiB of memory for each direction, instead of 256
_MEMORY_LEVEL: Final = 5

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rf';[ \t]*({_WORD})[ \t]*(?:=[ \t]*(?:({_WORD})|"({_WORD})")[ \t]*)?'
)
_EXTENSION: Final = re.compile(rf"[ \t]*({_WORD})[ \t]*")
_BITS: Final = re.compile(r"[89]|1[0-5]")


@dataclass(frozen=True, slots=True)
class Deflate:
    """The parameters that the two endpoints have agreed on (RFC 7692, 7.1).

    :param server_no_context_takeover: the server compresses each message on its own.
    :param client_no_context_takeover: the client does.
    :param server_max_window_bits: size of the server's window, as a power of two; 8 to 15.
    :param client_max_window_bits: of the client's.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15

    def inflater(self, *, client: bool) -> Inflater:
        """Return a decompressor for the messages of the client, or of the server."""
        return Inflater(*self._of(client))

    def deflater(self, *, client: bool) -> Deflater:
        """Return a compressor for messages on behalf of the client, or of the server."""
        return Deflater(*self._of(client))

    def _of(self, client: bool) -> tuple[int, bool]:
        if client:
            return self.client_max_window_bits, not self.client_no_context_takeover
        return self.server_max_window_bits, not self.server_no_context_takeover


def known_offers(offers: str) -> str:
    """Return the offers of a client that ask for permessage-deflate and are valid.

    :param offers: the value of ``Sec-WebSocket-Extensions``.
    :returns: a value for the same field; empty if none is left.
    """
    try:
        found = list(_extensions(offers))
    except ValueError:
        return ""
    return ", ".join(text for name, text, given in found if name == NAME and _is_offer(given))


def accepted(offers: str) -> str:
    """Return the answer of a server that accepts the first valid offer of compression.

    :param offers: the value of ``Sec-WebSocket-Extensions``.
    :returns: a value for the same field; empty if nothing is compressed.
    """
    try:
        found = list(_extensions(offers))
    except ValueError:
        return ""
    for name, _, given in found:
        if name == NAME and _is_offer(given):
            words = [NAME]
            for parameter, value in given.items():
                if value is not None:
                    words.append(f"{parameter}={value}")
                elif parameter != "client_max_window_bits":  # without a value it asks for nothing
                    words.append(parameter)
            return "; ".join(words)
    return ""


def agreed(answer: str) -> Deflate | None:
    """Return the parameters that a server has agreed to.

    :param answer: the value of its ``Sec-WebSocket-Extensions``; empty for none.
    :returns: None if messages are not compressed.
    :raises ValueError: another extension, or invalid parameters.
    """
    found = list(_extensions(answer))
    if not found:
        return None
    name, text, given = found[0]
    if len(found) > 1 or name != NAME or not _is_answer(given):
        raise ValueError(f"an extension that was not offered: {text}")
    return Deflate(
        server_no_context_takeover="server_no_context_takeover" in given,
        client_no_context_takeover="client_no_context_takeover" in given,
        server_max_window_bits=int(given.get("server_max_window_bits") or 15),
        client_max_window_bits=int(given.get("client_max_window_bits") or 15),
    )


def _extensions(value: str) -> Iterator[tuple[str, str, Mapping[str, str | None]]]:
    """Yield name, text and parameters of each extension (RFC 6455, 9.1).

    :raises ValueError: the list is malformed, or a parameter is repeated.
    """
    at = 0
    while at < len(value):
        if value[at] in ", \t":
            at += 1
            continue
        if (found := _EXTENSION.match(value, at)) is None:
            raise ValueError("malformed list of extensions")
        began, at, name = at, found.end(), found[1]
        given: dict[str, str | None] = {}
        while (found := _PARAMETER.match(value, at)) is not None:
            if found[1] in given:
                raise ValueError(f"{found[1]} occurs twice")
            given[found[1]] = found[2] or found[3]
            at = found.end()
        if at < len(value) and value[at] != ",":
            raise ValueError("malformed list of extensions")
        yield name, value[began:at].rstrip(), given


def _is_offer(given: Mapping[str, str | None]) -> bool:
    """Return whether the parameters are a valid offer (RFC 7692, 7.1.1 and 7.1.2)."""
    if "client_max_window_bits" in given and given["client_max_window_bits"] is None:
        given = {name: value for name, value in given.items() if name != "client_max_window_bits"}
    return _is_answer(given)


def _is_answer(given: Mapping[str, str | None]) -> bool:
    """Return whether the parameters are a valid response."""
    for name, value in given.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return False
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            if value is None or _BITS.fullmatch(value) is None:
                return False
        else:
            return False
    return True


class Inflater:
    """Decompresses the messages of one direction.

    :param window_bits: of the sender's window.
    :param takeover: a message may refer to previous ones.
    """

    __slots__ = ("_inflate", "_takeover", "_window_bits")

    def __init__(self, window_bits: int, takeover: bool) -> None:
        self._window_bits = window_bits
        self._takeover = takeover
        self._inflate: zlib._Decompress | None = None  # created for the first message

    def message(self, data: bytes, limit: int) -> bytes:
        """Return the original message (RFC 7692, 7.2.2).

        :param limit: its maximum size. No more than that is decompressed.
        :raises WebSocketError: 1009, it is larger; 1007, it is not compressed data.
        """
        data += _TAIL
        parts: list[bytes] = []
        left = limit
        for _ in range(MOST_FINAL_BLOCKS):
            inflate = self._inflate = self._inflate or zlib.decompressobj(-self._window_bits)
            try:
                part = inflate.decompress(data, left + 1)
            except zlib.error:
                raise WebSocketError(INVALID_DATA, "invalid compressed data") from None
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise WebSocketError(TOO_LARGE, f"a message has more than {limit} bytes")
            if not inflate.eof:
                break
            # The sender has ended its stream. The next one begins with an empty window, as zlib's does.
            data, self._inflate = inflate.unused_data, None
            if data in (b"", _TAIL):
                break
        else:
            raise WebSocketError(INVALID_DATA, "too many streams in compressed data")
        if not self._takeover:
            self._inflate = None
        return b"".join(parts)


class Deflater:
    """Compresses the messages of one direction.

    :param window_bits: the window of the receiver.
    :param takeover: messages may refer to previous ones.
    """

    __slots__ = ("_deflate", "_takeover", "_window_bits")

    def __init__(self, window_bits: int, takeover: bool) -> None:
        self._window_bits = window_bits
        self._takeover = takeover
        self._deflate: zlib._Compress | None = None

    def message(self, data: bytes) -> bytes | None:
        """Return a message compressed (RFC 7692, 7.2.1).

        :returns: None if it should be sent uncompressed, which is always allowed.
        """
        if len(data) < _SMALL or self._window_bits < _SMALLEST_WINDOW:
            return None
        deflate = self._deflate
        if deflate is None:
            bits = min(self._window_bits, _OUR_WINDOW)
            deflate = zlib.compressobj(wbits=-bits, memLevel=_MEMORY_LEVEL)
            if self._takeover:
                self._deflate = deflate
        packed = deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return packed[: -len(_TAIL)]
