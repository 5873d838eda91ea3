"""What is known of the health of backends, as series of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from pingap.health.service import HealthChecks


def health_metrics(server: str, health: HealthChecks) -> Iterator[Metric]:
    """Yield the series. Checks are counted by the worker that makes them, so sums are right.

    :param server: value of the label ``server``.
    """
    # Not counter families: those would add an ending to the names.
    from prometheus_client.core import GaugeMetricFamily, Metric

    names = ["server", "upstream", "backend"]
    healthy = GaugeMetricFamily(
        "pingap_backend_healthy", "1 if checks find a backend healthy, else 0", labels=names
    )
    for upstream, watch in health.watches.items():
        for text, standing in watch.standings.items():
            healthy.add_metric([server, upstream.name, text], standing.healthy)
    flips = Metric("pingap_backend_flips", "How often checks found a change", "unknown")
    for (name, text, state), count in health.flips.items():
        labels = {"server": server, "upstream": name, "backend": text, "state": state}
        flips.add_sample(flips.name, labels, count)
    ejections = Metric(
        "pingap_backend_ejections", "How often failing requests led to it", "unknown"
    )
    for upstream in health.upstreams:
        if upstream.ejection is not None:
            for peer, count in upstream.ejection.counts.items():
                labels = {"server": server, "upstream": upstream.name, "backend": peer.text}
                ejections.add_sample(ejections.name, labels, count)
    yield from (healthy, flips, ejections)
