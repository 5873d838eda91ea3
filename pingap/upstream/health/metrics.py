"""The health of backends as numbers that can be added up over workers, and as series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Counts: TypeAlias = Counter[tuple[str, ...]]


@dataclass(slots=True)
class HealthCounts:
    """Numbers of one worker, or of several. Only the worker that runs health checks has those of checks.

    :param healthy: (upstream, backend) -> 1 or 0.
    :param flips: (upstream, backend, ``up`` or ``down``) -> how often it changed to this state.
    :param ejections: (upstream, backend) -> number of ejections.
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
        """Return the numbers as plain data: name -> upstream -> backend (-> state) -> count."""
        found: dict[str, Any] = {}
        for one in fields(self):
            nested = found[one.name] = {}
            for (*outer, last), count in getattr(self, one.name).items():
                level: dict[str, Any] = nested
                for key in outer:
                    level = level.setdefault(key, {})
                level[last] = count
        return found

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> HealthCounts:
        """Return an object with the numbers of ``figures``."""
        return cls(
            **{one.name: Counter(dict(_rows(figures.get(one.name, {})))) for one in fields(cls)}
        )


def _rows(level: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the counts in nested mappings, each with the keys that lead to it."""
    for key, value in level.items():
        if isinstance(value, Mapping):
            for keys, count in _rows(value):
                yield (key, *keys), count
        else:
            yield (key,), value


def health_metrics(server: str, counts: HealthCounts) -> Iterator[Metric]:
    """Yield the series.

    :param server: value of the label ``server``.
    """
    # Not counter families, because those would add a suffix to the names.
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
