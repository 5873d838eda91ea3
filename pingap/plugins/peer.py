"""A peer: one address of an upstream, and its current state, as balancers see it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pingap.plugins.balancer import Balancer


DRAINED: Final = "drained"
"""The obstacle of a peer that a plugin drains (``Peer.block``)."""


class Peer:
    """One address of an upstream. Compared by identity: each upstream has peers of its own.

    :param host: the ``Host`` for a request that has none: the configured name.
    :param address: IP address and port, or the path of a Unix socket.
    :param text: the address as it is shown in logs and to plugins.
    :param weight: its share of the requests, relative to that of the others; 0: it gets requests only from
        clients that a cookie binds to it.
    :param backup: it gets requests only while no other peer is available.
    """

    __slots__ = (
        "__weakref__",
        "_obstacles",
        "address",
        "available_since",
        "backup",
        "bookkeeper",
        "host",
        "in_flight",
        "is_available",
        "latency",
        "latency_at",
        "on_change",
        "text",
        "weight",
    )

    def __init__(
        self,
        host: str,
        address: tuple[str, int] | str,
        text: str,
        weight: int = 1,
        *,
        backup: bool = False,
    ) -> None:
        self.host = host
        self.address = address
        self.text = text
        self.weight = weight
        self.backup = backup
        self.is_available = True
        """Whether requests may be sent to it: there is no obstacle."""
        self.available_since = -math.inf
        """When it last became available, or was added (``time.monotonic``)."""
        self.in_flight = 0
        """Attempts in progress, including those that are still connecting."""
        self.latency = 0.0
        """Moving average of the seconds until response heads arrive; 0 unless a balancer keeps it."""
        self.latency_at = 0.0
        """When the average was calculated."""
        self.bookkeeper: Balancer | None = None
        """The balancer, if it needs to know when an attempt has ended."""
        self.on_change: Callable[[], None] | None = None
        """Called when ``is_available`` has changed."""
        self._obstacles: set[str] = set()

    def block(self, obstacle: str) -> None:
        """Send it no requests until ``unblock`` is called with the same obstacle.

        :param obstacle: the reason: ``health``, ``ejected``, ``drained``, ``breaker``.
        """
        self._obstacles.add(obstacle)
        if self.is_available:
            self.is_available = False
            if self.on_change is not None:
                self.on_change()

    def unblock(self, obstacle: str) -> None:
        """Remove an obstacle; does nothing if it is not set."""
        self._obstacles.discard(obstacle)
        if not self._obstacles and not self.is_available:
            self.is_available = True
            self.available_since = time.monotonic()
            if self.on_change is not None:
                self.on_change()

    @property
    def is_drained(self) -> bool:
        """Whether a plugin wants it to get no requests, even if all other peers fail."""
        return DRAINED in self._obstacles

    @property
    def obstacles(self) -> frozenset[str]:
        """The reasons why it gets no requests."""
        return frozenset(self._obstacles)

    def __repr__(self) -> str:
        return f"<Peer {self.text} weight {self.weight}>"
