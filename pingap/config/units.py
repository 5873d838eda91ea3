"""Durations and byte sizes as they are written in TOML.

``Duration`` and ``ByteSize`` are the types of such keys in pydantic models, including plugin settings;
``parse_duration`` and ``parse_size`` do the same for text from elsewhere (a URL parameter, a command
line). Grammar: config.md, section 1. Nothing is rounded.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from pingap.config.problem import kind, quoted, shortened

EXPECTED_DURATION = 'a duration such as "30s"'
EXPECTED_SIZE = 'a size such as "16MiB" or a number of bytes'

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_DURATION_WORDS = {
    "ns nsec nanos": 1e-9,
    "us usec µs": 1e-6,
    "ms msec millis": 1e-3,
    "s sec secs second seconds": 1.0,
    "m min mins minute minutes": _MINUTE,
    "h hr hrs hour hours": _HOUR,
    "d day days": _DAY,
    "w wk wks week weeks": 7 * _DAY,
    "M month months": 30.44 * _DAY,
    "y yr yrs year years": 365.25 * _DAY,
}
_SECONDS = {word: length for words, length in _DURATION_WORDS.items() for word in words.split()}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION_PART = re.compile(rf"\s*({_NUMBER})\s*([A-Za-zµ]*)\s*")

_PREFIXES = "kmgtpe"
_BYTES = {"": 1, "b": 1}
for _power, _prefix in enumerate(_PREFIXES, start=1):
    _BYTES |= dict.fromkeys((_prefix, f"{_prefix}b"), 1000**_power)
    _BYTES |= dict.fromkeys((f"{_prefix}i", f"{_prefix}ib"), 1024**_power)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)")
_LIMIT = 2**64  # both are unsigned 64-bit numbers in pingap 0.13.9; a larger one is a typing error


def parse_duration(text: str) -> float:
    """Read a duration such as ``30s``, ``1h 30m`` or ``4.2s``.

    Units are case-sensitive (``m`` minute, ``M`` month); a bare ``0`` needs none.

    :returns: seconds.
    :raises ValueError: with a message for the operator, for anything else.
    """
    if text.strip() == "0":
        return 0.0
    total, end = 0.0, 0
    while match := _DURATION_PART.match(text, end):
        number, unit = match.groups()
        if not unit:
            hint = f": write {quoted(number + 's')}" if match[0] == text else ": a unit is missing"
            raise _not_a(EXPECTED_DURATION, text, hint)
        if unit not in _SECONDS:
            raise _not_a(EXPECTED_DURATION, text, f": unknown unit {shortened(unit)}")
        total += float(number) * _SECONDS[unit]
        end = match.end()
    if end == 0 or end < len(text):
        raise _not_a(EXPECTED_DURATION, text)
    if total >= _LIMIT:
        raise _not_a(EXPECTED_DURATION, text, ": too long")
    return total


def parse_size(text: str | int) -> int:
    """Read a size such as ``16MiB``, ``1.5 kb`` or ``4096``.

    Unit letters may have any case; ``k``, ``kb`` count in 1000, ``ki``, ``kib`` in 1024, up to ``e``.

    :param text: the size, or a number of bytes.
    :returns: bytes; a fraction of a byte is dropped.
    :raises ValueError: with a message for the operator, for anything else.
    """
    if isinstance(text, int):
        if text < 0:
            raise ValueError(f"found {text}, expected {EXPECTED_SIZE}: it cannot be negative")
        return text
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise _not_a(EXPECTED_SIZE, text)
    number, unit = match[1], match[2].lower()
    if unit not in _BYTES:
        raise _not_a(EXPECTED_SIZE, text, f": unknown unit {shortened(match[2])}")
    size = int(Decimal(number) * _BYTES[unit])
    if size >= _LIMIT:
        raise _not_a(EXPECTED_SIZE, text, ": too large")
    return size


def _not_a(expected: str, text: str, hint: str = "") -> ValueError:
    return ValueError(f"found {shortened(text)}, expected {expected}{hint}")


def format_duration(seconds: float) -> str:
    """Return a duration in the syntax of ``parse_duration``: ``1m 15s``, ``500ms``, ``0s``."""
    nanos = round(seconds * 1e9)
    parts = []
    for unit, length in _WRITTEN_UNITS:
        count, nanos = divmod(nanos, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


_WRITTEN_UNITS = (
    ("d", 86400 * 10**9),
    ("h", 3600 * 10**9),
    ("m", 60 * 10**9),
    ("s", 10**9),
    ("ms", 10**6),
    ("us", 10**3),
    ("ns", 1),
)


def format_size(size: int) -> str:
    """Return a size in the syntax of ``parse_size``, in the largest unit that needs no fraction."""
    for base, suffix in ((1024, "iB"), (1000, "B")):
        for power in range(len(_PREFIXES), 0, -1):
            count, rest = divmod(size, base**power)
            if count and not rest:
                return f"{count}{_PREFIXES[power - 1].upper()}{suffix}"
    return f"{size}B"


def _read_duration(value: object) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    hint = ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        hint = f": write {quoted(f'{value}s')}"
    raise wrong_type(value, EXPECTED_DURATION + hint)


def _read_size(value: object) -> int:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return parse_size(value)
    raise wrong_type(value, EXPECTED_SIZE)


def wrong_type(value: object, expected: str) -> PydanticCustomError:
    """Return the error for a value whose TOML type is not text.

    :param expected: the valid values: ``a duration such as "30s"``.
    """
    # "expected" is one of the error types that schema_errors knows how to word.
    context = {"expected": expected, "kind": kind(value)}
    return PydanticCustomError("expected", "expected {expected}, not {kind}", context)


_UNIT_PATTERN = "|".join(_SECONDS)
_DURATION_SCHEMA = {
    "type": "string",
    "format": "pingap-duration",
    "title": "Duration",
    "description": "A duration: numbers with units.",
    "pattern": rf"^\s*(0|({_NUMBER}\s*({_UNIT_PATTERN})\s*)+)\s*$",
    "examples": ["30s", "1m 30s", "500ms"],
}
_SIZE_SCHEMA = {
    "format": "pingap-size",
    "title": "Byte size",
    "description": "A size: a number with a unit, or a number of bytes.",
    "anyOf": [
        {
            "type": "string",
            "pattern": r"^\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*([kKmMgGtTpPeE][iI]?)?[bB]?\s*$",
        },
        {"type": "integer", "minimum": 0},
    ],
    "examples": ["16MiB", "8kb", 4096],
}

Duration = Annotated[
    float,
    BeforeValidator(_read_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json-unless-none"),
    WithJsonSchema(_DURATION_SCHEMA),
]
"""The type of a key that holds a duration: text in TOML, seconds (``float``) in Python.

``timeout: Duration = 30.0`` accepts ``timeout = "1m 30s"``. A TOML number is rejected, because it could
mean seconds or milliseconds.
"""

ByteSize = Annotated[
    int,
    BeforeValidator(_read_size),
    PlainSerializer(format_size, return_type=str, when_used="json-unless-none"),
    WithJsonSchema(_SIZE_SCHEMA),
]
"""The type of a key that holds a byte size: text or a number of bytes in TOML, bytes in Python.

``limit: ByteSize = 1024`` accepts ``limit = "16MiB"`` and ``limit = 4096``.
"""
