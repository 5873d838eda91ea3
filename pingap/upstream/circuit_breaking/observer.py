"""Who is told how attempts to have a request answered by a peer end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.errors import UpstreamError
    from pingap.upstream.peer import Peer


class Observer(Protocol):
    """Watches the attempts of an upstream (``UpstreamRuntime.observers``).

    Every attempt ends with one of the two calls, also one that is repeated.
    """

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        """Take note that the head of a response came, or that none will.

        :param ctx: of the request; ``upstream_reused`` tells whether the connection was a kept one.
        :param error: why there is no response; None if there is one.
        :param status: of the response; 0 if there is none.
        """

    def abandoned(self, peer: Peer) -> None:
        """Take note that an attempt ended and tells nothing of the peer: the client left, say."""
