"""Drawing peers at random, by weight; draws need not be unpredictable."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import choices, random
from typing import TYPE_CHECKING, Final

from pingap.plugins.balancer import Usable

if TYPE_CHECKING:
    from pingap.plugins.peer import Peer

_TRIES: Final = 3
"""Unsuccessful draws after which usable peers are searched one by one."""


class WeightedDraw:
    """Draws peers with replacement, with probabilities in proportion to their weights.

    :param peers: at least one.
    """

    __slots__ = ("_bounds", "_peers", "_total")

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._bounds = [float(bound) for bound in accumulate(peer.weight for peer in peers)]
        self._total = self._bounds[-1]
        self._peers = [*peers, peers[-1]]  # in case rounding reaches the total

    def draw(self) -> Peer:
        """Return one."""
        return self._peers[bisect(self._bounds, random() * self._total)]  # noqa: S311

    def draw_usable(self, usable: Usable) -> Peer | None:
        """Return a usable peer; None if there is none."""
        for _ in range(_TRIES):
            peer = self._peers[bisect(self._bounds, random() * self._total)]  # noqa: S311
            if usable(peer):
                return peer
        wanted = [peer for peer in self._peers[:-1] if usable(peer)]
        if not wanted:
            return None
        return choices(wanted, [peer.weight for peer in wanted])[0]  # noqa: S311
