"""What an exchange knows of the client's side, and of what reads messages inside of a tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pingap.http.messages import Response
from pingap.http.ports import Sink, Source

if TYPE_CHECKING:
    from pingap.proxy.async_hooks import HookTasks
    from pingap.proxy.filter_chain import Filters
    from pingap.wire.backlog import Backlog


class Downstream(Source, Sink, Protocol):
    """The client's side: takes a response, delivers the request body."""

    body_bytes_sent: int
    """Bytes of the response body that were handed over, without framing."""

    @property
    def tasks(self) -> HookTasks:
        """Where what plugins await is run."""

    @property
    def backlog(self) -> Backlog:
        """Of the worker: who waits for another turn of the event loop."""

    def send_interim(self, response: Response) -> None:
        """Pass on a 1xx response."""

    def send_whole(self, response: Response, body: bytes) -> None:
        """Send a response with all of its body."""

    def send_head(self, response: Response, length: int | None) -> None:
        """Begin a response with so many bytes of body, None if that is not known."""

    def withdraw_head(self) -> bool:
        """Discard a buffered head, so that another one can be sent; return False if it was already sent."""

    def begin_tunnel(self, response: Response) -> None:
        """Send 101; from here on, bytes pass both ways as they come."""

    def watch_tunnel(self) -> None:
        """Set the time limit of a tunnel: its deadline may have changed, or something has passed."""

    def flush(self) -> None:
        """Send what was kept back in the hope of more: the head of a response."""

    def cut(self) -> None:
        """Break off, so that the client sees that the answer is not complete."""

    def exchange_ended(self) -> None:
        """Go on with the next request: this one is over."""


class Messages(Protocol):
    """What reads the messages of a WebSocket inside of a tunnel."""

    @property
    def client_filters(self) -> Filters:
        """What filters the bytes of the client."""

    @property
    def upstream_filters(self) -> Filters:
        """What filters the bytes of the upstream."""

    @property
    def is_over(self) -> bool:
        """Both sides were closed, and the tunnel is to end."""

    def begin(self) -> None:
        """Begin, before anything is sent to the client."""

    def go_on(self) -> None:
        """Know that the response head was sent."""

    def on_full(self) -> None:
        """Know that a side can, or cannot, take more."""

    def on_upstream_lost(self) -> None:
        """Know that the upstream's connection is gone."""

    def on_deadline(self, now: float) -> bool:
        """Act on ``tunnel_deadline``; return False if it has not passed."""
