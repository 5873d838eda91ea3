"""Sums of what several workers have counted.

Figures are nested mappings with numbers, or lists of numbers, at the leaves. So they can be sent as
JSON, added up, and sent in parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

Figures: TypeAlias = dict[str, Any]
"""Section -> figures, as ``SECTIONS`` says."""
Entry: TypeAlias = tuple[list[str], Any]
"""The keys that lead to a part of the figures, and that part."""

SECTIONS: Final = {
    "locations": 2,  # location -> figures of LocationStats
    "failures": 3,  # plugin instance -> location -> count
    "handshakes": 2,  # server -> figures of HandshakeStats
    "plugins": 3,  # metric -> plugin instance -> series
    "upstreams": 2,  # see ``upstream_figures``
    "upstream_times": 2,  # upstream -> figures of UpstreamTimes
    "process": 1,  # see ``process_figures``
    "health": 3,  # name of a count -> upstream -> backend
}
"""Section -> how many keys lead to a part that is sent as a whole."""


def no_figures() -> Figures:
    """Return the figures of a worker that has counted nothing."""
    return {section: {} for section in SECTIONS}


def add_nested(total: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Add numbers at the leaves; lists are added place by place."""
    for key, value in part.items():
        if isinstance(value, dict):
            add_nested(total.setdefault(key, {}), value)
        elif isinstance(value, list):
            present = total.get(key) or [0] * len(value)
            total[key] = [one + other for one, other in zip(present, value, strict=True)]
        else:
            total[key] = total.get(key, 0) + value


def add_figures(parts: Iterable[Figures]) -> Figures:
    """Return the sum of what several workers have counted."""
    total = no_figures()
    for part in parts:
        add_nested(total, part)
    return total


def put(figures: Figures, entries: Iterable[Entry]) -> None:
    """Set parts of the figures."""
    for (*outer, last), value in entries:
        level = figures
        for key in outer:
            level = level.setdefault(key, {})
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
