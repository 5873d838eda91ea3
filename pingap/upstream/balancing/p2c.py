"""``p2c``: of two peers chosen at random, the one with less load and lower latency.

Two are enough: this is nearly as good as comparing all, costs the same for any number of peers, and
independent proxies do not all choose the peer that is best at the moment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import exp
from typing import TYPE_CHECKING, Final

from pingap.plugins.balancer import Balancer, Usable, is_available
from pingap.upstream.balancing.weighted_draw import WeightedDraw

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer

MEMORY_SECONDS: Final = 10.0
"""Time constant of the latency average: without new values, its weight drops to a third in this time."""
FAILURE_SECONDS: Final = 1.0
"""Latency that a failure counts as, so that a peer that fails immediately does not appear fastest."""
_CLEARLY: Final = 0.8
"""How much less load the second peer must have. Without a clear difference, the random choice decides, and
with it the weights."""


class PowerOfTwoChoices(Balancer):
    """Draws two peers by weight and takes the one with less load: requests in flight times latency."""

    weighs_load = True

    def __init__(self, peers: Sequence[Peer]) -> None:
        super().__init__(peers)
        self._most = max((peer.weight for peer in peers), default=1)
        self.refresh(is_available)

    @property
    def bookkeeper(self) -> Balancer | None:
        """Return itself: it measures response times."""
        return self

    def refresh(self, usable: Usable) -> None:
        """Draw from the available peers."""
        peers = [peer for peer in self.peers if usable(peer)]
        self._urn = WeightedDraw(peers) if peers else None

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Draw two peers, and choose one."""
        if (urn := self._urn) is None:
            return None
        first, second = urn.draw(), urn.draw()
        if first is second:
            second = urn.draw()
        if not usable(first):
            return urn.draw_usable(usable)
        if second is first or not usable(second):
            return first
        return second if self._is_better(second, first, ctx.began_at) else first

    def _is_better(self, one: Peer, other: Peer, now: float) -> bool:
        """Return whether the first peer has clearly less load than the other."""
        most = self._most
        mine = one.in_flight * most / one.weight + 1.0
        theirs = other.in_flight * most / other.weight + 1.0
        if one.latency and other.latency:
            mine *= one.latency * exp((one.latency_at - now) / MEMORY_SECONDS)
            theirs *= other.latency * exp((other.latency_at - now) / MEMORY_SECONDS)
        return mine < theirs * _CLEARLY

    def ended(self, peer: Peer, ctx: RequestContext, *, failed: bool) -> None:
        """Record the response time of a peer."""
        if failed:
            took = FAILURE_SECONDS
        elif ctx.upstream_head_at:
            took = ctx.upstream_head_at - ctx.upstream_connected_at
        else:
            return  # the client did not wait for the response
        now = time.monotonic()
        old = exp((peer.latency_at - now) / MEMORY_SECONDS) if peer.latency else 0.0
        peer.latency = old * peer.latency + (1.0 - old) * took
        peer.latency_at = now
