"""Messages of gRPC and gRPC-Web, written by hand: what the plugin is compared with."""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode


def message(payload: bytes, flag: int = 0) -> bytes:
    """Return a message with its prefix: a flag, and its length in four bytes."""
    return struct.pack(">BI", flag, len(payload)) + payload


def trailers(*lines: str) -> bytes:
    """Return the last message of an answer."""
    return message("".join(f"{line}\r\n" for line in lines).encode(), 0x80)


def text(*pieces: bytes) -> bytes:
    """Return pieces as base64, each padded at its end."""
    return b"".join(b64encode(piece) for piece in pieces)


def untext(body: bytes) -> bytes:
    """Decode base64 that may be padded behind any group, one group after the other."""
    return b"".join(b64decode(body[at : at + 4], validate=True) for at in range(0, len(body), 4))
