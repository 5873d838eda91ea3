"""The time limits of a client's HTTP/2 connection, and the detection of clients that have disconnected."""

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
"""How long a client that answers no PING may continue to open streams after GOAWAY."""


class Http2TimeLimits(Http2Deadlines):
    """A client's connection: one that is used, or whose client at least gives signs of life.

    :param listener: the server it belongs to, its limits and the state shared in the worker.
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
        """Whether the transport accepts more data."""
        self._heard = 0.0  # when the client last sent something
        self._closing = 0.0  # when the first GOAWAY was sent
        self._last_goaway = False  # later streams are ignored
        self._lingering = False
        self._ending = False  # closed by us, once all data is written
        self._give_up_at = NEVER  # when to give up on a client that does not read
        self._pending = 0  # bytes the client had not acknowledged at the last check

    @abstractmethod
    def cut(self) -> None:
        """Close the connection immediately."""

    @abstractmethod
    def _send_last_goaway(self) -> None:
        """Send the ID of the last stream that is answered."""

    @abstractmethod
    def _fail(self, error: Http2Error) -> None:
        """Report a protocol error to the client, and end the connection."""

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
        """Close an idle connection, or one whose client is gone; set the next time limit."""
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
        """Set the time limit for the client to accept sent data."""
        if seconds is None:
            seconds = self.limits.write_timeout
        if self._transport is not None:
            self._pending = unacknowledged(self._transport)
        self._give_up_at = time.monotonic() + seconds
        self.hasten(self._give_up_at)

    def _cut_unless_progress(self) -> None:
        """Give a client more time as long as it accepts any data."""
        if self._transport is None:
            return
        if 0 < unacknowledged(self._transport) < self._pending:
            self._await_taking()
        else:
            self._give_up_at = NEVER
            self.cut()
