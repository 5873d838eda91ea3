"""``least_conn``: the peer with the fewest requests in flight, in proportion to its weight.

Peers with equal load take turns by weight. A heap finds them: examining all of a thousand peers would
take 40 us.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from pingap.plugins.balancer import Balancer, Usable, is_available

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer

_Entry: TypeAlias = "tuple[float, float, int, Peer]"
"""Load, turn, a unique number, and the peer."""


class LeastConnections(Balancer):
    """Chooses the peer with the lowest load.

    When the load of a peer has increased, this is noticed once its entry reaches the top of the heap; when it
    has decreased, a new entry is added, and the old one is dropped once it reaches the top.
    """

    weighs_load = True

    def __init__(self, peers: Sequence[Peer]) -> None:
        super().__init__(peers)
        self._numbers = count()
        self.refresh(is_available)

    @property
    def bookkeeper(self) -> Balancer | None:
        """Return itself: a peer whose load decreases moves up."""
        return self

    def refresh(self, usable: Usable) -> None:
        """Rebuild the heap from the available peers."""
        self._now = 0.0  # the turn of the peer that was chosen last
        self._entries = {
            peer: self._entry(peer, 0.5 / peer.weight) for peer in self.peers if usable(peer)
        }
        self._heap = list(self._entries.values())
        heapify(self._heap)

    def _entry(self, peer: Peer, turn: float) -> _Entry:
        return (peer.in_flight / peer.weight, turn, next(self._numbers), peer)

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Choose the peer at the top of the heap."""
        heap, entries = self._heap, self._entries
        aside: list[_Entry] = []
        chosen = None
        while heap:
            top = heap[0]
            load, turn, _, peer = top
            if entries[peer] is not top:
                heappop(heap)
            elif load != peer.in_flight / peer.weight:
                entries[peer] = entry = self._entry(peer, turn)
                heapreplace(heap, entry)
            elif not usable(peer):
                aside.append(heappop(heap))
            else:
                # A peer that was busy for long does not get all the turns it missed.
                self._now = max(self._now, turn)
                entries[peer] = entry = self._entry(peer, self._now + 1 / peer.weight)
                heapreplace(heap, entry)
                chosen = peer
                break
        for entry in aside:
            heappush(heap, entry)
        return chosen

    def ended(self, peer: Peer, ctx: RequestContext, *, failed: bool) -> None:
        """Move a peer up."""
        entry = self._entries.get(peer)
        if entry is None or entry[0] <= peer.in_flight / peer.weight:
            return
        self._entries[peer] = entry = self._entry(peer, entry[1])
        heappush(self._heap, entry)
        if len(self._heap) > 64 + 4 * len(self._entries):
            self._heap = list(self._entries.values())
            heapify(self._heap)
