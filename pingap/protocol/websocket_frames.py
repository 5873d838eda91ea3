"""WebSocket frames and messages (RFC 6455, 5 to 8), without IO, as an intermediary needs them.

A decoder reads one direction. It assembles messages, and returns pings and pongs unchanged, since the two
endpoints answer each other. An encoder writes one direction. Neither knows of the other direction, of time,
or of the handshake (``websocket``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from pingap.protocol.websocket_deflate import Deflater, Inflater

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005
"""Represents a close frame without a code; never sent (RFC 6455, 7.4.1)."""
ABNORMAL: Final = 1006
"""The connection ended without a close frame; never sent either."""
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008
TOO_LARGE: Final = 1009
INTERNAL_ERROR: Final = 1011
BAD_GATEWAY: Final = 1014

MOST_CONTROL: Final = 125
"""Maximum payload of a control frame (RFC 6455, 5.5)."""
MOST_REASON: Final = MOST_CONTROL - 2
"""Maximum size of the reason for closing, in UTF-8."""

_FIN: Final = 0x80
_COMPRESSED: Final = 0x40  # RSV1, with permessage-deflate (RFC 7692, 6)
_MASKED: Final = 0x80
_BLOCK: Final = 8192  # bytes that are masked as one number; a multiple of the key's 4
_WHOLE: Final = frozenset((_FIN | TEXT, _FIN | BINARY))  # most frames: each is a message
_OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))

# 1004 to 1006 and 1015 are reserved; 1012 to 1014 were registered later (RFC 6455, 7.4 and 11.7).
_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))


class WebSocketError(Exception):
    """The sender broke the protocol, or a limit.

    :param code: the code of the close frame: 1002, 1007 or 1009.
    :param reason: the reason in the close frame, at most 123 bytes of UTF-8.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class WebSocketMessage:
    """A whole message, regardless of the number of its frames.

    :param data: the text, or the bytes of a binary message.
    """

    data: str | bytes

    @property
    def is_text(self) -> bool:
        """Whether it is a text message."""
        return isinstance(self.data, str)


class Control(NamedTuple):
    """A ping or a pong.

    :param opcode: ``PING`` or ``PONG``.
    :param payload: up to 125 bytes.
    """

    opcode: int
    payload: bytes


class Close(NamedTuple):
    """The last frame of a direction.

    :param code: 1000 to 4999; ``NO_CODE`` if the frame has none.
    :param reason: up to 123 bytes in UTF-8.
    """

    code: int
    reason: str


Event: TypeAlias = WebSocketMessage | Control | Close


