"""HTTP-date (RFC 9110, 5.6.7)."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, date, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Final

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (
            b"jan",
            b"feb",
            b"mar",
            b"apr",
            b"may",
            b"jun",
            b"jul",
            b"aug",
            b"sep",
            b"oct",
            b"nov",
            b"dec",
        ),
        start=1,
    )
}
_DAY: Final = rb"(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY: Final = rb"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_MONTH: Final = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_TIME: Final = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# The grammar is kept to the letter but for the case of letters, which some origins get wrong.
_FIXED: Final = re.compile(
    _DAY + rb", (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" GMT",
    re.IGNORECASE,
)
_FIXED_SIZE: Final = 29
_OBSOLETE: Final = (
    re.compile(
        _LONG_DAY
        + rb", (?P<day>[0-9]{2})-"
        + _MONTH
        + rb"-(?P<short>[0-9]{2}) "
        + _TIME
        + rb" GMT",
        re.IGNORECASE,
    ),
    re.compile(
        _DAY + rb" " + _MONTH + rb" (?P<day>[0-9]{2}| [0-9]) " + _TIME + rb" (?P<year>[0-9]{4})",
        re.IGNORECASE,
    ),
)


def parse_http_date(value: bytes, now: float) -> float | None:
    """Read an HTTP-date in any of its three forms (RFC 9110, 5.6.7).

    :param value: the field value.
    :param now: seconds since the epoch; a year of two digits is the one nearest to it that is at most
        fifty years ahead.
    :returns: seconds since the epoch, or ``None`` if it is no date.
    """
    if len(value) == _FIXED_SIZE:
        return _fixed_date(value)
    for pattern in _OBSOLETE:
        if (found := pattern.fullmatch(value)) is not None:
            return _seconds(found.groupdict(), now)
    return None


@lru_cache(maxsize=256)  # for ``Date``, which is the same in all responses of a second
def _fixed_date(value: bytes) -> float | None:
    """Read an IMF-fixdate, the usual form."""
    found = _FIXED.fullmatch(value)
    return None if found is None else _seconds(found.groupdict(), 0.0)


def _seconds(parts: dict[str, bytes], now: float) -> float | None:
    """Return the seconds of a date whose parts have the right form."""
    month = _MONTHS[parts["month"].lower()]
    hour, minute, second = int(parts["hour"]), int(parts["minute"]), int(parts["second"])
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second
        return None
    try:
        year = int(parts["year"]) if "year" in parts else _full_year(int(parts["short"]), now)
        date(year, month, int(parts["day"]))
    except (ValueError, OverflowError, OSError):
        return None  # 31 February, or a clock outside of the calendar
    return float(timegm((year, month, int(parts["day"]), hour, minute, second)))


def _full_year(short: int, now: float) -> int:
    """Choose the century of a year of two digits (RFC 9110, 5.6.7)."""
    this_year = datetime.fromtimestamp(now, UTC).year
    year = this_year - this_year % 100 + short
    return year - 100 if year > this_year + 50 else year


def format_http_date(moment: float) -> bytes:
    """Write an IMF-fixdate (RFC 9110, 5.6.7).

    :param moment: seconds since the epoch.
    """
    return formatdate(moment, usegmt=True).encode("ascii")
