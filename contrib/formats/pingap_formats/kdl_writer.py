"""Writes tables of the configuration as KDL 2; ckdl can write, too, but rounds numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pingap_formats.block import SECTIONS, section_of
from pingap_formats.kdl_reader import ALWAYS_LISTS, ARRAY, ELEMENT, TABLE, VALUE

_INDENT: Final = "    "
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_RESERVED: Final = frozenset({"true", "false", "null", "inf", "nan"})
_ESCAPE: Final = re.compile(r"\\u([0-9a-f]{4})")
_UNSAFE: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def write_kdl(tables: Mapping[str, Any]) -> str:
    """Return tables as KDL, one node for each.

    :raises ValueError: KDL has no form for a value; the message has its path.
    """
    nodes = []
    if "basic" in tables:
        nodes.append(_lines("basic", tables["basic"], "", "basic"))
    for kind, section in SECTIONS.items():
        for name, table in tables.get(section, {}).items():
            nodes.append(_lines(f"{kind} {_quoted(name)}", table, "", f"{section}.{name}"))
    return "\n".join("\n".join(lines) + "\n" for lines in nodes)


def _lines(head: str, table: Mapping[str, Any], indent: str, path: str) -> Iterator[str]:
    """Yield the lines of a node with children."""
    yield f"{indent}{head} {{"
    for key, value in table.items():
        yield from _node(key, value, indent + _INDENT, f"{path}.{key}")
    yield f"{indent}}}"


def _node(name: str, value: Any, indent: str, path: str) -> Iterator[str]:
    bare = name == ELEMENT or (_NAME.fullmatch(name) and name not in _RESERVED)
    written = name if bare else _quoted(name)
    if isinstance(value, list):
        yield from _array(name, written, value, indent, path)
    elif isinstance(value, Mapping):
        special = not value or section_of(name) or name in ALWAYS_LISTS
        yield from _lines(f"({TABLE}){written}" if special else written, value, indent, path)
    else:
        mark = f"({VALUE})" if name in ALWAYS_LISTS else ""
        yield f"{indent}{mark}{written} {_scalar(value, path)}"


def _array(name: str, written: str, values: list[Any], indent: str, path: str) -> Iterator[str]:
    if any(isinstance(one, list | Mapping) for one in values):
        yield f"{indent}({ARRAY}){written} {{"
        for one in values:
            yield from _node(ELEMENT, one, indent + _INDENT, path)
        yield f"{indent}}}"
        return
    mark = f"({ARRAY})" if len(values) < 2 and name not in ALWAYS_LISTS else ""
    yield " ".join([f"{indent}{mark}{written}", *(_scalar(one, path) for one in values)])


def _scalar(value: Any, path: str) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "#true" if value else "#false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    raise ValueError(f"{path}: KDL has no form for {value} ({type(value).__name__})")


def _quoted(text: str) -> str:
    escaped = _ESCAPE.sub(_escape, json.dumps(text, ensure_ascii=False))
    return _UNSAFE.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", escaped)


def _escape(found: re.Match[str]) -> str:
    """Return an escape of JSON in the form of KDL, unless it follows a backslash."""
    backslashes = len(found.string[: found.start()]) - len(
        found.string[: found.start()].rstrip("\\")
    )
    return found[0] if backslashes % 2 else f"\\u{{{found[1]}}}"
