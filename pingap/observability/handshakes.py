"""The counts of the TLS handshakes of a server, and the series made from them.

Counted once per connection: a request costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pingap.observability.histogram import Histogram, plain_counter

if TYPE_CHECKING:
    from prometheus_client.core import Metric

HANDSHAKE_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1)


class HandshakeStats:
    """The handshakes of one server."""

    __slots__ = ("failed", "resumed", "seconds")

    def __init__(self) -> None:
        self.seconds = Histogram(HANDSHAKE_BUCKETS)
        """Durations of completed handshakes."""
        self.resumed = 0
        """Completed handshakes that resumed a session."""
        self.failed = 0

    def complete(self, seconds: float, *, resumed: bool) -> None:
        """Count a completed handshake."""
        self.seconds.observe(seconds)
        self.resumed += resumed

    def figures(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {
            "seconds": self.seconds.figures(),
            "resumed": self.resumed,
            "failed": self.failed,
        }

    def add_figures(self, figures: Mapping[str, Any]) -> None:
        """Add the ``figures`` of the same server in another worker."""
        self.seconds.add_figures(figures["seconds"])
        self.resumed += figures["resumed"]
        self.failed += figures["failed"]


class HandshakeMetrics:
    """Makes the series of one server.

    :param stats: the counts of this worker.
    """

    def __init__(self, stats: HandshakeStats) -> None:
        self._stats = stats

    def plus(self, others: Mapping[str, Any] | None) -> HandshakeMetrics:
        """Return the metrics including the counts of other workers for this server."""
        total = HandshakeStats()
        for figures in (self._stats.figures(), others):
            if figures is not None:
                total.add_figures(figures)
        return HandshakeMetrics(total)

    def collect(self, server: str) -> Iterator[Metric]:
        """Yield the series."""
        from prometheus_client.core import HistogramMetricFamily

        stats = self._stats
        for name, text, count in (
            ("handshakes", "Completed handshakes", sum(stats.seconds.counts)),
            ("handshakes_resumed", "Completed handshakes that resumed a session", stats.resumed),
            ("handshakes_failed", "Failed handshakes", stats.failed),
        ):
            counter = plain_counter(f"pingap_tls_{name}", text)
            counter.add_sample(counter.name, {"server": server}, count)
            yield counter
        times = HistogramMetricFamily("pingap_tls_handshake_time", "Seconds", labels=["server"])
        times.add_metric([server], stats.seconds.cumulative(), stats.seconds.total)
        yield times
