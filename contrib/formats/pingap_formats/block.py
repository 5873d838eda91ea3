"""A block of HCL, or a node of KDL: what both formats have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

KeyPath = tuple[str | int, ...]

SECTIONS: Final = {
    "server": "servers",
    "location": "locations",
    "upstream": "upstreams",
    "plugin": "plugins",
    "certificate": "certificates",
    "storage": "storages",
}
"""Kind of a block in the singular -> table of the configuration."""
NESTED: Final = {
    "servers": ("locations", "plugins", "certificates"),
    "locations": ("upstreams", "plugins"),
}
"""Section -> the sections whose blocks its blocks may contain."""
_NAMES: Final = {**SECTIONS, **{plural: plural for plural in SECTIONS.values()}, "basic": "basic"}


def section_of(kind: str) -> str | None:
    """Return the table of a kind of block, in the singular or the plural; None if there is none."""
    return _NAMES.get(kind)


@dataclass
class Block:
    """A block.

    :param kind: as it is written.
    :param names: its labels.
    :param line: where it begins, counted from 1.
    :param values: key -> value.
    :param lines: path of a key or element inside the block -> line.
    """

    kind: str
    names: list[str]
    line: int
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