class MessageDecoder:
    """Reads the bytes of one direction as messages and control frames.

    :param masked: whether its frames are masked, as a client's are; otherwise they must not be (RFC 6455,
        5.1).
    :param limit: maximum size of a message in bytes, after decompression.
    :param inflater: decompresses messages, if the endpoints have agreed on compression.
    """

    __slots__ = (
        "_at",
        "_compressed",
        "_data",
        "_first",
        "_inflater",
        "_key",
        "_limit",
        "_masked",
        "_message",
        "_missing",
        "_most",
        "_opcode",
        "_partial",
        "closed",
    )

    def __init__(self, *, masked: bool, limit: int, inflater: Inflater | None = None) -> None:
        self._masked = masked
        self._limit = limit
        self._inflater = inflater
        # Incompressible data becomes slightly larger in DEFLATE blocks.
        self._most = limit if inflater is None else limit + limit // 64 + 256
        self._data = b""
        self._at = 0
        self._first = 0  # of the frame: FIN, reserved bits, opcode
        self._missing = -1  # remaining bytes of its payload; -1: its head is incomplete
        self._key = b""
        self._partial = bytearray()  # of its payload
        self._opcode = CONTINUATION  # of the message; CONTINUATION: none has begun
        self._compressed = False
        self._message = bytearray()  # the payload of its frames
        self.closed = False
        """Whether a close frame has arrived. Data after it is ignored (RFC 6455, 1.4)."""

    @property
    def is_idle(self) -> bool:
        """Whether no incomplete frame or message has begun."""
        return self._at == len(self._data) and self._missing < 0 and not self._opcode

    @property
    def has_unread(self) -> bool:
        """Whether there are bytes that ``next`` has not examined."""
        return self._at < len(self._data) and not self.closed

    def feed(self, data: bytes) -> None:
        """Handle received bytes; ``next`` returns the events that they complete."""
        if self.closed:
            return
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self) -> Event | None:
        """Return the next event, or None if it is incomplete.

        :raises WebSocketError: the sender broke the protocol; nothing more can be read.
        """
        while not self.closed and (self._missing >= 0 or self._read_head()):
            payload = self._read_payload()
            if payload is None:
                return None
            event = self._end_frame(payload)
            if event is not None:
                return event
        return None

    def _read_head(self) -> bool:
        """Read the head of a frame; False if it is incomplete."""
        data, at = self._data, self._at
        there = len(data) - at
        if there < 2:
            return False
        first, second = data[at], data[at + 1]
        size = second & 127
        masked = second >= _MASKED
        if masked != self._masked or self._opcode or first not in _WHOLE:
            self._check_head(first, size, masked=masked)
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if there < 2 + width:
                return False
            size = int.from_bytes(data[at : at + width])
            at += width
            if size < (126 if width == 2 else 1 << 16) or size >> 63:
                raise WebSocketError(PROTOCOL_ERROR, "invalid length of a frame")
        if size > self._most - len(self._message) and first & 15 < CLOSE:
            raise self._too_large()
        if self._masked:
            if len(data) - at < 4:
                return False
            self._key = data[at : at + 4]
            at += 4
        self._first, self._missing, self._at = first, size, at
        return True

    def _check_head(self, first: int, size: int, *, masked: bool) -> None:
        opcode, reserved = first & 15, first & 0x70
        if opcode not in _OPCODES:
            raise WebSocketError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        # Only the first frame of a message indicates compression (RFC 7692, 6).
        if reserved and (
            reserved != _COMPRESSED or self._inflater is None or opcode not in (TEXT, BINARY)
        ):
            raise WebSocketError(PROTOCOL_ERROR, "reserved bits are set")
        if masked != self._masked:
            missing = "not masked" if self._masked else "masked"
            raise WebSocketError(PROTOCOL_ERROR, f"a frame is {missing}")
        if opcode >= CLOSE:
            if size > MOST_CONTROL or not first & _FIN:
                raise WebSocketError(PROTOCOL_ERROR, "a control frame is too long or fragmented")
        elif opcode and self._opcode:
            raise WebSocketError(PROTOCOL_ERROR, "a message begins within another one")
        elif not opcode and not self._opcode:
            raise WebSocketError(PROTOCOL_ERROR, "a continuation without a message")

    def _read_payload(self) -> bytes | None:
        """Return the unmasked payload of the frame; None if it is incomplete."""
        data, at, missing = self._data, self._at, self._missing
        payload = data[at : at + missing]
        self._at = at + len(payload)
        if len(payload) < missing:
            self._partial += payload
            self._missing = missing - len(payload)
            return None
        if self._partial:
            self._partial += payload
            payload = bytes(self._partial)
            self._partial.clear()
        self._missing = -1
        return mask(self._key, payload) if self._masked else payload

    def _end_frame(self, payload: bytes) -> Event | None:
        """Return the event that a frame completes, if it does."""
        opcode = self._first & 15
        if opcode >= CLOSE:
            if opcode == CLOSE:
                self.closed = True
                return _read_close(payload)
            return Control(opcode, payload)
        if opcode:
            self._opcode = opcode
            self._compressed = bool(self._first & _COMPRESSED)
        if not self._first & _FIN:
            self._message += payload
            return None
        if not opcode:
            self._message += payload
            payload = bytes(self._message)
            self._message.clear()
        return self._end_message(payload)

    def _end_message(self, data: bytes) -> WebSocketMessage:
        opcode, self._opcode = self._opcode, CONTINUATION
        if self._compressed and self._inflater is not None:
            data = self._inflater.message(data, self._limit)
        if len(data) > self._limit:
            raise self._too_large()
        if opcode == BINARY:
            return WebSocketMessage(data)
        try:
            return WebSocketMessage(data.decode())
        except UnicodeDecodeError:
            raise WebSocketError(INVALID_DATA, "a text message is not UTF-8") from None

    def _too_large(self) -> WebSocketError:
        return WebSocketError(TOO_LARGE, f"a message has more than {self._limit} bytes")


