"""gRPC messages in bodies ("Length-Prefixed-Message"), without IO."""

from __future__ import annotations

from typing import Final, NamedTuple

_PREFIX: Final = 5  # a flag, and the length in four bytes
_MOST: Final = (1 << 32) - 1


class GRPCFormatError(Exception):
    """A body that does not consist of gRPC messages."""


class GRPCMessageTooLarge(GRPCFormatError):
    """A message above the size limit."""


class Message(NamedTuple):
    """A message.

    :param data: without the prefix.
    :param compressed: with the coding in ``grpc-encoding``.
    """

    data: bytes
    compressed: bool


class GRPCDecoder:
    """Reads the bytes of one body as messages.

    :param limit: maximum size of a message in bytes, compressed or not.
    """

    __slots__ = ("_buffer", "_limit", "_missing")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._missing = _PREFIX  # bytes needed in the buffer before anything is complete

    def feed(self, data: bytes) -> list[Message]:
        """Handle received bytes; return the messages they complete.

        :raises GRPCFormatError: an invalid flag.
        :raises GRPCMessageTooLarge: a message above the limit.
        """
        messages: list[Message] = []
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._missing:
                return messages
            data = bytes(self._buffer)
            self._buffer.clear()
        at = 0
        while (end := at + self._size(data, at)) <= len(data):
            messages.append(Message(data[at + _PREFIX : end], data[at] == 1))
            at = end
        self._buffer += data[at:]
        self._missing = end - at
        return messages

    def _size(self, data: bytes, at: int) -> int:
        """Return the size of the message that begins there, as far as known."""
        if len(data) - at < _PREFIX:
            return _PREFIX
        if data[at] > 1:
            raise GRPCFormatError(f"a gRPC message with the flag {data[at]}")
        length = int.from_bytes(data[at + 1 : at + _PREFIX])
        if length > self._limit:
            raise GRPCMessageTooLarge(f"a gRPC message of {length} bytes, more than {self._limit}")
        return _PREFIX + length

    def end(self) -> bytes:
        """Handle the end of the body; return the part of an incomplete message."""
        return bytes(self._buffer)


def encode(message: Message) -> bytes:
    """Return a message with its prefix.

    :raises ValueError: it has 4 GiB or more.
    """
    if len(message.data) > _MOST:
        raise ValueError(f"a gRPC message has at most {_MOST} bytes")
    return bytes((message.compressed,)) + len(message.data).to_bytes(4) + message.data
