"""The time limits of a client's connection of HTTP/2, and how it is found out that a client left."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from pingap.protocol.http2_codec import Http2Codec
from pingap.protocol.http2_errors import PROTOCOL_ERROR, Http2Error
from pingap.wire.deadlines import NEVER
from pingap.wire.http2_deadlines import Http2Deadlines
from pingap.wire.tcp import unacknowledged

if TYPE_CHECKING:
    from pingap.downstream.http2_stream import Http2Stream
    from pingap.downstream.listener import ClientLimits, Listener

GOAWAY_SECONDS: Final = 1.0
"""How long a client may go on to open streams after it was told to stop, if it answers no PING."""


class Http2TimeLimits(Http2Deadlines):
    """A client's connection: one that is used, or whose client at least gives signs of life.

    :param listener: the server it belongs to, its limits and what is shared in the worker.
    """

    __slots__ = (
        "_closing",
        "_ending",
        "_give_up_at",
        "_heard",
        "_last_goaway",
        "_lingering",
        "_pending",
        "codec",
        "limits",
        "writable",
    )

    codec: Http2Codec
    _streams: dict[int, Http2Stream]

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.limits: ClientLimits = listener.limits
        self.codec = Http2Codec(listener.limits.head)
        self.writable = True
        """The transport takes more."""
        self._heard = 0.0  # when the client sent something
        self._closing = 0.0  # when the client was told to open no more streams
        self._last_goaway = False  # what it opens from now on is not looked at
        self._lingering = False
        self._ending = False  # closed by us, once all is written
        self._give_up_at = NEVER  # on a client that takes nothing
        self._pending = 0  # bytes the client had not acknowledged when we last looked

    @abstractmethod
    def cut(self) -> None:
        """End the connection at once."""

    @abstractmethod
    def _send_last_goaway(self) -> None:
        """Say which stream is the last one that is answered."""

    @abstractmethod
    def _fail(self, error: Http2Error) -> None:
        """Tell the client what it did wrong, and end the connection."""

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = NEVER
        now = time.monotonic()
        if self._lingering or self._ending or not self.writable:
            if self._give_up_at <= now:
                self._cut_unless_progress()
            self.hasten(self._give_up_at)
            if self._lingering or self._ending:
                return
        self._expire_streams(now)
        self._look_for_client(now)

    def _look_for_client(self, now: float) -> None:
        """End a connection that is not used, or whose client is gone; set the next time limit."""
        limits = self.limits
        if since := self.codec.waiting_since:
            if since + limits.head_read_timeout <= now:
                self._fail(Http2Error(PROTOCOL_ERROR, "a frame did not arrive in time"))
                return
            self.hasten(since + limits.head_read_timeout)
        if self._closing and not self._last_goaway:
            if self._closing + GOAWAY_SECONDS <= now:
                self._send_last_goaway()
            else:
                self.hasten(self._closing + GOAWAY_SECONDS)
        if not self._streams:
            self._close_if_unused(now, limits.keepalive_timeout)
            return
        half = limits.keepalive_timeout / 2
        if self._is_lost(now, self._heard, half, half):
            self.cut()

    def _await_taking(self, *, seconds: float | None = None) -> None:
        """Set the limit for the client to take what was sent."""
        if seconds is None:
            seconds = self.limits.write_timeout
        if self._transport is not None:
            self._pending = unacknowledged(self._transport)
        self._give_up_at = time.monotonic() + seconds
        self.hasten(self._give_up_at)

    def _cut_unless_progress(self) -> None:
        """Give a client more time as long as it takes anything at all."""
        if self._transport is None:
            return
        if 0 < unacknowledged(self._transport) < self._pending:
            self._await_taking()
        else:
            self._give_up_at = NEVER
            self.cut()
