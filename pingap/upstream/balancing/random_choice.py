"""``random``: peers chosen at random, by weight.

Independent proxies should not all do the same at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pingap.plugins.balancer import Balancer, Usable, is_available
from pingap.upstream.balancing.weighted_draw import WeightedDraw

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer


class RandomChoice(Balancer):
    """Draws a peer."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        super().__init__(peers)
        self.refresh(is_available)

    def refresh(self, usable: Usable) -> None:
        """Draw from the available peers."""
        peers = [peer for peer in self.peers if usable(peer)]
        self._urn = WeightedDraw(peers) if peers else None

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Draw one."""
        return None if self._urn is None else self._urn.draw_usable(usable)
