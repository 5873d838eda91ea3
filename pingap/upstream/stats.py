"""Statistics of backends, if ``enable_backend_stats`` is on."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pingap.observability.histogram import Histogram
from pingap.upstream.circuit_breaking.breakers import says_nothing
from pingap.upstream.circuit_breaking.window import SlidingWindow

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.errors import UpstreamError
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime

LATENCY_BUCKETS: Final = (0.01, 0.02, 0.1, 0.5, 1, 5, 10)
_SHARE: Final = 0.1  # weight of the latest response in the average


class PeerStats:
    """Counts of one backend since it was configured.

    :param window: length of the window of ``lately`` in seconds.
    """

    __slots__ = ("average_latency", "failures", "lately", "latency", "requests")

    def __init__(self, window: float) -> None:
        self.requests = 0
        """Ended attempts, with or without a response."""
        self.failures = 0
        """Failed attempts: no connection, no response, or a bad status."""
        self.lately = SlidingWindow(window)
        self.latency = Histogram(LATENCY_BUCKETS)
        """Seconds from a usable connection to the head of the response."""
        self.average_latency = 0.0
        """The same, weighted towards the latest responses; 0 before the first."""

    def answered(self, seconds: float) -> None:
        """Record the duration of a response."""
        self.latency.observe(seconds)
        if self.average_latency:
            self.average_latency += _SHARE * (seconds - self.average_latency)
        else:
            self.average_latency = seconds


class BackendStats:
    """Counts the attempts of an upstream (an ``Observer``).

    :param failures: statuses of responses that count as failures.
    :param window: length of the window in seconds (``backend_stats_interval``).
    """

    def __init__(self, failures: frozenset[int], window: float) -> None:
        self._failures = failures
        self._window = window

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        """Count an attempt (``Observer``)."""
        if error is not None and says_nothing(error, ctx):
            return
        if (stats := peer.stats) is None:
            stats = peer.stats = PeerStats(self._window)
        failed = error is not None or status in self._failures
        stats.requests += 1
        stats.failures += failed
        stats.lately.count(time.monotonic(), 1, failed)
        if error is None:
            stats.answered(ctx.upstream_head_at - ctx.upstream_connected_at)

    def abandoned(self, peer: Peer) -> None:
        """Do nothing: this is no evidence about the backend (``Observer``)."""


class Tracer:
    """Records for each request the number of connections of its upstream (``enable_tracer``)."""

    def __init__(self, upstream: UpstreamRuntime) -> None:
        self._upstream = upstream

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        """Note it (``Observer``)."""
        ctx.upstream_connected = self._upstream.connections

    def abandoned(self, peer: Peer) -> None:
        """Do nothing (``Observer``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReport:
    """The state of a backend at one point in time.

    :param upstream: name of its upstream.
    :param address: as shown in logs.
    :param available: whether it gets requests.
    :param obstacles: why it does not: ``health``, ``ejected``, ``breaker``.
    :param in_flight: requests in progress.
    :param circuit_state: 0 closed, 1 open, 2 half-open; None without a circuit breaker.
    :param circuit_opened: how often the breaker opened.
    :param stats: None unless ``enable_backend_stats`` is on and a request has come.
    """

    upstream: str
    address: str
    weight: int
    available: bool
    obstacles: tuple[str, ...]
    in_flight: int
    circuit_state: int | None
    circuit_opened: int
    stats: PeerStats | None


def report_on(upstreams: Iterable[UpstreamRuntime]) -> list[BackendReport]:
    """Return the state of all backends, in the order of the configuration."""
    now = time.monotonic()
    found = []
    for upstream in upstreams:
        for peer in upstream.peers:
            if peer.stats is not None:
                peer.stats.lately.move_to(now)
            breaker = peer.breaker
            if breaker is None:
                state = None if upstream.breakers is None else 0  # no request has come yet
            else:
                state = int(breaker.breaker.state)
            found.append(
                BackendReport(
                    upstream=upstream.name,
                    address=peer.text,
                    weight=peer.weight,
                    available=peer.is_available,
                    obstacles=tuple(sorted(peer.obstacles)),
                    in_flight=peer.in_flight,
                    circuit_state=state,
                    circuit_opened=0 if breaker is None else breaker.opened,
                    stats=peer.stats,
                )
            )
    return found
