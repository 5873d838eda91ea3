"""Slow start: a peer that returns or is new gets its share of the requests gradually.

An application that has just started has cold caches, no connections and uncompiled code.
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from pingap.plugins.balancer import Balancer, Usable
from pingap.upstream.balancing.sticky import Sticky

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer


class SlowStart(Balancer):
    """Passes on the choices of another balancer, but at first mostly redirects those of a starting peer.

    :param balancer: makes the choices.
    :param seconds: duration of a start.
    """

    def __init__(self, balancer: Balancer, seconds: float) -> None:
        super().__init__(balancer.peers)
        self._balancer = balancer
        self._seconds = seconds

    @property
    def bookkeeper(self) -> Balancer | None:
        """The balancer that chooses."""
        return self._balancer.bookkeeper

    def refresh(self, usable: Usable) -> None:
        """Pass the change on to the balancer."""
        self._balancer.refresh(usable)

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Choose as the balancer does; for a starting peer, often choose again."""
        first = peer = self._balancer.choose(request, ctx, usable)
        passed_over: set[Peer] = set()
        while peer is not None and (share := self._share(peer, ctx.began_at)) < 1.0:
            # A random number makes its share of the choices grow.
            may_be = random() < share  # noqa: S311 - need not be unpredictable
            if may_be and not self._balancer.weighs_load:
                return peer
            passed_over.add(peer)
            other = self._balancer.choose(
                request, ctx, lambda one: one not in passed_over and usable(one)
            )
            if may_be and (other is None or _has_less(peer, share, other)):
                return peer
            peer = other
        return peer or first  # all of them are starting: none is a better choice

    def _share(self, peer: Peer, now: float) -> float:
        """Return the share of its requests that a peer gets: 1 after the start."""
        return max(0.0, now - peer.available_since) / self._seconds


def _has_less(peer: Peer, share: float, other: Peer) -> bool:
    """Return whether a starting peer has less load than another one, in proportion to its share.

    Otherwise a balancer based on load would send it everything until it has as much as the others.
    """
    return peer.in_flight / peer.weight <= share * other.in_flight / other.weight


def with_slow_start(balancer: Balancer, seconds: float) -> Balancer:
    """Return a balancer with slow start, which does not affect clients that are bound to a peer."""
    if not seconds:
        return balancer
    if isinstance(balancer, Sticky):
        balancer.spread = SlowStart(balancer.spread, seconds)
        return balancer
    return SlowStart(balancer, seconds)
