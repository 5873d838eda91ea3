"""Passive ejection: a peer with several consecutive failures gets no requests for a while."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from pingap.config.units import format_duration
from pingap.upstream.circuit_breaking.breakers import says_nothing
from pingap.upstream.health.keys import EJECTED, peer_key

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.errors import UpstreamError
    from pingap.shared_state.bus import Bus
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime

log = logging.getLogger("pingap")

LONGEST: Final = 10
"""Maximum duration of an ejection, as a multiple of ``passive_ejection_time``."""

EJECTED_OBSTACLE: Final = "ejected"
_BAD_STATUSES: Final = frozenset((502, 503, 504))  # from a proxy whose own upstream fails


@dataclass(frozen=True, slots=True)
class Ejection:
    """An ejection of a peer; its text is a value on the bus.

    :param until: monotonic seconds, which are the same in all processes of a host.
    :param in_a_row: number of this ejection in a series of ejections in close succession.
    """

    until: float
    in_a_row: int

    def __str__(self) -> str:
        return f"{self.until!r} {self.in_a_row}"

    @classmethod
    def parse(cls, text: str) -> Ejection:
        """Read the text written by ``str``."""
        until, in_a_row = text.split()
        return cls(float(until), int(in_a_row))


class PassiveEjection:
    """Observes the requests of an upstream in this worker; ejects peers in all workers.

    :param failures: number of consecutive failures after which a peer is ejected.
    :param seconds: duration; doubled for each ejection that soon follows another.
    :param percent: maximum percentage of peers that are ejected at the same time. The last available peer
        never is.
    """

    def __init__(
        self, upstream: UpstreamRuntime, bus: Bus, failures: int, seconds: float, percent: int
    ) -> None:
        self.counts: WeakKeyDictionary[Peer, int] = WeakKeyDictionary()
        """How often this worker has ejected a peer."""
        self._upstream = upstream
        self._bus = bus
        self._limit = failures
        self._seconds = seconds
        self._percent = percent
        self.deadlines = upstream.pool.deadlines
        self._failures: WeakKeyDictionary[Peer, int] = WeakKeyDictionary()
        self._mine: set[Ejection] = set()
        self._last: WeakKeyDictionary[Peer, Ejection] = WeakKeyDictionary()

    # Called by the lifecycle.

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        """Count consecutive failures."""
        if error is None:
            failed = status in _BAD_STATUSES
        elif says_nothing(error, ctx):
            return
        else:
            failed = True
        if not failed:
            self._failures.pop(peer, None)
            return
        count = self._failures[peer] = self._failures.get(peer, 0) + 1
        if (
            count >= self._limit
            and EJECTED_OBSTACLE not in peer.obstacles
            and self._may_eject(peer)
        ):
            self._eject(peer, count, str(error or f"status {status}"))

    def abandoned(self, peer: Peer) -> None:
        """Do nothing: a client that disconnects is no evidence about a peer."""

    def _may_eject(self, peer: Peer) -> bool:
        peers = self._upstream.peers
        ejected = sum(EJECTED_OBSTACLE in one.obstacles for one in peers)
        if (ejected + 1) * 100 > len(peers) * self._percent:
            return False
        return any(one.is_available for one in peers if one is not peer)

    def _eject(self, peer: Peer, failures: int, why: str) -> None:
        now = time.monotonic()
        in_a_row = 1
        if (last := self._last.get(peer)) is not None:
            # It is over: a peer that is ejected is not ejected again.
            in_a_row = last.in_a_row + 1 if now < last.until + self._length(last.in_a_row) else 1
        seconds = self._length(in_a_row)
        self.counts[peer] = self.counts.get(peer, 0) + 1
        log.warning(
            "upstream %s(%s) is ejected for %s: %d failures in a row, the last one: %s",
            self._upstream.name,
            peer.text,
            format_duration(seconds),
            failures,
            why,
        )
        ejection = Ejection(now + seconds, in_a_row)
        self._mine.add(ejection)
        self._bus.publish(peer_key(EJECTED, self._upstream.name, peer.text), str(ejection))

    def _length(self, in_a_row: int) -> float:
        return self._seconds * min(1 << min(in_a_row - 1, LONGEST), LONGEST)

    # Called for values of the bus.

    def apply(self, text: str, ejection: Ejection) -> None:
        """Eject a peer, on the decision of any worker."""
        if ejection.until <= time.monotonic():
            return
        for peer in self._upstream.peers:
            if peer.text == text:
                self._failures.pop(peer, None)
                self._last[peer] = ejection
                peer.block(EJECTED_OBSTACLE)
                self.deadlines.watch(_Return(self, peer, ejection))

    def end(self, peer: Peer, ejection: Ejection) -> None:
        """Let a peer have requests again, unless it has been ejected again."""
        if self._last.get(peer) == ejection:
            peer.unblock(EJECTED_OBSTACLE)
        if ejection in self._mine:
            self._mine.remove(ejection)
            log.info("upstream %s(%s) gets requests again", self._upstream.name, peer.text)


class _Return:
    """The end of an ejection (``Deadlines``)."""

    def __init__(self, owner: PassiveEjection, peer: Peer, ejection: Ejection) -> None:
        self.deadline = ejection.until
        self._owner = owner
        self._peer = peer
        self._ejection = ejection

    def on_deadline(self) -> None:
        self.deadline = math.inf
        self._owner.deadlines.forget(self)
        self._owner.end(self._peer, self._ejection)
