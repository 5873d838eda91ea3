"""The two halves of a stream of HTTP/2: what comes, and what goes.

What comes is held while nobody takes it; the other end is given room for as much again as was passed
on, so that what is held is bounded by the window of the stream. What goes waits while the other end's
windows have no room for it. Each makes the other side of the exchange wait.
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
"""Bytes that the other end has to make room for within its time limit."""


class Carrier(Protocol):
    """The connection, as its streams see it."""

    writable: bool
    """The transport takes more."""

    def write(self, data: bytes) -> None:
        """Write frames at the end of this turn."""

    def flush(self) -> None:
        """Write the frames that the codec has made by itself."""

    def hasten(self, deadline: float) -> None:
        """Look at what waits no later than then."""

    def pump(self, stream: Any) -> None:
        """Send what waits of a stream, in its turn."""


class Http2Halves(ABC, Generic[ExchangeT]):
    """A stream. Its states are kept by the codec.

    :param connection: it belongs to.
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
        self._paused = False  # the exchange takes no more
        self._held: list[tuple[bytes, int]] = []  # what came since then
        self._held_end: tuple[Headers | None] | None = None
        self._unacknowledged = 0  # bytes that may not be sent again yet
        self._unsent = bytearray()  # there was no room for it
        self._ending = False  # after what is unsent
        self._trailers: Headers | None = None
        self._full = False  # and the exchange knows
        self._progress = 0  # bytes sent since the last time limit was set

    @property
    def exchange(self) -> ExchangeT | None:
        """Whose half it is, while that is under way."""
        return self._exchange

    # What the two kinds of streams do.

    @abstractmethod
    def _pass_chunk(self, data: bytes) -> None:
        """Give the exchange what came."""

    @abstractmethod
    def _pass_end(self, trailers: Headers | None) -> None:
        """Tell the exchange that nothing more comes."""

    @abstractmethod
    def _on_unwanted(self, size: int, ended: bool) -> None:
        """Take note of what comes though nobody reads it any more."""

    @abstractmethod
    def _await_body(self, now: float) -> None:
        """Set the limit for more to come, unless the one for what is unsent counts."""

    @abstractmethod
    def _await_room(self) -> None:
        """Set the limit for the other end to make room."""

    @abstractmethod
    def _tell_full(self, full: bool) -> None:
        """Tell the exchange whether more can be sent."""

    @abstractmethod
    def _send_end(self) -> None:
        """End our half, after all of its data."""

    @abstractmethod
    def _finish(self) -> None:
        """Go on: our half was sent to its end."""

    # What comes.

    def on_data(self, data: bytes, size: int, ended: bool) -> None:
        """Take a piece of the body; ``size`` bytes were taken from the windows."""
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
        """Take the end of the body."""
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
            self.deadline = NEVER  # it is not the other end that is slow

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
        """Throw away what is here of the body, and what still comes of it."""
        self._reading = False
        size = self._unacknowledged + sum(size for _, size in self._held)
        self._unacknowledged = 0
        self._held.clear()
        self._codec.taken(self.number, size)

    # What goes.

    @property
    def is_unsent(self) -> bool:
        """Whether something waits for room; then the time limit is for that."""
        return bool(self._unsent)

    @property
    def unsent_size(self) -> int:
        """How many bytes wait for room."""
        return len(self._unsent)

    def _has_room(self, size: int) -> bool:
        return (
            not self._unsent and self._connection.writable and size <= self._codec.room(self.number)
        )

    def _send_later(self, chunk: bytes) -> None:
        """Send a chunk as far as there is room, and the rest once there is."""
        self._unsent += chunk
        self._connection.pump(self)
        if self._unsent and not self._full:
            self._full = True
            self._progress = 0
            self._await_room()
            self._tell_full(True)

    def push(self) -> bytes:
        """Return the next frame of what is unsent; empty if there is no room for it.

        Afterwards either something is still unsent, or ``pushed`` is to be called.
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
        """Go on: nothing is unsent any more."""
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
