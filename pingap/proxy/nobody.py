"""The place of a client connection for requests that have no client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pingap.http.headers import Headers
    from pingap.http.response import Response
    from pingap.proxy.async_hooks import HookTasks
    from pingap.proxy.exchange import Exchange
    from pingap.proxy.sides import Leavers
    from pingap.wire.backlog import Backlog


class Nobody:
    """A client side (``sides.Downstream``) that drops what is sent to it.

    :param leavers: keeps track of the request, if it is not awaited elsewhere.
    """

    body_bytes_sent = 0

    def __init__(self, tasks: HookTasks, backlog: Backlog, leavers: Leavers | None = None) -> None:
        self.tasks = tasks
        self.backlog = backlog
        self._leavers = leavers
        self.exchange: Exchange | None = None

    @property
    def leavers(self) -> Leavers:
        """Those of the client that caused the request."""
        assert self._leavers is not None  # no plugin takes part in other requests
        return self._leavers

    def exchange_ended(self) -> None:
        """Let go of the request."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self.leavers.ended(exchange)

    def send_chunk(self, chunk: bytes) -> None:
        """Drop a piece of the body."""

    def send_end(self, trailers: Headers | None) -> None:
        """Drop the trailers."""

    def send_interim(self, response: Response) -> None:
        """Drop an interim response."""

    def withdraw_head(self) -> bool:
        """Return False: no head was sent."""
        return False

    def pause_body(self) -> None:
        """Do nothing: the whole request body is available."""

    def resume_body(self) -> None:
        """Nothing, either."""

    def watch_body(self) -> None:
        """Do nothing: the whole request body is available."""

    def flush(self) -> None:
        """Do nothing: no data is delayed."""

    def cut(self) -> None:
        """Nothing was sent."""

    # Never called: no lifecycle sends these to it, and no request asks for a tunnel.

    def send_whole(self, response: Response, body: bytes) -> None:
        """Send a response with its whole body."""

    def send_head(self, response: Response, length: int | None) -> None:
        """Begin a response."""

    def begin_tunnel(self, response: Response) -> None:
        """Send 101."""

    def watch_tunnel(self) -> None:
        """Set the time limit of a tunnel."""
