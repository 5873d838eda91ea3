"""Range requests: which parts of a body a client wants, and how they are sent (RFC 9110, 14)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final, TypeAlias

ByteRange: TypeAlias = tuple[int, int]
"""First byte, and the one behind the last."""

MOST: Final = 16
"""Ranges in one request; with more, or with ones that overlap, the whole is sent (RFC 9110, 14.2)."""
_SPEC: Final = re.compile(rb"([0-9]*)-([0-9]*)")
_DIGITS: Final = 19
"""More than these are beyond the end of anything."""


def requested_ranges(value: bytes, size: int) -> list[ByteRange] | None:
    """Read ``Range`` against a body (RFC 9110, 14.1.2 and 14.2).

    :param value: the field value.
    :param size: bytes of the body.
    :returns: the parts that exist, in the order asked for; an empty list if none does, which means
        416; ``None`` if the field is to be ignored.
    """
    unit, _, specs = value.partition(b"=")
    if unit.strip(b" \t").lower() != b"bytes":
        return None
    asked = [part for text in specs.split(b",") if (part := text.strip(b" \t"))]
    if not asked or len(asked) > MOST:
        return None
    found: list[ByteRange] = []
    for text in asked:
        if (spec := _SPEC.fullmatch(text)) is None or text == b"-":
            return None
        first, last = spec.groups()
        if first and last and _number(last) < _number(first):
            return None
        existing = _within(first, last, size)
        if existing is not None:
            found.append(existing)
    return None if _overlap(found) else found


def _within(first: bytes, last: bytes, size: int) -> ByteRange | None:
    """Cut a range to the body; ``None`` if nothing is left."""
    if not first:
        length = min(_number(last), size)
        return (size - length, size) if length else None
    start = _number(first)
    stop = min(_number(last) + 1, size) if last else size
    return (start, stop) if start < size else None


def _number(digits: bytes) -> int:
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def _overlap(parts: list[ByteRange]) -> bool:
    """Whether a byte is asked for twice."""
    ordered = sorted(parts)
    return any(before[1] > after[0] for before, after in pairwise(ordered))


def content_range(part: ByteRange, size: int) -> bytes:
    """Return the value of ``Content-Range`` (RFC 9110, 14.4)."""
    return b"bytes %d-%d/%d" % (part[0], part[1] - 1, size)


def range_heads(
    parts: list[ByteRange], size: int, content_type: bytes | None, boundary: bytes
) -> list[bytes]:
    """Return what stands before each part of ``multipart/byteranges``, and the end (RFC 9110, 14.6).

    :param content_type: of the whole.
    :param boundary: random, at most 70 characters that need no quotes.
    """
    kind = b"" if content_type is None else b"Content-Type: %b\r\n" % content_type
    return [
        b"%b--%b\r\n%bContent-Range: %b\r\n\r\n"
        % (b"\r\n" if number else b"", boundary, kind, content_range(part, size))
        for number, part in enumerate(parts)
    ] + [b"\r\n--%b--\r\n" % boundary]
