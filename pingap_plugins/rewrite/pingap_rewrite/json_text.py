"""JSON as text, with numbers that stay as they were written. Nothing here does IO."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from pingap_rewrite.json_paths import Expand, JSONRule

_MARK: Final = f"number {secrets.token_hex(16)} "
_MARKED: Final = re.compile(f'"{_MARK}([^"]*)"')
_MOST_DIGITS: Final = 18
_ELEMENTS: Final = 100
"""Elements of an array that are written at once."""
_AS_IS: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII: Final = json.JSONEncoder(separators=(",", ":"))


class JSONError(Exception):
    """A body is not JSON, or nested too deeply."""


def transform(body: bytes, rules: Sequence[JSONRule], expand: Expand) -> bytes:
    """Apply rules to a document.

    :param expand: returns the text of a variable.
    :returns: the same bytes if no rule had anything to do.
    :raises JSONError: it is invalid (RFC 8259), or nested too deeply.
    """
    repeats = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        found = dict(pairs)
        repeats = repeats or len(found) != len(pairs)
        return found

    try:
        root = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=members,
            parse_float=_mark,
            parse_int=_integer,
            parse_constant=_refuse,
        )
        changed = [rule.apply(root, expand) for rule in rules]
        # A repeated name must not hide a member from the rules that the receiver then reads.
        return _write(root) if any(changed) or repeats else body
    except (ValueError, RecursionError) as error:
        raise JSONError(str(error)) from None


def _write(root: object) -> bytes:
    try:
        return _encode(root, _AS_IS)
    except UnicodeEncodeError:  # an escape of half a surrogate pair
        return _encode(root, _ASCII)


def _encode(root: object, encoder: json.JSONEncoder) -> bytes:
    return _MARKED.sub(r"\1", "".join(_pieces(root, encoder.encode))).encode()


def _pieces(value: object, encode: Callable[[object], str]) -> Iterator[str]:
    """Yield the text of a value in pieces: other threads wait while one of them is made."""
    if isinstance(value, dict) and value:
        mark = "{"
        for name, member in value.items():
            yield f"{mark}{encode(name)}:"
            yield from _pieces(member, encode)
            mark = ","
        yield "}"
    elif isinstance(value, list) and len(value) > _ELEMENTS:
        mark = "["
        for at in range(0, len(value), _ELEMENTS):
            yield mark + encode(value[at : at + _ELEMENTS])[1:-1]
            mark = ","
        yield "]"
    else:
        yield encode(value)


def _mark(text: str) -> str:
    """Mark a number as text, which keeps its digits and its exponent."""
    return _MARK + text


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _MOST_DIGITS and text != "-0" else _mark(text)


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is not JSON")
