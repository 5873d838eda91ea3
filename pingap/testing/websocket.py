"""A minimal WebSocket implementation (RFC 6455) for an upstream that echoes."""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from pingap.testing.stream import ByteStream

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

_KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Frame:
    """A frame, its payload without the mask."""

    opcode: int
    payload: bytes
    final: bool = True


def accept_key(key: str) -> str:
    """Return the value of ``Sec-WebSocket-Accept`` for a key (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _KEY_SUFFIX, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def read_frame(stream: ByteStream) -> Frame | None:
    """Read a frame; None at the end of the connection."""
    head = stream.read_exactly(2)
    if len(head) < 2:
        return None
    size = head[1] & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", stream.read_exactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", stream.read_exactly(8))
    mask = stream.read_exactly(4) if head[1] & 0x80 else b""
    payload = stream.read_exactly(size)
    return Frame(head[0] & 0x0F, _masked(payload, mask), bool(head[0] & 0x80))


def write_frame(frame: Frame, mask: bytes = b"") -> bytes:
    """Return a frame as bytes.

    :param mask: four bytes; a client must mask the frames it sends.
    """
    size, flag = len(frame.payload), 0x80 if mask else 0
    first = frame.opcode | (0x80 if frame.final else 0)
    if size < 126:
        head = bytes((first, size | flag))
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 126 | flag, size)
    else:
        head = struct.pack("!BBQ", first, 127 | flag, size)
    return head + mask + _masked(frame.payload, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    if not mask:
        return payload
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def echo(stream: ByteStream) -> None:
    """Send every frame back, answer pings, until the connection ends."""
    while (frame := read_frame(stream)) is not None:
        if frame.opcode == PONG:
            continue
        opcode = PONG if frame.opcode == PING else frame.opcode
        stream.send(write_frame(Frame(opcode, frame.payload, frame.final)))
        if opcode == CLOSE:
            return
