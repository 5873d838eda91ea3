"""The times of requests at each upstream, and the series made from them (observability.md 3.2).

Counted once per request, at its end, if an upstream responded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pingap.observability.histogram import Histogram, plain_counter

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from pingap.http.context import RequestContext

PROCESSING_BUCKETS: Final = (0.01, 0.02, 0.1, 0.5, 1, 5, 10)
RESPONSE_BUCKETS: Final = (0.005, 0.01, 0.05, 0.1, 0.5, 1)
CONNECT_BUCKETS: Final = (0.005, 0.01, 0.05, 0.1, 0.5, 1)
HANDSHAKE_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1)
MOST_WAITING: Final = 500
"""Number of requests of an upstream that are counted in one batch."""

_processing_bucket: Final = partial(bisect_left, PROCESSING_BUCKETS)
_response_bucket: Final = partial(bisect_left, RESPONSE_BUCKETS)


class UpstreamTimes:
    """The requests of one upstream."""

    __slots__ = (
        "_kinds",
        "_waiting",
        "connect",
        "handshake",
        "processing_seconds",
        "response_seconds",
        "reused",
    )

    def __init__(self) -> None:
        self.reused = 0
        """Requests that were sent on a reused connection."""
        self.processing_seconds = 0.0
        self.response_seconds = 0.0
        self.connect = Histogram(CONNECT_BUCKETS)
        self.handshake = Histogram(HANDSHAKE_BUCKETS)
        self._kinds: defaultdict[tuple[int, int], int] = defaultdict(int)
        """Bucket of processing time, bucket of response time -> number of requests."""
        self._waiting: list[tuple[float, float, bool]] = []
        """Processing time, response time, whether the connection was reused (see ``LocationStats``)."""

    def connected(self, tcp: float | None, tls: float | None) -> None:
        """Count a new connection, in seconds; None for steps that were not needed."""
        if tcp is not None:
            self.connect.observe(tcp)
        if tls is not None:
            self.handshake.observe(tls)

    def end(self, ctx: RequestContext) -> None:
        """Count a request to which an upstream has responded."""
        head_at, waiting = ctx.upstream_head_at, self._waiting
        waiting.append(
            (head_at - ctx.upstream_connected_at, ctx.ended_at - head_at, ctx.upstream_reused)
        )
        if len(waiting) == MOST_WAITING:
            self.fold()

    def fold(self) -> None:
        """Sort waiting requests into buckets; must be called in the event loop."""
        if not self._waiting:
            return
        processing, response, reused = zip(*self._waiting, strict=True)
        self._waiting.clear()
        self.processing_seconds += sum(processing)
        self.response_seconds += sum(response)
        self.reused += sum(reused)
        kinds = Counter(
            zip(map(_processing_bucket, processing), map(_response_bucket, response), strict=True)
        )
        for kind, count in kinds.items():
            self._kinds[kind] += count

    @property
    def processing(self) -> Histogram:
        """Seconds from the usable connection to the head of the response."""
        return self._histogram(0, PROCESSING_BUCKETS, self.processing_seconds)

    @property
    def response(self) -> Histogram:
        """Seconds from the head of the response to its end."""
        return self._histogram(1, RESPONSE_BUCKETS, self.response_seconds)

    def _histogram(self, part: int, bounds: tuple[float, ...], total: float) -> Histogram:
        histogram = Histogram(bounds)
        histogram.total = total
        for kind, count in self._kinds.items():
            histogram.counts[kind[part]] += count
        return histogram

    def figures(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        self.fold()
        return {
            "reused": self.reused,
            "connect": self.connect.figures(),
            "handshake": self.handshake.figures(),
            "processing": self.processing.figures(),
            "response": self.response.figures(),
        }


def upstream_time_metrics(server: str, total: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield the series.

    :param total: upstream -> the sum of the ``figures`` of all workers.
    """
    from prometheus_client.core import HistogramMetricFamily

    reuses = plain_counter("pingap_upstream_reuses", "Requests on a reused upstream connection")
    families = {
        name: (HistogramMetricFamily(f"pingap_upstream_{series}", text, labels=_LABELS), bounds)
        for name, (series, text, bounds) in _HISTOGRAMS.items()
    }
    for upstream, figures in total.items():
        reuses.add_sample(reuses.name, {"server": server, "upstream": upstream}, figures["reused"])
        for name, (family, bounds) in families.items():
            histogram = Histogram(bounds)
            histogram.add_figures(figures[name])
            family.add_metric([server, upstream], histogram.cumulative(), histogram.total)
    yield reuses
    for family, _ in families.values():
        yield family


_LABELS: Final = ["server", "upstream"]
_HISTOGRAMS: Final = {
    "connect": ("tcp_connect_time", "Seconds until a TCP connection was made", CONNECT_BUCKETS),
    "handshake": ("tls_handshake_time", "Seconds of TLS handshakes", HANDSHAKE_BUCKETS),
    "processing": ("processing_time", "Seconds to the head of a response", PROCESSING_BUCKETS),
    "response": (
        "response_time",
        "Seconds from the head of a response to its end",
        RESPONSE_BUCKETS,
    ),
}
"""Name in figures -> name of the series, its description and its buckets."""
