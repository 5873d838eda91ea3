"""``round_robin``: peers in turn, by weight, spread evenly (heavy peers do not get their turns in a row)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from pingap.plugins.balancer import Balancer, Usable, is_available
from pingap.upstream.balancing.schedule import turns

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer


class RoundRobin(Balancer):
    """Gives the available peers their turns.

    A peer that cannot be used, because a request failed there or it starts slowly, is replaced by the next
    one of a second round. Taking the next one of the first would always put its load on the same neighbour.
    """

    def __init__(self, peers: Sequence[Peer]) -> None:
        super().__init__(peers)
        self.refresh(is_available)

    def refresh(self, usable: Usable) -> None:
        """Distribute the turns among the available peers."""
        peers = [peer for peer in self.peers if usable(peer)]
        weights = [peer.weight for peer in peers]
        self._turns = turns(peers, weights)
        self._replacements = turns(peers, weights)
        self._round = sum(weights)

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Choose the next peer."""
        try:
            peer = next(self._turns)
        except StopIteration:
            return None  # there are no peers
        if usable(peer):
            return peer
        for peer in islice(self._replacements, self._round):
            if usable(peer):
                return peer
        return None
