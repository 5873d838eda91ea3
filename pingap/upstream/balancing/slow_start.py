"""Slow start: a peer that comes back, or is new, gets its share of the requests little by little.

(An application that was just started has cold caches, no connections and uncompiled code.)
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from pingap.plugins.balancer import Balancer, Usable
from pingap.upstream.balancing.sticky import Sticky

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.messages import Request
    from pingap.plugins.peer import Peer


class SlowStart(Balancer):
    """Sends on what another balancer chooses for a peer that starts, at first to others.

    :param balancer: chooses.
    :param seconds: how long a start takes.
    """

    def __init__(self, balancer: Balancer, seconds: float) -> None:
        super().__init__(balancer.peers)
        self._balancer = balancer
        self._seconds = seconds

    @property
    def bookkeeper(self) -> Balancer | None:
        """Whoever chooses."""
        return self._balancer.bookkeeper

    def refresh(self, usable: Usable) -> None:
        """Tell the balancer."""
        self._balancer.refresh(usable)

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Choose as the balancer does; with peers that start, more often the others."""
        first = peer = self._balancer.choose(request, ctx, usable)
        passed_over: set[Peer] = set()
        while peer is not None and (share := self._share(peer, ctx.began_at)) < 1.0:
            # The dice make its share of the turns grow, or of what is drawn.
            may_be = random() < share  # noqa: S311 - nobody gains by guessing it
            if may_be and not self._balancer.weighs_load:
                return peer
            passed_over.add(peer)
            other = self._balancer.choose(
                request, ctx, lambda one: one not in passed_over and usable(one)
            )
            if may_be and (other is None or _has_less(peer, share, other)):
                return peer
            peer = other
        return peer or first  # (all of them start: nobody is the better choice)

    def _share(self, peer: Peer, now: float) -> float:
        """Return the part of its requests that a peer gets: 1 for one that has started."""
        return max(0.0, now - peer.available_since) / self._seconds


def _has_less(peer: Peer, share: float, other: Peer) -> bool:
    """Tell whether a peer that starts has less to do than another one, measured by its share.

    (Or a balancer that weighs load would send it everything until it has as much as the others.)
    """
    return peer.in_flight / peer.weight <= share * other.in_flight / other.weight


def with_slow_start(balancer: Balancer, seconds: float) -> Balancer:
    """Return a balancer with slow start; a client that has a peer is none of its business."""
    if not seconds:
        return balancer
    if isinstance(balancer, Sticky):
        balancer.spread = SlowStart(balancer.spread, seconds)
        return balancer
    return SlowStart(balancer, seconds)
