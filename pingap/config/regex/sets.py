"""Character sets: as text for the engines, and as ranges where no engine has a notation for them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Final, TypeAlias

import re2

from pingap.config.regex.syntax import Class, Item, Named, Operation, Range

Ranges: TypeAlias = "list[Range]"
"""Ascending, without overlaps."""

POSIX: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_ALPHABETIC_SYMBOLS: Final = (
    r"\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}"
)
# In RE2, \d, \w and \s match ASCII only; in Rust and Python they match Unicode.
_PERL: Final = {
    "d": r"\p{Nd}",
    "w": r"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}" + _ALPHABETIC_SYMBOLS,
    "s": r"\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}",
}
_CATEGORIES: Final = {
    "letter": "L", "uppercase_letter": "Lu", "lowercase_letter": "Ll", "titlecase_letter": "Lt",
    "modifier_letter": "Lm", "other_letter": "Lo", "mark": "M", "nonspacing_mark": "Mn",
    "spacing_mark": "Mc", "enclosing_mark": "Me", "number": "N", "decimal_number": "Nd",
    "letter_number": "Nl", "other_number": "No", "punctuation": "P", "connector_punctuation": "Pc",
    "dash_punctuation": "Pd", "open_punctuation": "Ps", "close_punctuation": "Pe",
    "initial_punctuation": "Pi", "final_punctuation": "Pf", "other_punctuation": "Po",
    "symbol": "S", "math_symbol": "Sm", "currency_symbol": "Sc", "modifier_symbol": "Sk",
    "other_symbol": "So", "separator": "Z", "space_separator": "Zs", "line_separator": "Zl",
    "paragraph_separator": "Zp", "control": "Cc", "format": "Cf", "private_use": "Co",
}  # fmt: skip
_PROPERTIES: Final = ("", "gc", "generalcategory", "sc", "script")
_LAST: Final = 0x10FFFF
_SURROGATES: Final = (0xD800, 0xDFFF)


class UnwritableError(Exception):
    """The engine does not support a part of the expression; the message says which."""


def options() -> re2.Options:
    """Return the options for RE2: errors are raised, not printed."""
    chosen = re2.Options()
    chosen.log_errors = False
    return chosen


def class_text(one: Class) -> str:
    """Return a set in RE2's syntax."""
    if is_plain(one):
        if len(one.items) == 1 and not one.negated and isinstance(one.items[0], tuple):
            first, last = one.items[0]
            if first == last:
                return _character(first)
        return f"[{'^' if one.negated else ''}{_items_text(one.items)}]"
    ranges = ranges_of(one)
    return f"[{_items_text(ranges)}]" if ranges else r"[^\x{0}-\x{10ffff}]"


def named_text(named: Named) -> str:
    """Return a named class in RE2's syntax, for use inside brackets."""
    if named.kind == "posix":
        return f"[:{'^' if named.negated else ''}{named.name}:]"
    if named.kind == "unicode":
        return _unicode_text(named)
    if not named.negated:
        return _PERL[named.name]
    return r"\P{Nd}" if named.name == "d" else _items_text(ranges_of(named))


def is_plain(one: Class) -> bool:
    """Return whether a set consists of ranges and named classes, without nested sets."""
    return all(isinstance(item, Named) or _is_range(item) for item in one.items)


def _is_range(item: Item) -> bool:
    return isinstance(item, tuple)


def _items_text(items: Iterable[Item]) -> str:
    return "".join(
        named_text(item) if isinstance(item, Named) else _range_text(*item)
        for item in items
        if isinstance(item, Named | tuple)
    )


def _range_text(first: int, last: int) -> str:
    return _character(first) if first == last else f"{_character(first)}-{_character(last)}"


def _character(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and (char.isalnum() or char in "/_") else rf"\x{{{code:x}}}"


def _unicode_text(named: Named) -> str:
    key, _, value = named.name.rpartition("=")
    name = value.strip().lower().replace(" ", "_").replace("-", "_")
    letter = "P" if named.negated else "p"
    if key.strip().lower().replace("_", "") not in _PROPERTIES:
        raise UnwritableError(rf"\p{{{named.name}}} is not supported")
    if name == "any":
        if named.negated:
            raise UnwritableError(r"\P{any} matches nothing")
        return r"\x{0}-\x{10ffff}"
    if name == "ascii":
        return f"[:{'^' if named.negated else ''}ascii:]"
    if len(name) > 2:
        name = _CATEGORIES.get(name) or "_".join(part.capitalize() for part in name.split("_"))
    else:
        name = name.capitalize()
    return rf"\{letter}{{{name}}}"


def ranges_of(item: Item, *, ignores_case: bool = False) -> Ranges:
    """Return the characters of an item.

    Where case is ignored, a set is extended before it is negated or combined, as in Rust.

    :raises re2.error: RE2 has no such class.
    """
    if isinstance(item, Named):
        plain = named_text(Named(item.kind, item.name))
        found = list(_members(plain, ignores_case=ignores_case))
        return _complement(found) if item.negated else found
    if isinstance(item, Class):
        ignores_case = item.ignores_case
        union = _merged(
            pair for below in item.items for pair in ranges_of(below, ignores_case=ignores_case)
        )
        return _complement(union) if item.negated else union
    if isinstance(item, Operation):
        return _operate(item)
    return list(_members(_range_text(*item), ignores_case=True)) if ignores_case else [item]


def _operate(operation: Operation) -> Ranges:
    left, right = ranges_of(operation.left), ranges_of(operation.right)
    if operation.operator == "&&":
        return _intersection(left, right)
    first = _intersection(left, _complement(right))
    if operation.operator == "--":
        return first
    return _merged([*first, *_intersection(right, _complement(left))])


@cache
def _every_character() -> str:
    low, high = _SURROGATES
    return "".join(map(chr, (*range(low), *range(high + 1, _LAST + 1))))


@lru_cache(maxsize=256)
def _members(text: str, *, ignores_case: bool = False) -> tuple[Range, ...]:
    """Return the ranges of characters that RE2 matches with a set."""
    low, high = _SURROGATES

    def code(place: int) -> int:
        return place if place < low else place + high + 1 - low

    flags = "(?i)" if ignores_case else ""
    runs = re2.compile(f"{flags}[{text}]+", options()).finditer(_every_character())
    return tuple((code(run.start()), code(run.end() - 1)) for run in runs)


def _merged(pairs: Iterable[Range]) -> Ranges:
    merged: Ranges = []
    for first, last in sorted(pairs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def _complement(ranges: Ranges) -> Ranges:
    found, start = [], 0
    for first, last in ranges:
        if start < first:
            found.append((start, first - 1))
        start = last + 1
    if start <= _LAST:
        found.append((start, _LAST))
    return found


def _intersection(left: Ranges, right: Ranges) -> Ranges:
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        first, last = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if first <= last:
            found.append((first, last))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return found
