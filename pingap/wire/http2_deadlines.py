"""What the time limits of an HTTP/2 connection have in common, whichever side its other end is on."""

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
        """Close the connection once what was written is sent."""

    @abstractmethod
    def flush(self) -> None:
        """Write the frames that the codec has made by itself."""

    def hasten(self, deadline: float) -> None:
        """Look at what waits no later than then."""
        self.deadline = min(self.deadline, deadline)

    def _expire_streams(self, now: float) -> None:
        """Let every stream act whose deadline has passed."""
        for stream in list(self._streams.values()):
            if stream.deadline <= now:
                self._on_stream_deadline(stream)
                stream.on_deadline()
            self.hasten(stream.deadline)

    def _on_stream_deadline(self, stream: Any) -> None:  # noqa: B027 - one side draws none
        """Draw conclusions for the connection before a stream acts."""

    def _close_if_unused(self, now: float, idle: float) -> None:
        """Close a connection that had no stream for so many seconds."""
        if self._quiet_since + idle <= now:
            self.close()
        else:
            self.hasten(self._quiet_since + idle)

    def _is_lost(self, now: float, heard: float, silence: float, patience: float) -> bool:
        """Send a PING after silence; return whether it was not answered. Sets the next time limit.

        :param heard: when the other end sent something.
        :param silence: seconds after which it is asked, with a PING.
        :param patience: seconds that it may take to answer.
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
