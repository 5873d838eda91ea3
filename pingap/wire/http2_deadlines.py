"""The common part of the time limits of HTTP/2 connections to clients and to upstreams."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from pingap.protocol.http2_endpoint import Http2Endpoint
from pingap.wire.deadlines import NEVER


class Http2Deadlines(ABC):
    """A connection with one deadline: the earliest of its own and those of its streams."""

    __slots__ = ("_ping_sent", "_quiet_since", "_streams", "_transport", "deadline")

    codec: Http2Endpoint
    _streams: dict[int, Any]  # of the side's own class

    def __init__(self) -> None:
        self.deadline = NEVER
        self._transport: asyncio.Transport | None = None
        self._streams = {}
        self._quiet_since = 0.0  # no stream is open
        self._ping_sent = 0.0  # and not answered

    @abstractmethod
    def close(self) -> None:
        """Close the connection once written data is sent."""

    @abstractmethod
    def flush(self) -> None:
        """Write the frames that the codec has created on its own."""

    def hasten(self, deadline: float) -> None:
        """Check the deadlines no later than at this time."""
        self.deadline = min(self.deadline, deadline)

    def _expire_streams(self, now: float) -> None:
        """Notify every stream whose deadline has passed."""
        for stream in list(self._streams.values()):
            if stream.deadline <= now:
                self._on_stream_deadline(stream)
                stream.on_deadline()
            self.hasten(stream.deadline)

    def _on_stream_deadline(self, stream: Any) -> None:  # noqa: B027 - one side draws none
        """Decide what this means for the connection; called before a stream is notified."""

    def _close_if_unused(self, now: float, idle: float) -> None:
        """Close the connection if it had no stream for this many seconds."""
        if self._quiet_since + idle <= now:
            self.close()
        else:
            self.hasten(self._quiet_since + idle)

    def _is_lost(self, now: float, heard: float, silence: float, patience: float) -> bool:
        """Send a PING after silence, and set the next time limit; return whether it was not answered.

        :param heard: when the other end last sent something.
        :param silence: seconds of silence after which a PING is sent.
        :param patience: seconds that the answer may take.
        """
        if self._ping_sent:
            if self._ping_sent + patience <= now:
                return True
            self.hasten(self._ping_sent + patience)
        elif heard + silence <= now:
            self._ping_sent = now
            self.codec.ping()
            self.flush()
            self.hasten(now + patience)
        else:
            self.hasten(heard + silence)
        return False
