"""``p2c``: of two peers drawn by lot, the one that has less to do and answers sooner.

Two are enough: it is nearly as good as looking at all, costs the same for any number of peers, and
proxies that know nothing of each other do not all run to the peer that is the best of the moment.
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
    from pingap.http.messages import Request
    from pingap.plugins.peer import Peer

MEMORY_SECONDS: Final = 10.0
"""After so long without news, what is known of a peer's latency has lost two thirds of its weight."""
FAILURE_SECONDS: Final = 1.0
"""The latency that a failure counts as, lest a peer that fails at once seem the fastest of all."""
_CLEARLY: Final = 0.8
"""How much less the second one drawn must have to do. (With less than a clear difference the lot
decides, and so the weights.)"""


class PowerOfTwoChoices(Balancer):
    """Draws two peers by weight; takes the one with less to do: requests in flight times latency."""

    weighs_load = True

    def __init__(self, peers: Sequence[Peer]) -> None:
        super().__init__(peers)
        self._most = max((peer.weight for peer in peers), default=1)
        self.refresh(is_available)

    @property
    def bookkeeper(self) -> Balancer | None:
        """Itself: it takes the time of answers."""
        return self

    def refresh(self, usable: Usable) -> None:
        """Draw from those that are available now."""
        peers = [peer for peer in self.peers if usable(peer)]
        self._urn = WeightedDraw(peers) if peers else None

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Draw two, and choose."""
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
        """Tell whether one has clearly less to do than the other."""
        most = self._most
        mine = one.in_flight * most / one.weight + 1.0
        theirs = other.in_flight * most / other.weight + 1.0
        if one.latency and other.latency:
            mine *= one.latency * exp((one.latency_at - now) / MEMORY_SECONDS)
            theirs *= other.latency * exp((other.latency_at - now) / MEMORY_SECONDS)
        return mine < theirs * _CLEARLY

    def ended(self, peer: Peer, ctx: RequestContext, *, failed: bool) -> None:
        """Take in how long a peer took."""
        if failed:
            took = FAILURE_SECONDS
        elif ctx.upstream_head_at:
            took = ctx.upstream_head_at - ctx.upstream_connected_at
        else:
            return  # the client did not wait for the answer
        now = time.monotonic()
        old = exp((peer.latency_at - now) / MEMORY_SECONDS) if peer.latency else 0.0
        peer.latency = old * peer.latency + (1.0 - old) * took
        peer.latency_at = now
