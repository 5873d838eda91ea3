"""JSON as text, with numbers that stay as they were written. Nothing here does IO."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from typing import Any, Final

from pingap_rewrite.json_paths import Expand, JSONRule

_MARK: Final = f"number {secrets.token_hex(16)} "
_MARKED: Final = re.compile(f'"{_MARK}([^"]*)"')
_MOST_DIGITS: Final = 18


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
        return _encode(root, ensure_ascii=False)
    except UnicodeEncodeError:  # an escape of half a surrogate pair
        return _encode(root, ensure_ascii=True)


def _encode(root: object, *, ensure_ascii: bool) -> bytes:
    text = json.dumps(root, ensure_ascii=ensure_ascii, separators=(",", ":"))
    return _MARKED.sub(r"\1", text).encode()


def _mark(text: str) -> str:
    """Mark a number as text, which keeps its digits and its exponent."""
    return _MARK + text


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _MOST_DIGITS and text != "-0" else _mark(text)


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is not JSON")
