"""The sending order of the streams of one connection: those that wait for room take turns, a frame each."""

from __future__ import annotations

from typing import Any, Final, Protocol

from pingap.protocol.http2_frames import MOST_FRAME
from pingap.wire.http2_halves import Http2Halves

_AT_ONCE: Final = 4 * MOST_FRAME
"""Bytes that are written together."""


class Out(Protocol):
    """The destination of the frames."""

    writable: bool
    """Whether it accepts more."""

    def write(self, data: bytes) -> None:
        """Accept frames."""


class Turns:
    """The waiting streams, in order.

    :param out: the connection.
    """

    __slots__ = ("_out", "_waiting")

    def __init__(self, out: Out) -> None:
        self._out = out
        self._waiting: dict[Http2Halves[Any], None] = {}

    def add(self, stream: Http2Halves[Any]) -> None:
        """Add a waiting stream at the end, unless it is already waiting."""
        self._waiting[stream] = None

    def remove(self, stream: Http2Halves[Any]) -> None:
        """Send nothing more of a stream."""
        self._waiting.pop(stream, None)

    def send(self) -> None:
        """Send waiting data, as far as there is room."""
        while self._waiting and self._out.writable and self._send_round():
            pass

    def _send_round(self) -> bool:
        """Give each stream its turn; return whether anything could be sent."""
        waiting, parts, size, sent = self._waiting, [], 0, False
        for stream in list(waiting):
            if stream not in waiting or not (part := stream.push()):
                continue
            sent = True
            parts.append(part)
            size += len(part)
            del waiting[stream]
            if stream.is_unsent:
                waiting[stream] = None
            if not stream.is_unsent or size >= _AT_ONCE:
                self._out.write(b"".join(parts))
                parts, size = [], 0
            if not stream.is_unsent:
                stream.pushed()
            if not self._out.writable:
                break
        if parts:
            self._out.write(b"".join(parts))
        return sent
