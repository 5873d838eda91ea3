"""Sums of the counts of several workers.

Figures are nested mappings with numbers, or lists of numbers, at the leaves. So they can be sent as
JSON, added up, and sent in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add
from typing import Any, Final, TypeAlias

Figures: TypeAlias = dict[str, Any]
"""Section -> figures, as in ``SECTIONS``."""
Entry: TypeAlias = tuple[list[str], Any]
"""The keys that lead to a part of the figures, and that part; None: the part no longer exists."""

GAUGES: Final = "gauges"
"""The section for values that are not always added and end with their worker."""
MERGES: Final[Mapping[str, Callable[[float, float], float]]] = {"sum": add, "max": max, "min": min}
"""Merges the numbers of two workers."""

SECTIONS: Final = {
    "locations": 2,  # location -> figures of LocationStats
    "failures": 3,  # plugin instance -> location -> count
    "refused": 3,  # server -> plugin -> connections
    "handshakes": 2,  # server -> figures of HandshakeStats
    "plugins": 3,  # plugin instance -> shape of a metric -> series
    GAUGES: 4,  # a key of ``MERGES`` -> plugin instance -> shape of a metric -> series
    "upstreams": 2,  # see ``upstream_figures``
    "upstream_times": 2,  # upstream -> figures of UpstreamTimes
    "process": 1,  # see ``process_figures``
    "health": 3,  # name of a count -> upstream -> backend
}
"""Section -> number of keys that lead to a part that is sent as a whole."""


def no_figures() -> Figures:
    """Return the figures of a worker that has counted nothing."""
    return {section: {} for section in SECTIONS}


def add_nested(
    total: dict[str, Any],
    part: Mapping[str, Any],
    merge: Callable[[float, float], float] = add,
) -> None:
    """Add numbers at the leaves; lists are added place by place.

    :param merge: replaces addition.
    """
    for key, value in part.items():
        if isinstance(value, dict):
            add_nested(total.setdefault(key, {}), value, merge)
        elif key not in total:
            total[key] = value
        elif isinstance(value, list):
            total[key] = [merge(one, other) for one, other in zip(total[key], value, strict=True)]
        else:
            total[key] = merge(total[key], value)


def add_figures(parts: Iterable[Figures]) -> Figures:
    """Return the sum of the counts of several workers."""
    total = no_figures()
    for part in parts:
        for section, figures in part.items():
            if section != GAUGES:
                add_nested(total[section], figures)
                continue
            for name, gauges in figures.items():
                add_nested(total[section].setdefault(name, {}), gauges, MERGES[name])
    return total


def put(figures: Figures, entries: Iterable[Entry]) -> None:
    """Set parts of the figures."""
    for (*outer, last), value in entries:
        level = figures
        for key in outer:
            level = level.setdefault(key, {})
        if value is None:
            level.pop(last, None)
        else:
            level[last] = value


def entries_of(figures: Figures) -> Iterator[Entry]:
    """Yield all parts of the figures."""
    for section, depth in SECTIONS.items():
        yield from _parts([section], figures[section], depth - 1)


def _parts(path: list[str], level: Any, depth: int) -> Iterator[Entry]:
    if not depth:
        yield path, level
        return
    for key, value in level.items():
        yield from _parts([*path, key], value, depth - 1)
