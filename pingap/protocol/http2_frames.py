"""Frames of HTTP/2 as bytes (RFC 9113, 4 and 6), without IO."""

from __future__ import annotations

import struct
from typing import Final

from pingap.protocol.http2_errors import FRAME_SIZE_ERROR, PROTOCOL_ERROR, Http2Error
from pingap.protocol.http2_events import GoawayReceived

# Types.
DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9
UNKNOWN: Final = 0xA
"""Stands for all higher types, which are ignored (RFC 9113, 5.5)."""

# Flags.
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

HEAD_SIZE: Final = 9
MOST_FRAME: Final = 16 * 1024
"""Maximum size of a frame in both directions: the minimum that is allowed (RFC 9113, 4.2)."""
LAST_STREAM_ID: Final = 2**31 - 1

_head: Final = struct.Struct(">HBBBL")
read_head: Final = _head.unpack_from
"""Reads the upper and the last byte(s) of the length, type, flags and stream of a frame."""
_pack_head: Final = _head.pack


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Return a frame."""
    size = len(payload)
    return _pack_head(size >> 8, size & 255, kind, flags, stream_id) + payload


def data_frames(stream_id: int, data: bytes, flags: int) -> bytes:
    """Return data in as many frames as needed; the flags are those of the last one."""
    if len(data) <= MOST_FRAME:
        return frame(DATA, flags, stream_id, data)
    *parts, last = _parts(data)
    sent = [frame(DATA, 0, stream_id, part) for part in parts]
    return b"".join((*sent, frame(DATA, flags, stream_id, last)))


def header_frames(stream_id: int, block: bytes, flags: int) -> bytes:
    """Return a header block in as many frames as needed."""
    if len(block) <= MOST_FRAME:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    first, *parts, last = _parts(block)
    sent = [frame(CONTINUATION, 0, stream_id, part) for part in parts]
    return b"".join(
        (
            frame(HEADERS, flags, stream_id, first),
            *sent,
            frame(CONTINUATION, END_HEADERS, stream_id, last),
        )
    )


def goaway(code: int, last_stream_id: int, debug: str) -> bytes:
    """Return the frame that asks the peer to open no more streams."""
    payload = struct.pack(">LL", last_stream_id, code) + debug.encode("ascii", "replace")
    return frame(GOAWAY, 0, 0, payload)


def read_goaway(frame: bytes) -> GoawayReceived:
    """Read a whole frame of that type.

    :raises Http2Error: it is malformed.
    """
    if len(frame) < HEAD_SIZE + 8:
        raise Http2Error(FRAME_SIZE_ERROR, "GOAWAY without its fields")
    if read_head(frame)[4] & LAST_STREAM_ID:
        raise Http2Error(PROTOCOL_ERROR, "GOAWAY on a stream")
    last, code = struct.unpack_from(">LL", frame, HEAD_SIZE)
    debug = frame[HEAD_SIZE + 8 :].decode("ascii", "replace")
    return GoawayReceived(last & LAST_STREAM_ID, code, debug)


def _parts(data: bytes) -> list[bytes]:
    return [data[at : at + MOST_FRAME] for at in range(0, len(data), MOST_FRAME)]


def header_fragment(payload: bytes, flags: int, stream_id: int) -> bytes:
    """Return the fragment of a header block without padding and priority (RFC 9113, 6.2).

    :raises Http2Error: it is malformed.
    """
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise Http2Error(FRAME_SIZE_ERROR, "HEADERS without its padding length")
        start, end = 1, end - payload[0]
    if flags & HAS_PRIORITY:
        # RFC 9113 has removed priorities, and with them this error.
        if int.from_bytes(payload[start : start + 4]) & LAST_STREAM_ID == stream_id:
            raise Http2Error(PROTOCOL_ERROR, "a stream that depends on itself")
        start += 5
    if start > end:
        raise Http2Error(PROTOCOL_ERROR, "HEADERS with more padding than payload")
    return payload[start:end]
