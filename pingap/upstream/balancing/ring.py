"""A ring for consistent hashing (ketama): adding or removing a peer moves only its own share."""

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
"""Maximum number of points of all peers; with many peers, each has fewer."""

_PLACES: Final = float(1 << 20)  # more than there are peers; stored in the same number as the point


class Ring:
    """Points of peers, in the order of their hashes.

    The points of a peer depend only on its name: all workers, and all proxies with the same peers, choose the
    same one.
    """

    __slots__ = ("_owners", "_points")

    def __init__(self, peers: Sequence[Peer]) -> None:
        each = min(POINTS, MOST_POINTS / max(1, sum(peer.weight for peer in peers)))
        # A point and the index of its peer share one float, which has 53 bits: 32 and 20. So the list is
        # sorted without calls.
        peers = sorted(peers, key=_name)
        marks: list[float] = []
        for place, peer in enumerate(peers):
            count = max(1, round(each * peer.weight))
            hashes = shake_128(_name(peer).encode("utf-8", "surrogateescape")).digest(4 * count)
            marks += [point * _PLACES + place for point in struct.unpack(f"<{count}I", hashes)]
        marks.sort()
        self._points = marks
        self._owners = [peers[int(mark % _PLACES)] for mark in marks]
        self._owners += self._owners[:1]  # the first point follows the last

    def find(self, key: str, usable: Usable) -> Peer | None:
        """Return the usable peer whose point is next after the hash of a key."""
        # Clients can find keys that lead to one peer, as with every known hash function, so the fastest one
        # is used.
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
