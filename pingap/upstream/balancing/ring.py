"""A ring for consistent hashing (ketama): a peer that comes or goes moves only its own share."""

from __future__ import annotations

import struct
from bisect import bisect
from collections.abc import Sequence
from hashlib import shake_128
from typing import TYPE_CHECKING, Final
from zlib import crc32

from pingap.plugins.balancer import Usable

if TYPE_CHECKING:
    from pingap.plugins.peer import Peer

POINTS: Final = 160
"""Points of a peer on the ring, for each unit of its weight."""
MOST_POINTS: Final = 50_000
"""Points of all peers together: with more, each peer has fewer."""

_PLACES: Final = float(1 << 20)  # more than there are peers; below a point, in the same number


class Ring:
    """Points of peers, in the order of their hashes.

    Where a peer's points lie depends on nothing but its name: all workers, and all proxies that have
    the same peers, choose alike.
    """

    __slots__ = ("_owners", "_points")

    def __init__(self, peers: Sequence[Peer]) -> None:
        each = min(POINTS, MOST_POINTS / max(1, sum(peer.weight for peer in peers)))
        # A point and the place of its peer are one float: 32 and 20 of the 53 bits it has. So the
        # list is sorted without calling anything.
        peers = sorted(peers, key=_name)
        marks: list[float] = []
        for place, peer in enumerate(peers):
            count = max(1, round(each * peer.weight))
            hashes = shake_128(_name(peer).encode("utf-8", "surrogateescape")).digest(4 * count)
            marks += [point * _PLACES + place for point in struct.unpack(f"<{count}I", hashes)]
        marks.sort()
        self._points = marks
        self._owners = [peers[int(mark % _PLACES)] for mark in marks]
        self._owners += self._owners[:1]  # behind the last point comes the first

    def find(self, key: str, usable: Usable) -> Peer | None:
        """Return the usable peer whose point comes next after the hash of a key."""
        # (Who wants to can find keys that lead to one peer, as with every hash that is known; so the
        # quickest will do.)
        place = bisect(self._points, crc32(key.encode("utf-8", "surrogateescape")) * _PLACES)
        owners = self._owners
        if not owners:
            return None
        if usable(peer := owners[place]):
            return peer
        for peer in (*owners[place + 1 :], *owners[:place]):
            if usable(peer):
                return peer
        return None


def _name(peer: Peer) -> str:
    return f"{peer.host} {peer.text}"
