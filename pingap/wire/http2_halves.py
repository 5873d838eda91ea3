"""The two halves of an HTTP/2 stream: received and sent data.

Received data is held while the exchange does not accept it. The peer's window grows only by the data that was
passed on, so the held data is limited by the window of the stream. Data to be sent waits while the peer's
windows have no room. Either makes the other side of the exchange wait.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, Final, Generic, Protocol, TypeVar

from pingap.http.headers import Headers
from pingap.protocol.http2_endpoint import Http2Endpoint
from pingap.protocol.http2_frames import MOST_FRAME
from pingap.wire.deadlines import NEVER

ExchangeT = TypeVar("ExchangeT")

LEAST_PROGRESS: Final = 1024
"""Bytes for which the peer has to make room within its time limit."""


class Carrier(Protocol):
    """The connection as seen by its streams."""

    writable: bool
    """Whether the transport accepts more data."""

    def write(self, data: bytes) -> None:
        """Write frames at the end of this turn."""

    def flush(self) -> None:
        """Write the frames that the codec has created on its own."""

    def hasten(self, deadline: float) -> None:
        """Check the deadlines no later than at this time."""

    def pump(self, stream: Any) -> None:
        """Send waiting data of a stream, when it is its turn."""


class Http2Halves(ABC, Generic[ExchangeT]):
    """A stream. The codec keeps its state.

    :param connection: the connection it belongs to.
    :param codec: of the connection.
    :param number: of the stream.
    """

    __slots__ = (
        "_codec",
        "_connection",
        "_ending",
        "_exchange",
        "_full",
        "_held",
        "_held_end",
        "_paused",
        "_progress",
        "_reading",
        "_trailers",
        "_unacknowledged",
        "_unsent",
        "deadline",
        "number",
    )

    _connection: Carrier
    _codec: Http2Endpoint

    def __init__(self, connection: Carrier, codec: Http2Endpoint, number: int) -> None:
        self.number = number
        self.deadline = NEVER
        self._connection = connection
        self._codec = codec
        self._exchange: ExchangeT | None = None
        self._reading = False
        self._paused = False  # the exchange accepts no more
        self._held: list[tuple[bytes, int]] = []  # data received since then
        self._held_end: tuple[Headers | None] | None = None
        self._unacknowledged = 0  # received bytes for which the window has not been reopened
        self._unsent = bytearray()  # data without room in the windows
        self._ending = False  # after the unsent data
        self._trailers: Headers | None = None
        self._full = False  # and the exchange has been notified
        self._progress = 0  # bytes sent since the last time limit was set

    @property
    def exchange(self) -> ExchangeT | None:
        """The exchange, while it is in progress."""
        return self._exchange

    # Implemented by the two kinds of streams.

    @abstractmethod
    def _pass_chunk(self, data: bytes) -> None:
        """Pass received data to the exchange."""

    @abstractmethod
    def _pass_end(self, trailers: Headers | None) -> None:
        """Tell the exchange that the body is complete."""

    @abstractmethod
    def _on_unwanted(self, size: int, ended: bool) -> None:
        """Handle data that is no longer read."""

    @abstractmethod
    def _await_body(self, now: float) -> None:
        """Set the time limit for more data, unless the one for unsent data applies."""

    @abstractmethod
    def _await_room(self) -> None:
        """Set the time limit for the peer to make room."""

    @abstractmethod
    def _tell_full(self, full: bool) -> None:
        """Tell the exchange whether more can be sent."""

    @abstractmethod
    def _send_end(self) -> None:
        """End our half, after all of its data."""

    @abstractmethod
    def _finish(self) -> None:
        """Continue after our half has ended."""

    # Received data.

    def on_data(self, data: bytes, size: int, ended: bool) -> None:
        """Handle a piece of the body; it consumed ``size`` bytes of the windows."""
        if not self._reading:
            self._codec.taken(self.number, size)
            self._on_unwanted(size, ended)
        elif self._paused:
            self._held.append((data, size))
            self._held_end = (None,) if ended else None
        else:
            self._deliver(data, size)
            if ended:
                self.on_end(None)

    def on_end(self, trailers: Headers | None) -> None:
        """Handle the end of the body."""
        if not self._reading:
            self._on_unwanted(0, True)
            return
        if self._paused:
            self._held_end = (trailers,)
            return
        self._reading = False
        if not self.is_unsent:
            self.deadline = NEVER
        self._pass_end(trailers)

    def _deliver(self, data: bytes, size: int) -> None:
        self._await_body(time.monotonic())
        if data:
            self._pass_chunk(data)
        if self._paused:
            self._unacknowledged += size
        else:
            self._codec.taken(self.number, size)

    def pause_body(self) -> None:
        self._paused = True
        if not self.is_unsent:
            self.deadline = NEVER  # the peer is not the slow side

    def resume_body(self) -> None:
        self._paused = False
        self._codec.taken(self.number, self._unacknowledged)
        self._unacknowledged = 0
        held, self._held = self._held, []
        while held and self._reading:
            if self._paused:
                self._held = held
                break
            self._deliver(*held.pop(0))
        if not self._paused and self._held_end is not None:
            (trailers,), self._held_end = self._held_end, None
            self.on_end(trailers)
        elif self._reading and not self._paused:
            self._await_body(time.monotonic())
        self._connection.flush()

    def _stop_reading(self) -> None:
        """Discard the held part of the body and the rest of it."""
        self._reading = False
        size = self._unacknowledged + sum(size for _, size in self._held)
        self._unacknowledged = 0
        self._held.clear()
        self._codec.taken(self.number, size)

    # Data to send.

    @property
    def is_unsent(self) -> bool:
        """Whether data waits for room; the time limit is then for that."""
        return bool(self._unsent)

    @property
    def unsent_size(self) -> int:
        """Number of bytes that wait for room."""
        return len(self._unsent)

    def _has_room(self, size: int) -> bool:
        return (
            not self._unsent and self._connection.writable and size <= self._codec.room(self.number)
        )

    def _send_later(self, chunk: bytes) -> None:
        """Send the part of a chunk for which there is room, and the rest later."""
        self._unsent += chunk
        self._connection.pump(self)
        if self._unsent and not self._full:
            self._full = True
            self._progress = 0
            self._await_room()
            self._tell_full(True)

    def push(self) -> bytes:
        """Return the next frame of unsent data; empty if there is no room for it.

        Afterwards, either some data is still unsent, or ``pushed`` must be called.
        """
        unsent = self._unsent
        size = min(self._codec.room(self.number), len(unsent), MOST_FRAME)
        if size <= 0:
            return b""
        data = bytes(unsent[:size])
        del unsent[:size]
        self._progress += size
        if self._progress >= LEAST_PROGRESS:
            self._progress = 0
            self._await_room()
        ended = self._ending and not unsent and self._trailers is None
        return self._codec.data(self.number, data, ended=ended)

    def pushed(self) -> None:
        """Continue after all data has been sent."""
        self.deadline = NEVER
        self._full = False
        if self._reading and not self._paused:
            self._await_body(time.monotonic())
        if self._ending:
            if self._trailers is not None:
                self._send_end()
            else:
                self._finish()
        else:
            self._tell_full(False)

    def _set_deadline(self, deadline: float) -> None:
        self.deadline = deadline
        self._connection.hasten(deadline)
