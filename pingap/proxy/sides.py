"""The interfaces of an exchange to the client side, and to the reader of messages in a tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pingap.http.ports import Sink, Source
from pingap.http.response import Response

if TYPE_CHECKING:
    from pingap.proxy.async_hooks import HookTasks
    from pingap.proxy.exchange import Exchange
    from pingap.proxy.filter_chain import Filters
    from pingap.wire.backlog import Backlog


class Downstream(Source, Sink, Protocol):
    """The client side: accepts a response, delivers the request body."""

    body_bytes_sent: int
    """Bytes of the response body that were passed to it, without framing."""

    @property
    def tasks(self) -> HookTasks:
        """Runs awaitables of plugins."""

    @property
    def backlog(self) -> Backlog:
        """Of the worker: who waits for another turn of the event loop."""

    def send_interim(self, response: Response) -> None:
        """Pass on a 1xx response."""

    def send_whole(self, response: Response, body: bytes) -> None:
        """Send a response with its whole body."""

    def send_head(self, response: Response, length: int | None) -> None:
        """Begin a response with a body of this length, None if unknown."""

    def withdraw_head(self) -> bool:
        """Discard a buffered head, so that another one can be sent; return False if it was already sent."""

    def begin_tunnel(self, response: Response) -> None:
        """Send 101; from now on, bytes pass both ways unchanged."""

    def watch_tunnel(self) -> None:
        """Set the time limit of a tunnel, after its deadline has changed or data has passed."""

    def watch_body(self) -> None:
        """Set the time limit for the next bytes of the request body again, after it has changed."""

    def flush(self) -> None:
        """Send delayed data: the head of a response."""

    def cut(self) -> None:
        """Abort, so that the client sees that the response is incomplete."""

    @property
    def leavers(self) -> Leavers:
        """Keeps track of requests that have no client."""

    def exchange_ended(self) -> None:
        """Continue with the next request: this one is over."""


class Leavers(Protocol):
    """Keeps track of the requests of a server that have no client, or have lost it."""

    def keep(self, exchange: Exchange) -> None:
        """Add one; it is cancelled if there are too many."""

    def ended(self, exchange: Exchange) -> None:
        """Remove one that is over."""


class Messages(Protocol):
    """The reader of WebSocket messages in a tunnel."""

    @property
    def client_filters(self) -> Filters:
        """The filters for bytes of the client."""

    @property
    def upstream_filters(self) -> Filters:
        """The filters for bytes of the upstream."""

    @property
    def is_over(self) -> bool:
        """Whether both sides were closed, and the tunnel should end."""

    def begin(self) -> None:
        """Begin, before anything is sent to the client."""

    def go_on(self) -> None:
        """Called after the response head was sent."""

    def on_full(self) -> None:
        """Called when a side can, or cannot, accept more data."""

    def on_upstream_lost(self) -> None:
        """Handle the loss of the upstream connection."""

    def on_deadline(self, now: float) -> bool:
        """Handle ``tunnel_deadline``; return False if it has not passed."""
