"""The time limits of a connection of HTTP/1.1 to an upstream."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from pingap.http.errors import UpstreamError
from pingap.upstream.connections import connect_errors
from pingap.upstream.connections.fast_open import has_connected
from pingap.wire.deadlines import NEVER
from pingap.wire.tcp import unacknowledged

if TYPE_CHECKING:
    from pingap.http.ports import Asker
    from pingap.upstream.upstream import UpstreamRuntime

SLOW_REQUEST_SECONDS: Final = 5.0
"""How long a request has to take until its upstream may end the connection without being blamed for it."""


class UpstreamTimeLimits(ABC):
    """A connection with one deadline, which means what the connection waits for just now.

    :param upstream: whose time limits apply.
    """

    __slots__ = (
        "_exchange",
        "_reading_paused",
        "_request_done",
        "_timeouts",
        "_transport",
        "_unacknowledged",
        "_upstream",
        "_writing_paused",
        "deadline",
    )

    def __init__(self, upstream: UpstreamRuntime) -> None:
        self._upstream = upstream
        self._timeouts = upstream.timeouts
        self._transport: asyncio.Transport | None = None
        self._exchange: Asker | None = None
        self._request_done = True
        self._reading_paused = False
        self._writing_paused = False
        self._unacknowledged = 0  # bytes, when we last looked
        self.deadline = NEVER

    @abstractmethod
    def abort(self) -> None:
        """End the connection at once."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection once what was written is sent; it is not to be used any more."""

    @abstractmethod
    def _lose(self, error: UpstreamError) -> None:
        """End the connection at once, and say why to the exchange."""

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = NEVER
        if self._exchange is None:
            if self.is_closing:
                self.abort()  # it does not take what is still to be sent
            else:
                self.close()  # idle for too long
            return
        if self._writing_paused and self._takes_bytes():
            self._await_upstream()
            return
        if self._transport is not None and self._lacks_connection(self._transport):
            self.on_connect_timeout()
            return
        what, kind = (
            ("take the request", "WriteTimedout")
            if self._writing_paused
            else (
                "answer",
                "ReadTimedout",
            )
        )
        self._lose(
            UpstreamError(f"did not {what} in time", error_type=kind, status=504),
        )

    def on_connect_timeout(self) -> None:
        """With TCP Fast Open, the peer has not accepted the connection in time."""
        self._lose(connect_errors.not_in_time())

    def _await_upstream(self) -> None:
        """Set the time limit for the upstream, if it is its turn to do something.

        It is not while the body of the request is missing, nor while the client takes no more of the
        answer (an upstream that cannot go on sending need not go on reading). The client's side
        has limits for both, and for a tunnel.
        """
        timeout: float | None = None
        if self._exchange is None or self._reading_paused:
            pass
        elif self._writing_paused:
            timeout = self._timeouts.write
            if self._transport is not None:
                self._unacknowledged = unacknowledged(self._transport)
        elif self._request_done and not self._exchange.tunnelling:
            timeout = self._timeouts.read
        self.deadline = NEVER if timeout is None else time.monotonic() + timeout

    def _takes_bytes(self) -> bool:
        """Return whether the upstream took any bytes since the time limit was set."""
        if self._transport is None:
            return False
        return unacknowledged(self._transport) < self._unacknowledged

    def _waited_for_client(self) -> bool:
        """Return whether the upstream may have lost its patience with a client that sends slowly."""
        if self._request_done or self._writing_paused or self._exchange is None:
            return False
        began = self._exchange.ctx.upstream_connected_at
        return time.monotonic() - began > SLOW_REQUEST_SECONDS

    def _lacks_connection(self, transport: asyncio.BaseTransport) -> bool:
        """Tell whether there never was one; with TCP Fast Open, a request is sent before."""
        return self._upstream.fast_open and not has_connected(transport.get_extra_info("socket"))
