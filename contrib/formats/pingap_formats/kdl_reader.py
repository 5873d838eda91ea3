"""Reads KDL, version 1 or 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import ckdl  # type: ignore[import-untyped]

from pingap import FormatError
from pingap_formats.block import NESTED, Block, KeyPath, section_of
from pingap_formats.kdl_lines import Nodes

MOST_NESTED: Final = 64
ARRAY: Final = "array"
"""The annotation of a node that is an array, however many values it has: ``(array)ip_list "10.0.0.1"``."""
TABLE: Final = "table"
"""The annotation of a node that is a table, even an empty one."""
VALUE: Final = "value"
"""The annotation of a node that is one value, although its name is one of ``ALWAYS_LISTS``."""
ELEMENT: Final = "-"
"""Name of nodes that are elements of an array."""

ALWAYS_LISTS: Final = frozenset(
    {
        "addrs",
        "includes",
        "locations",
        "match_cookies",
        "match_headers",
        "match_ips",
        "match_methods",
        "match_query",
        "modules",
        "plugins",
        "proxy_add_headers",
        "proxy_set_headers",
        "transparent_allow",
        "trusted_proxies",
        "webhook_notifications",
    }
)
"""Keys that are arrays even with one value. Of others, it must be written: ``(array)``."""

_REFERENCES: Final = {"locations": "locations", "plugins": "plugins", "upstreams": "upstream"}
_CUT_OFF: Final = "Unexpected end of data"


def read_kdl(text: str) -> list[Block]:
    """Return the nodes of a text.

    :raises FormatError: it is not valid.
    """
    nodes = Nodes(text)
    try:
        document = ckdl.parse(text)
    except (ckdl.ParseError, UnicodeEncodeError) as error:
        message, line = _place(text, nodes, str(error))
        raise FormatError(f"is not valid KDL: {message}", line) from None
    lines = iter([nodes.line(start) for start in nodes.starts])
    return [_Reader(lines).block(node) for node in document]


def _place(text: str, nodes: Nodes, message: str) -> tuple[str, int]:
    """Return the message and the line of an error: that of the node where the parser stops."""
    if message.startswith(_CUT_OFF) and nodes.open:
        return "a block has no end", nodes.line(nodes.open[-1])
    low, high = 0, len(nodes.starts) - 1
    while low < high:
        middle = (low + high) // 2
        if _fails(text[: nodes.starts[middle + 1]]):
            high = middle
        else:
            low = middle + 1
    line = nodes.line(nodes.starts[low]) if nodes.starts else 1
    return f"{message[:1].lower()}{message[1:]} in the node that begins here", line


def _fails(text: str) -> bool:
    """Return whether a text is wrong, apart from missing its end."""
    try:
        ckdl.parse(text)
    except (ckdl.ParseError, UnicodeEncodeError) as error:
        return not str(error).startswith(_CUT_OFF)
    return False


class _Reader:
    """Converts nodes.

    :param lines: of all nodes, in the order of the text.
    """

    def __init__(self, lines: Iterator[int]) -> None:
        self._lines = lines

    def block(self, node: ckdl.Node) -> Block:
        """Return a node that is a table of the configuration."""
        block = Block(node.name, [str(_plain(one)) for one in node.args], next(self._lines, 1))
        section = section_of(node.name) or ""
        for key, value in node.properties.items():
            self._set(block, key, _plain(value), block.line)
        for child in node.children:
            inside = section_of(child.name)
            nested = inside in NESTED.get(section, ())
            if nested and inside in _REFERENCES and not (child.children or child.properties):
                self._refer(block, _REFERENCES[str(inside)], child)
            elif nested or (inside and child.children and not child.type_annotation):
                block.blocks.append(self.block(child))
            else:
                line, lines = next(self._lines, 1), block.lines
                value = self._value(child, (child.name,), lines, 0)
                self._set(block, child.name, value, line)
        return block

    def _refer(self, block: Block, key: str, child: ckdl.Node) -> None:
        """Take names of other blocks: ``plugins "a" "b"``."""
        line = next(self._lines, 1)
        names: Any = [_plain(one) for one in child.args]
        if key == "upstream":
            names = names[0] if len(names) == 1 else names
        self._set(block, key, names, line)

    def _set(self, block: Block, key: str, value: Any, line: int) -> None:
        old = block.values.get(key)
        if isinstance(old, list) and isinstance(value, list):  # repeated nodes continue an array
            old.extend(value)
            return
        if old is not None:
            first = block.lines[(key,)]
            raise FormatError(f"is not valid KDL: {key} is set here and in line {first}", line)
        block.values[key] = value
        block.lines[(key,)] = line

    def _value(self, node: ckdl.Node, path: KeyPath, lines: dict[KeyPath, int], depth: int) -> Any:
        """Return what a node inside of a table sets."""
        if depth > MOST_NESTED:
            raise FormatError("is not valid KDL: nested too deeply", lines[path[:1]])
        values = [_plain(one) for one in node.args]
        listed = node.type_annotation == ARRAY or (
            node.name in ALWAYS_LISTS and node.type_annotation != VALUE
        )
        if node.properties or node.type_annotation == TABLE or (node.children and not listed):
            return self._table(node, path, lines, depth)
        for child in node.children:
            line = next(self._lines, 1)
            lines[(*path, len(values))] = line
            if child.name != ELEMENT:
                text = f"found {child.name} in an array, expected {ELEMENT}"
                raise FormatError(f"is not valid KDL: {text}", line)
            values.append(self._value(child, (*path, len(values)), lines, depth + 1))
        if listed or len(values) > 1:
            return values
        return values[0] if values else ""

    def _table(
        self, node: ckdl.Node, path: KeyPath, lines: dict[KeyPath, int], depth: int
    ) -> dict[str, Any]:
        table = {key: _plain(value) for key, value in node.properties.items()}
        for child in node.children:
            line = next(self._lines, 1)
            if node.args or child.name in table:
                text = (
                    f"{child.name} is set twice" if child.name in table else "a table has no values"
                )
                raise FormatError(f"is not valid KDL: {text}", line)
            lines[(*path, child.name)] = line
            table[child.name] = self._value(child, (*path, child.name), lines, depth + 1)
        return table


def _plain(value: Any) -> Any:
    """Return a value without its annotation; null is an empty text."""
    if isinstance(value, ckdl.Value):
        value = value.value
    return "" if value is None else value
