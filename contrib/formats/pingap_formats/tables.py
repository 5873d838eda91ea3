"""Makes the tables of the configuration of blocks: nested ones move to their section, and are referred to.

Unlike in pingap 0.13.9, a block that has no place is an error, and so is a name that is used twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

from pingap import FormatError
from pingap_formats.block import NESTED, SECTIONS, Block, KeyPath, section_of

_REFERENCES: Final = {
    ("servers", "locations"): "locations",
    ("locations", "plugins"): "plugins",
}
"""Section and section of a nested block -> the list that gets its name."""


class Tables:
    """The tables of some blocks.

    :ivar data: section -> name -> table; ``basic`` -> table.
    :ivar lines: path of a key -> line.
    :raises FormatError: the blocks are no configuration.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        self.data: dict[str, Any] = {}
        self.lines: dict[KeyPath, int] = {}
        for block in blocks:
            section = section_of(block.kind)
            if section is None:
                raise FormatError(f"unknown block {block.kind}{_hint(block.kind)}", block.line)
            if section == "basic":
                self._add_basic(block)
            else:
                self._add(section, block)

    def _add_basic(self, block: Block) -> None:
        if block.names:
            raise FormatError("the block basic has no name", block.line)
        self._refuse_twice(("basic",), "basic", block.line)
        if block.blocks:
            self._refuse_nested("basic", block.blocks[0])
        self.data["basic"] = block.values
        self._take_lines(("basic",), block)

    def _add(self, section: str, block: Block) -> str:
        if len(block.names) != 1:
            raise FormatError(f'expected one name, as in {block.kind} "name"', block.line)
        (name,) = block.names
        self._refuse_twice((section, name), f'{block.kind} "{name}"', block.line)
        table = self.data.setdefault(section, {})[name] = block.values
        self.lines.setdefault((section,), block.line)
        self._take_lines((section, name), block)
        for child in block.blocks:
            self._add_nested(section, table, child, (section, name))
        return name

    def _add_nested(self, section: str, table: dict[str, Any], child: Block, path: KeyPath) -> None:
        inside = section_of(child.kind)
        if inside is None or inside not in NESTED.get(section, ()):
            self._refuse_nested(section, child)
            return
        name = self._add(inside, child)
        if key := _REFERENCES.get((section, inside)):
            references = table.setdefault(key, [])
            if isinstance(references, list):  # anything else is an error of its type
                self.lines.setdefault((*path, key), child.line)
                self.lines[(*path, key, len(references))] = child.line
                references.append(name)
        elif (section, inside) == ("locations", "upstreams") and not table.get("upstream"):
            table["upstream"] = name
            self.lines[(*path, "upstream")] = child.line

    def _refuse_nested(self, section: str, child: Block) -> None:
        allowed = [kind for kind, name in SECTIONS.items() if name in NESTED.get(section, ())]
        expected = f"expected {' or '.join(allowed)}" if allowed else "it contains no blocks"
        raise FormatError(
            f"the block {child.kind} cannot be inside of {section}: {expected}", child.line
        )

    def _refuse_twice(self, path: KeyPath, name: str, line: int) -> None:
        if (first := self.lines.get(path)) is not None:
            raise FormatError(f"{name} is defined here and in line {first}", line)

    def _take_lines(self, path: KeyPath, block: Block) -> None:
        self.lines[path] = block.line
        self.lines.update({(*path, *inside): line for inside, line in block.lines.items()})


def _hint(kind: str) -> str:
    near = get_close_matches(kind, [*SECTIONS, "basic"], n=1)
    known = ", ".join([*SECTIONS, "basic"])
    return f"; did you mean {near[0]}?" if near else f" (known: {known})"