def _read_close(payload: bytes) -> Close:
    """Parse the payload of a close frame (RFC 6455, 5.5.1)."""
    if not payload:
        return Close(NO_CODE, "")
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or code not in _CODES:
        raise WebSocketError(PROTOCOL_ERROR, "a close frame has an invalid code")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise WebSocketError(INVALID_DATA, "a reason for closing is not UTF-8") from None


class MessageEncoder:
    """Writes one direction.

    :param masked: mask its frames, as a client must (RFC 6455, 5.1).
    :param deflater: compresses messages, if the endpoints have agreed on compression.
    """

    __slots__ = ("_deflater", "_masked", "closed")

    def __init__(self, *, masked: bool, deflater: Deflater | None = None) -> None:
        self._masked = masked
        self._deflater = deflater
        self.closed = False
        """Whether a close frame has been written. Nothing may follow it (RFC 6455, 5.5.1)."""

    def message(self, message: WebSocketMessage) -> bytes:
        """Return a message as one frame; empty after a close frame.

        :raises TypeError: its data is neither text nor bytes.
        :raises UnicodeEncodeError: its text has a lone surrogate, which is not a character.
        """
        data, first = message.data, _FIN | BINARY
        if isinstance(data, str):
            data, first = data.encode(), _FIN | TEXT
        elif not isinstance(data, bytes):
            raise TypeError(f"the data of a message is str or bytes, not {type(data).__name__}")
        if self.closed:
            return b""
        if self._deflater is not None:
            packed = self._deflater.message(data)
            if packed is not None:
                data, first = packed, first | _COMPRESSED
        return self._frame(first, data)

    def control(self, control: Control) -> bytes:
        """Return a ping or a pong; empty after a close frame."""
        return b"" if self.closed else self._frame(_FIN | control.opcode, control.payload)

    def close(self, close: Close) -> bytes:
        """Return a close frame; empty if there was one."""
        if self.closed:
            return b""
        self.closed = True
        payload = b""
        if close.code != NO_CODE:
            payload = close.code.to_bytes(2) + close.reason.encode()
        return self._frame(_FIN | CLOSE, payload)

    def _frame(self, first: int, payload: bytes) -> bytes:
        size, flag = len(payload), _MASKED if self._masked else 0
        if size < 126:
            head = bytes((first, flag | size))
        elif size < 1 << 16:
            head = bytes((first, flag | 126)) + size.to_bytes(2)
        else:
            head = bytes((first, flag | 127)) + size.to_bytes(8)
        if not flag:
            return head + payload
        key = os.urandom(4)  # an unpredictable one for each frame (RFC 6455, 5.3)
        return head + key + mask(key, payload)


def mask(key: bytes, payload: bytes) -> bytes:
    """Mask or unmask a payload: both are the same operation (RFC 6455, 5.3)."""
    size = len(payload)
    if not size:
        return payload
    if size <= _BLOCK:
        cover = (key * (size // 4 + 1))[:size]
        return (int.from_bytes(payload) ^ int.from_bytes(cover)).to_bytes(size)
    # Numbers of this size stay in the CPU cache: four times as fast as one number of 256 KB.
    whole = int.from_bytes(key * (_BLOCK // 4))
    rest = size - size % _BLOCK
    parts = [
        (int.from_bytes(payload[at : at + _BLOCK]) ^ whole).to_bytes(_BLOCK)
        for at in range(0, rest, _BLOCK)
    ]
    parts.append(mask(key, payload[rest:]))
    return b"".join(parts)


def check_close(code: int, reason: str) -> Close:
    """Return a close frame of our own.

    :raises ValueError: a code that must not be sent (RFC 6455, 7.4), or a reason of more than 123 bytes.
    """
    if code not in _CODES:
        raise ValueError(f"{code!r} is not a code with which a WebSocket may be closed")
    if len(reason.encode()) > MOST_REASON:
        raise ValueError(f"a reason for closing has at most {MOST_REASON} bytes")
    return Close(code, reason)
