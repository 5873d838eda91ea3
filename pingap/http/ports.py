"""Ports: what the two sides of a request and the proxy between them know of each other.

Connections call an exchange, and an exchange calls connections; each of them only knows the other by
the protocols below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pingap.http.errors import HTTPError
from pingap.http.headers import Headers
from pingap.http.messages import Request, Response

if TYPE_CHECKING:
    from pingap.http.context import RequestContext


class Source(Protocol):
    """The side a body comes from."""

    def pause_body(self) -> None:
        """Deliver nothing more until ``resume_body``."""

    def resume_body(self) -> None:
        """Go on delivering."""


class Sink(Protocol):
    """The side a body goes to."""

    def send_chunk(self, chunk: bytes) -> None:
        """Send a piece of the body; never empty."""

    def send_end(self, trailers: Headers | None) -> None:
        """End the body."""


class Upstream(Source, Sink, Protocol):
    """The upstream's side: takes a request body, delivers a response."""

    def abort(self) -> None:
        """Drop the connection: nobody wants the answer any more."""

    def leave(self) -> None:
        """Do the same after the current events are delivered, unless they complete the response."""

    def close(self) -> None:
        """End the connection once what was written is sent."""

    def read_pieces(self) -> None:
        """Deliver small pieces from here on: each may hold hundreds of messages that are looked at."""


class RelayedBody(Protocol):
    """A body on its way through the proxy."""

    @property
    def ended(self) -> bool:
        """All of it has come."""

    @property
    def replayable(self) -> bool:
        """All of what was sent of it is kept for another attempt."""


class Asker(Protocol):
    """An exchange, as the upstream that it asks sees it."""

    ctx: RequestContext
    request: Request
    tunnelling: bool
    """Both sides speak another protocol."""
    delivering: bool
    """More events are at hand, so what is sent need not leave yet."""

    @property
    def request_body(self) -> RelayedBody | None:
        """The body of the request."""

    def on_upstream_head(self, response: Response) -> None:
        """Take the head of an answer, interim ones included."""

    def on_upstream_whole(self, response: Response) -> None:
        """Take an answer with all of its body."""

    def on_upstream_chunk(self, chunk: bytes) -> None:
        """Take a piece of the body."""

    def on_upstream_end(self, trailers: Headers | None) -> None:
        """Take the end of the answer."""

    def on_upstream_half_closed(self) -> None:
        """Take the end of the upstream's side of a tunnel."""

    def on_upstream_waiting(self) -> None:
        """Know that no more events are at hand."""

    def on_upstream_lost(self, error: HTTPError) -> None:
        """Know that no answer, or no more of it, will come."""

    def on_upstream_full(self, full: bool) -> None:
        """Know whether more of the request can be sent."""


class Statistics(Protocol):
    """Counters of the worker that serves a request."""

    started_at: float
    """Unix seconds."""
    ask_others: Callable[[], Awaitable[dict[str, Any]]] | None
    """Asks for what all other workers have counted; None if there are none."""

    @property
    def locations(self) -> Mapping[str, Any]:
        """Name -> counters, of all locations."""

    @property
    def upstream_times(self) -> Mapping[str, Any]:
        """Upstream -> what its requests took."""

    @property
    def backends(self) -> Callable[[], Sequence[Any]]:
        """Returns what is known of all backends, upstream by upstream."""

    @property
    def processing(self) -> int:
        """Requests in progress."""

    @property
    def accepted(self) -> int:
        """Requests that matched a location."""

    def location(self, name: str) -> tuple[int, int]:
        """Return how many requests of a location are in progress, and how many began."""

    async def of_all_workers(self) -> Statistics:
        """Return the same figures of requests, summed up over all workers of the instance."""


class Pins(Protocol):
    """Upstream connections that serve only one client's connection."""

    def __contains__(self, peer: Any) -> bool: ...

    def pin(self, peer: Any) -> Any:
        """Return the connections to a peer, which are not shared from now on."""

    def choose(self, upstream: Any, tried: Any) -> Any:
        """Return the peer that knows the client; None if none does."""

    def release(self) -> None:
        """End the connections: the client has left."""
