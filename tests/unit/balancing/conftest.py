"""Peers, and requests for which one is chosen."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from pingap import Connection, Headers, Peer, Request, RequestContext
from pingap.plugins.balancer import BalancerOptions
from pingap.upstream.balancing.selection import Balancing, Selection
from pingap.upstream.balancing.standard import pingap_balancers

SECRET = b"a secret of the tests"
ALGOS = ("round_robin", "least_conn", "p2c", "random", "hash:path", "sticky:backend")
"""One of each kind."""


def make_peers(*weights: int, backups: int = 0) -> list[Peer]:
    """Return peers with these weights; the last ones are backups."""
    return [
        Peer("app", ("10.0.0.1", port), f"10.0.0.1:{port}", weight, backup=backup)
        for port, (weight, backup) in enumerate(
            [(weight, len(weights) - place <= backups) for place, weight in enumerate(weights)]
        )
    ]


def select(
    algo: str, peers: Sequence[Peer], *, slow_start: float = 0.0, panic: int = 0
) -> Selection:
    """Return the selection of an upstream."""
    word, _, argument = algo.partition(":")
    return Selection(
        "up",
        peers,
        Balancing(
            factory=pingap_balancers()[word],
            options=BalancerOptions(upstream="up", argument=argument, secret=SECRET),
            slow_start=slow_start,
            panic_threshold=panic,
        ),
    )


def request_of(
    target: str = "/", headers: dict[str, str] | None = None, *, at: float | None = None
) -> tuple[Request, RequestContext]:
    """Return a request and its context."""
    connection = Connection(1, ("192.0.2.1", 1), ("192.0.2.9", 80))
    ctx = RequestContext(connection, time.monotonic() if at is None else at)
    return Request("GET", target, Headers(headers or {})), ctx


class Traffic:
    """Requests, of which so many are in flight at a time.

    :param seconds: how long a peer takes to answer; nothing if it is not told.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        in_flight: int = 0,
        seconds: Callable[[Peer], float] = lambda peer: 0.0,
    ) -> None:
        self.selection = selection
        self.served: Counter[Peer] = Counter()
        self._most = in_flight
        self._seconds = seconds
        self._flying: deque[tuple[Peer, RequestContext]] = deque()

    def send(self, number: int, *, at: float | None = None) -> Counter[Peer]:
        """Send so many requests, each for another path; return who served them."""
        served: Counter[Peer] = Counter()
        for place in range(number):
            request, ctx = request_of(f"/{place}", at=at)
            peer = self.selection.choose(request, ctx)
            peer.in_flight += 1
            served[peer] += 1
            self._flying.append((peer, ctx))
            if len(self._flying) > self._most:
                self.end()
        self.served += served
        return served

    def end(self, place: int = 0) -> None:
        """End one of the requests in flight; the oldest one unless another is named."""
        self._flying.rotate(-place)
        peer, ctx = self._flying.popleft()
        self._flying.rotate(place)
        ctx.upstream_connected_at = ctx.began_at
        ctx.upstream_head_at = ctx.began_at + self._seconds(peer)
        peer.in_flight -= 1
        if peer.bookkeeper is not None:
            peer.bookkeeper.ended(peer, ctx, failed=False)
