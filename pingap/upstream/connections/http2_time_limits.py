"""The time limits of an HTTP/2 connection to an upstream, and the detection of dead connections."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from pingap.protocol.http2_client import Http2ClientCodec
from pingap.wire.deadlines import NEVER
from pingap.wire.http2_deadlines import Http2Deadlines

if TYPE_CHECKING:
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream
    from pingap.upstream.upstream import UpstreamRuntime

SETTINGS_SECONDS: Final = 10.0
"""How long an upstream may take to begin HTTP/2, unless ``total_connection_timeout`` is shorter."""
PING_SECONDS: Final = 330.0
"""Silence after which an upstream with open streams gets a PING. This is more than the five minutes that
gRPC servers require between two PINGs; they close connections that send them more often."""
ANSWER_SECONDS: Final = 20.0
"""How long it may take to answer a PING."""


class Http2UpstreamTimeLimits(Http2Deadlines):
    """A connection to an upstream: one that begins in time, is used, and gives signs of life.

    :param upstream: provides the time limits.
    """

    __slots__ = (
        "_goaway",
        "codec",
        "read_at",
        "ready",
        "timeouts",
    )

    codec: Http2ClientCodec
    _streams: dict[int, Http2UpstreamStream]

    def __init__(self, upstream: UpstreamRuntime) -> None:
        super().__init__()
        self.timeouts = upstream.timeouts
        self.codec = Http2ClientCodec(upstream.max_h2_streams)
        self.read_at = self._quiet_since = time.monotonic()
        self.deadline = self.read_at + SETTINGS_SECONDS
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the upstream has begun HTTP/2, or failed to."""
        self._goaway = ""  # the reason from the upstream's GOAWAY

    @abstractmethod
    def abort(self) -> None:
        """Close the connection immediately."""

    @abstractmethod
    def _offer(self) -> None:
        """Make its streams available to the pool."""

    @abstractmethod
    def _leave(self) -> None:
        """Begin no more streams."""

    @abstractmethod
    def _refuse_start(self, detail: str, *, status: int = 502) -> None:
        """Report that HTTP/2 did not begin."""

    def _await_use(self) -> None:
        """Set the time limit for the next stream."""
        self._quiet_since = time.monotonic()
        if (idle := self.timeouts.idle) is not None:
            self.hasten(self._quiet_since + idle)

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = NEVER
        now = time.monotonic()
        if self._transport is not None and self._transport.is_closing():
            self.abort()  # it does not accept the remaining data
            return
        if not self.ready.done():
            self._refuse_start("did not begin HTTP/2 in time", status=504)
            self.abort()
            return
        self._expire_streams(now)
        if self._streams:
            if self._is_lost(now, self.read_at, PING_SECONDS, ANSWER_SECONDS):
                self._goaway = self._goaway or "no answer to a PING"
                self.abort()
        elif (idle := self.timeouts.idle) is not None:
            self._close_if_unused(now, idle)
        self._offer()  # a reserved stream may have been forgotten

    def _on_stream_deadline(self, stream: Http2UpstreamStream) -> None:
        """Begin no more streams if the upstream sent nothing at all while a stream timed out."""
        if self.read_at <= stream.asked_at:
            self._leave()
