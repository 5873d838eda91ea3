"""Writes tables of the configuration as HCL."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pingap_formats.block import SECTIONS

_NAME: Final = re.compile(r"[^\W\d][\w-]*")
_SPECIAL: Final = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]')
_TEMPLATE: Final = re.compile(r"([$%])(?=\{)")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MARK: Final = "EOT"


def write_hcl(tables: Mapping[str, Any]) -> str:
    """Return tables as HCL, one block for each.

    :raises ValueError: HCL has no form for a value or a key; the message has its path.
    """
    blocks = []
    if "basic" in tables:
        blocks.append("basic {\n" + "".join(_attributes(tables["basic"], "basic")) + "}\n")
    for kind, section in SECTIONS.items():
        for name, table in tables.get(section, {}).items():
            attributes = "".join(_attributes(table, f"{section}.{name}"))
            blocks.append(f"{kind} {_quoted(name)} {{\n{attributes}}}\n")
    return "\n".join(blocks)


def _attributes(table: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, value in table.items():
        place = f"{path}.{key}"
        if not _NAME.fullmatch(key):
            raise ValueError(f"{place}: HCL has no form for this key")
        yield f"  {key} = {_heredoc(value) or _value(value, place)}\n"


def _value(value: Any, path: str) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(one, path) for one in value)}]"
    if isinstance(value, Mapping):
        members = [f"{_quoted(key)} = {_value(one, f'{path}.{key}')}" for key, one in value.items()]
        return f"{{ {', '.join(members)} }}" if members else "{}"
    raise ValueError(f"{path}: HCL has no form for {value} ({type(value).__name__})")


def _quoted(text: str) -> str:
    escaped = _SPECIAL.sub(lambda found: _escape(found[0]), text)
    return '"' + _TEMPLATE.sub(r"\1\1", escaped) + '"'


def _escape(character: str) -> str:
    return _ESCAPES.get(character) or f"\\u{ord(character):04x}"


def _heredoc(value: Any) -> str | None:
    """Return a text of several lines as such; None if it has another form."""
    if not isinstance(value, str) or not value.endswith("\n") or value.count("\n") < 2:
        return None
    if _SPECIAL.search(re.sub(r'[\n\t"\\]', "", value)) or _MARK in value:
        return None
    return f"<<{_MARK}\n" + _TEMPLATE.sub(r"\1\1", value) + _MARK
