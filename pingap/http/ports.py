"""The interfaces between the two sides of a request and the proxy.

Connections call an exchange, and an exchange calls connections; each knows the other only by the protocols
below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pingap.http.errors import HTTPError
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response

if TYPE_CHECKING:
    from pingap.http.context import RequestContext


class Source(Protocol):
    """The side from which a body comes."""

    def pause_body(self) -> None:
        """Deliver no more until ``resume_body``."""

    def resume_body(self) -> None:
        """Go on delivering."""


class Sink(Protocol):
    """The side to which a body goes."""

    def send_chunk(self, chunk: bytes) -> None:
        """Send a piece of the body; never empty."""

    def send_end(self, trailers: Headers | None) -> None:
        """End the body."""


class Upstream(Source, Sink, Protocol):
    """The upstream side: accepts a request body, delivers a response."""

    def abort(self) -> None:
        """Close the connection: the response is no longer needed."""

    def leave(self) -> None:
        """Do the same after the current events are delivered, unless they complete the response."""

    def close(self) -> None:
        """Close the connection once written data is sent."""

    def begin_tunnel(self) -> None:
        """Wait for data without a time limit from now on: the client's side has one."""

    def read_pieces(self) -> None:
        """Deliver small pieces from now on: each may contain hundreds of messages to be processed."""


class RelayedBody(Protocol):
    """A body that passes through the proxy."""

    @property
    def ended(self) -> bool:
        """Whether it has arrived completely."""

    @property
    def replayable(self) -> bool:
        """Whether everything sent so far is kept for another attempt."""


class Asker(Protocol):
    """An exchange as seen by its upstream."""

    ctx: RequestContext
    request: Request
    tunnelling: bool
    """Whether both sides use another protocol."""
    delivering: bool
    """Whether more events are available, so that sent data can be delayed."""

    @property
    def request_body(self) -> RelayedBody | None:
        """The body of the request."""

    def on_upstream_head(self, response: Response) -> None:
        """Handle the head of a response, including interim ones."""

    def on_upstream_whole(self, response: Response) -> None:
        """Handle a response with its whole body."""

    def on_upstream_chunk(self, chunk: bytes) -> None:
        """Handle a piece of the body."""

    def on_upstream_end(self, trailers: Headers | None) -> None:
        """Handle the end of the response."""

    def on_upstream_half_closed(self) -> None:
        """Handle the end of the upstream's side of a tunnel."""

    def on_upstream_waiting(self) -> None:
        """Called when no more events are available."""

    def on_upstream_lost(self, error: HTTPError) -> None:
        """Called when there will be no response, or no more of it."""

    def on_upstream_full(self, full: bool) -> None:
        """Called when the upstream can, or cannot, accept more of the request."""

    def report(self, error: HTTPError) -> None:
        """Log an error that does not change the response."""


class Statistics(Protocol):
    """Counters of the worker that serves a request."""

    started_at: float
    """Unix seconds."""
    ask_others: Callable[[], Awaitable[dict[str, Any]]] | None
    """Requests the counts of all other workers; None if there are none."""

    @property
    def locations(self) -> Mapping[str, Any]:
        """Name -> counters, of all locations."""

    @property
    def upstream_times(self) -> Mapping[str, Any]:
        """Upstream -> times of its requests."""

    @property
    def backends(self) -> Callable[[], Sequence[Any]]:
        """Returns the state of all backends, upstream by upstream."""

    @property
    def processing(self) -> int:
        """Requests in progress."""

    @property
    def accepted(self) -> int:
        """Requests that matched a location."""

    def location(self, name: str) -> tuple[int, int]:
        """Return how many requests of a location are in progress, and how many have begun."""

    async def of_all_workers(self) -> Statistics:
        """Return the same figures of requests, summed up over all workers of the instance."""


class Pins(Protocol):
    """Upstream connections that serve only one client connection."""

    def __contains__(self, peer: Any) -> bool: ...

    def pin(self, peer: Any) -> Any:
        """Return the connections to a peer, which are not shared from now on."""

    def choose(self, upstream: Any, tried: Any) -> Any:
        """Return the peer on which the client has authenticated; None if there is none."""

    def release(self) -> None:
        """Close the connections: the client has disconnected."""
