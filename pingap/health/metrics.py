"""What is known of the health of backends, as numbers that workers add up, and as series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Counts: TypeAlias = Counter[tuple[str, ...]]


@dataclass(slots=True)
class HealthCounts:
    """Numbers of one worker, or of several. Only the one that makes the checks has those of checks.

    :param healthy: (upstream, backend) -> 1 or 0.
    :param flips: (upstream, backend, ``up`` or ``down``) -> how often it was found to be so now.
    :param ejections: (upstream, backend) -> how often it was ejected.
    """

    healthy: Counts = field(default_factory=Counter)
    flips: Counts = field(default_factory=Counter)
    ejections: Counts = field(default_factory=Counter)

    def add(self, other: HealthCounts) -> None:
        """Add the numbers of another worker."""
        self.healthy.update(other.healthy)
        self.flips.update(other.flips)
        self.ejections.update(other.ejections)

    def figures(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {
            one.name: [[*key, count] for key, count in getattr(self, one.name).items()]
            for one in fields(self)
        }

    @classmethod
    def of(cls, figures: Mapping[str, Sequence[Sequence[Any]]]) -> HealthCounts:
        """Return what ``figures`` was made of."""
        return cls(
            **{name: Counter({tuple(key): n for *key, n in rows}) for name, rows in figures.items()}
        )


def health_metrics(server: str, counts: HealthCounts) -> Iterator[Metric]:
    """Yield the series.

    :param server: value of the label ``server``.
    """
    # Not counter families: those would add an ending to the names.
    from prometheus_client.core import GaugeMetricFamily, Metric

    names = ["server", "upstream", "backend"]
    healthy = GaugeMetricFamily(
        "pingap_backend_healthy", "1 if checks find a backend healthy, else 0", labels=names
    )
    for key, state in counts.healthy.items():
        healthy.add_metric([server, *key], state)
    flips = Metric("pingap_backend_flips", "How often checks found a change", "unknown")
    for key, count in counts.flips.items():
        flips.add_sample(
            flips.name, dict(zip([*names, "state"], (server, *key), strict=True)), count
        )
    ejections = Metric(
        "pingap_backend_ejections", "How often failing requests led to it", "unknown"
    )
    for key, count in counts.ejections.items():
        ejections.add_sample(ejections.name, dict(zip(names, (server, *key), strict=True)), count)
    yield from (healthy, flips, ejections)
