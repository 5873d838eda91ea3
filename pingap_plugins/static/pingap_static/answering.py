"""Which part of a file is the answer: conditions and ranges (RFC 9110, 13 and 14). Nothing here does IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pingap import (
    ByteRange,
    Headers,
    listed_entity_tags,
    parse_http_date,
    requested_ranges,
    strong_match,
    weak_match,
)
from pingap_static.files import Representation

CONDITIONS: Final = frozenset(
    (b"if-match", b"if-unmodified-since", b"if-none-match", b"if-modified-since", b"range")
)
"""The fields that make another answer than the whole file possible."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer.

    :param status: 200, 206, 304, 412 or 416.
    :param parts: what is sent for 206.
    """

    status: int
    parts: Sequence[ByteRange] = ()


WHOLE: Final = Verdict(200)
_UNCHANGED: Final = Verdict(304)
_FAILED: Final = Verdict(412)
_NO_SUCH_PART: Final = Verdict(416)


def verdict(method: str, headers: Headers, file: Representation, now: float) -> Verdict:
    """Decide about a GET or HEAD request, in the order of RFC 9110, 13.2.2.

    :param headers: of the request.
    :param now: seconds since the epoch.
    """
    if not _precondition_holds(headers, file, now):
        return _FAILED
    if _client_has_it(headers, file, now):
        return _UNCHANGED
    value = headers.find(b"range")
    # Ranges are defined for GET alone (14.2).
    if value is None or method != "GET" or not _range_holds(headers, file, now):
        return WHOLE
    parts = requested_ranges(value, file.size)
    if parts is None:
        return WHOLE
    return Verdict(206, parts) if parts else _NO_SUCH_PART


def _precondition_holds(headers: Headers, file: Representation, now: float) -> bool:
    if (tags := headers.find(b"if-match")) is not None:
        return tags == b"*" or any(strong_match(tag, file.etag) for tag in listed_entity_tags(tags))
    limit = _date(headers, b"if-unmodified-since", now)
    return limit is None or file.modified is None or file.modified <= limit


def _client_has_it(headers: Headers, file: Representation, now: float) -> bool:
    if (tags := headers.find(b"if-none-match")) is not None:
        return tags == b"*" or any(weak_match(tag, file.etag) for tag in listed_entity_tags(tags))
    limit = _date(headers, b"if-modified-since", now)
    return limit is not None and file.modified is not None and file.modified <= limit


def _range_holds(headers: Headers, file: Representation, now: float) -> bool:
    condition = headers.find(b"if-range")
    if condition is None:
        return True
    if condition.endswith(b'"'):
        return strong_match(condition, file.etag)
    seen = parse_http_date(condition, now)
    # A date is strong only if the file cannot have changed twice within that second (8.8.2.2).
    return seen is not None and seen == file.modified and now - seen >= 1.0


def _date(headers: Headers, key: bytes, now: float) -> float | None:
    value = headers.find(key)
    return None if value is None else parse_http_date(value, now)
