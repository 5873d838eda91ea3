"""The interface of observers, which are notified how attempts end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.errors import UpstreamError
    from pingap.upstream.peer import Peer


class Observer(Protocol):
    """Observes the attempts of an upstream (``UpstreamRuntime.observers``).

    Every attempt ends with one of the two calls, even if it is repeated.
    """

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        """Record that the head of a response arrived, or that none will.

        :param ctx: of the request; ``upstream_reused`` is whether the connection was a kept one.
        :param error: why there is no response; None if there is one.
        :param status: of the response; 0 if there is none.
        """

    def abandoned(self, peer: Peer) -> None:
        """Record that an attempt ended without a result, for example because the client disconnected."""
