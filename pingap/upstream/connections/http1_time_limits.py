"""The time limits of an HTTP/1.1 connection to an upstream."""

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
"""Duration of a request after which the upstream may close the connection without being at fault."""


class UpstreamTimeLimits(ABC):
    """A connection with one deadline, for what the connection is currently waiting for.

    :param upstream: provides the time limits, until a request brings its own.
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
        self._unacknowledged = 0  # bytes at the last check
        self.deadline = NEVER

    @abstractmethod
    def abort(self) -> None:
        """Close the connection immediately."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection once all data is sent; it must not be used any more."""

    @abstractmethod
    def _lose(self, error: UpstreamError) -> None:
        """Close the connection immediately, and report the reason to the exchange."""

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._transport is None or self._transport.is_closing()

    def on_deadline(self) -> None:
        """Called by the sweep when ``deadline`` has passed."""
        self.deadline = NEVER
        if self._exchange is None:
            if self.is_closing:
                self.abort()  # it does not accept the remaining data
            else:
                self.close()  # idle too long
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
        """Set the time limit for the upstream, if it is its turn.

        It is not while the body of the request is missing, nor while the client accepts no more of the
        response (an upstream that cannot send need not continue to read). The client side has limits for
        both, and for a tunnel.
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
        """Return whether the upstream has accepted any bytes since the time limit was set."""
        if self._transport is None:
            return False
        return unacknowledged(self._transport) < self._unacknowledged

    def _waited_for_client(self) -> bool:
        """Return whether the upstream may have given up on a client that sends slowly."""
        if self._request_done or self._writing_paused or self._exchange is None:
            return False
        began = self._exchange.ctx.upstream_connected_at
        return time.monotonic() - began > SLOW_REQUEST_SECONDS

    def _lacks_connection(self, transport: asyncio.BaseTransport) -> bool:
        """Return whether it was never connected; with TCP Fast Open, a request is sent before."""
        return self._upstream.fast_open and not has_connected(transport.get_extra_info("socket"))
