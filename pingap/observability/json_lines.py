"""JSON lines: request values are encoded so that every line is valid, for any input from clients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*").fullmatch
_LITERAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|true|false|null").fullmatch
_QUOTE: Final = re.compile(r'\\.|"', re.DOTALL)


def json_text(text: str) -> str:
    r"""Return a text as it is written between the quotation marks of a JSON string.

    Fields are read as Latin-1. Valid UTF-8 is decoded to the characters it means; any other byte is
    written as the text ``\xHH``.
    """
    if _PLAIN(text):
        return text
    with suppress(UnicodeEncodeError):  # it has already been decoded
        text = text.encode("latin-1").decode("utf-8", "backslashreplace")
    return json.dumps(text)[1:-1]


def json_value(value: object) -> object:
    """Return a value as it is written without quotation marks: a number, null, or a string.

    :param value: a number, or a text from ``json_text``; ``-`` and an empty text mean that there is none.
    """
    if not isinstance(value, str):
        return value
    if value in ("", "-"):
        return "null"
    return value if _LITERAL(value) else f'"{value}"'


def inside_strings(parts: list[str]) -> Iterator[bool]:
    """Yield for each gap between the parts of a line whether it is inside a JSON string."""
    inside = False
    for part in parts[:-1]:
        inside ^= sum(match[0] == '"' for match in _QUOTE.finditer(part)) % 2 == 1
        yield inside


def is_json(parts: list[str]) -> bool:
    """Return whether a line is a JSON object once the gaps between its parts are filled.

    :param parts: of a format, without its tags.
    """
    gaps = ["x" if inside else "0" for inside in inside_strings(parts)]
    line = "".join(part + gap for part, gap in zip(parts, [*gaps, ""], strict=True))
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
