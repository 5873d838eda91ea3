"""Controls how much a client's HTTP/1.1 connection reads, and when: in pieces, in turns, within its limits."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pingap.downstream.http1_time_limits import Http1TimeLimits
from pingap.wire.backlog import FULL_READ, PIECE, Leftover
from pingap.wire.deadlines import NEVER

if TYPE_CHECKING:
    from pingap.downstream.listener import Listener


class Http1Reader(Http1TimeLimits):
    """The reading half of a client's connection.

    :param listener: the server it belongs to, its limits and the state shared in the worker.
    """

    __slots__ = ("_body_paused", "_left", "_listener", "_waits_for_turn")

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._listener = listener
        self._body_paused = False  # the exchange can accept no more
        self._left: Leftover | None = None  # data not passed to the decoder yet; not empty
        self._waits_for_turn = False  # work is left over to the next turn of the loop

    @abstractmethod
    def _advance(self) -> None:
        """Turn unread bytes into events, as far as the exchange can accept them."""

    def _receive_much(self, data: bytes) -> None:
        """Handle more data than is processed at a time; the decoder gets it piece by piece."""
        if self._left is None:
            self._left = Leftover()
        self._left.put(data)
        if not self._decoder.unread:
            self._refill()
        if self._exchange is None or self._reading_body:
            self._advance()
        if len(data) >= FULL_READ and not self._waits_for_turn:
            self._leave_over()  # otherwise the loop would continue to read
        self._bound_unread()

    def _refill(self) -> bool:
        """Give the decoder its next piece; False if there is none."""
        left = self._left
        if left is None:
            return False
        self._decoder.unread += left.take(max(PIECE, self._decoder.wanted))
        if not left:
            self._left = None
        return True

    def _leave_over(self) -> None:
        """Continue in the next turn, and read nothing until then."""
        self._waits_for_turn = True
        self._pause_reading()
        self._listener.backlog.add(self)

    def on_turn(self) -> None:
        """Called when it is this connection's turn to continue with the rest."""
        self._waits_for_turn = False
        if self._transport is None or self._transport.is_closing():
            return
        if not self._lingering:
            self._advance()
        self._settle_reading()

    def _bound_unread(self) -> None:
        """Leave further pipelined requests in the network."""
        if self._unread_size >= self._limits.pipeline_buffer_size:
            self._pause_reading()

    @property
    def _unread_size(self) -> int:
        return len(self._decoder.unread) + len(self._left or ())

    def pause_body(self) -> None:
        self._body_paused = True
        if not (self._writing_paused or self._tunnelling):
            self.deadline = NEVER  # the client is not the slow side
        self._pause_reading()
        self._watch_unread()

    def resume_body(self) -> None:
        self._body_paused = False
        self._advance()
        self._settle_reading()

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
            self._watch_unread()

    def _settle_reading(self) -> None:
        """Resume reading, unless enough data is already here."""
        if self._waits_for_turn or (self._reading_body and self._body_paused):
            return
        if self._unread_size < self._limits.pipeline_buffer_size:
            self._resume_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
