"""The request body on one stream of HTTP/2: held while the upstream takes nothing.

The client is given room for as much again as was passed on, so what is held is bounded by the window
of the stream.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from pingap.exchange import Exchange
from pingap.messages import Headers
from pingap.net.http1_connection import LINGER_BYTES

if TYPE_CHECKING:
    from pingap.net.http2_connection import Http2Connection

NEVER: Final = math.inf


class Http2RequestBody(ABC):
    """The reading half of a stream.

    :param connection: it belongs to.
    :param number: of the stream.
    """

    __slots__ = (
        "_codec",
        "_connection",
        "_exchange",
        "_held",
        "_held_end",
        "_linger_left",
        "_lingering",
        "_paused",
        "_reading",
        "_unacknowledged",
        "deadline",
        "number",
    )

    def __init__(self, connection: Http2Connection, number: int) -> None:
        self.number = number
        self.deadline = NEVER
        self._connection = connection
        self._codec = connection.codec
        self._exchange: Exchange | None = None
        self._reading = False
        self._paused = False  # the exchange takes no more of it
        self._held: list[tuple[bytes, int]] = []  # what came since then
        self._held_end: tuple[Headers | None] | None = None
        self._unacknowledged = 0  # bytes the client may not send again yet
        self._lingering = False  # the answer is sent, but the client still sends
        self._linger_left = LINGER_BYTES

    @property
    @abstractmethod
    def is_unsent(self) -> bool:
        """Whether something of the answer waits for room; then the time limit is for that."""

    @abstractmethod
    def _end_linger(self) -> None:
        """Read no more."""

    def on_data(self, data: bytes, size: int, ended: bool) -> None:
        """Take a piece of the request body; ``size`` bytes were taken from the windows."""
        if not self._reading:
            self._codec.taken(self.number, size)  # nobody wants it
            if self._lingering:
                self._throw_away(size, ended)
        elif self._paused:
            self._held.append((data, size))
            self._held_end = (None,) if ended else None
        else:
            self._deliver(data, size)
            if ended:
                self.on_end(None)

    def on_end(self, trailers: Headers | None) -> None:
        """Take the end of the request body."""
        if not self._reading:
            if self._lingering:
                self._throw_away(0, True)
            return
        if self._paused:
            self._held_end = (trailers,)
            return
        self._reading = False
        if not self.is_unsent:
            self.deadline = NEVER
        if self._exchange is not None:
            self._exchange.on_request_end(trailers)

    def _deliver(self, data: bytes, size: int) -> None:
        assert self._exchange is not None
        self._await_body(time.monotonic())
        if data:
            self._exchange.on_request_chunk(data)
        if self._paused:
            self._unacknowledged += size
        else:
            self._codec.taken(self.number, size)

    def pause_body(self) -> None:
        self._paused = True
        if not self.is_unsent:
            self.deadline = NEVER  # it is not the client that is slow

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
        """Throw away what is here of the request body, and what still comes of it."""
        self._reading = False
        size = self._unacknowledged + sum(size for _, size in self._held)
        self._unacknowledged = 0
        self._held.clear()
        self._codec.taken(self.number, size)

    def _await_body(self, now: float) -> None:
        if not self.is_unsent:
            self._set_deadline(now + self._connection.limits.read_timeout)

    def _set_deadline(self, deadline: float) -> None:
        self.deadline = deadline
        self._connection.hasten(deadline)

    def _throw_away(self, size: int, ended: bool) -> None:
        """Take what a client still sends of a request that is answered.

        It may be told at once to stop (RFC 9113, 8.1), but curl up to 7.88 then forgets the answer.
        """
        self._linger_left -= size
        if ended or self._linger_left < 0:
            self._end_linger()
