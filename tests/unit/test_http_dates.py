"""HTTP-date, in its three forms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import format_http_date, parse_http_date

NOW = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
IN_2050 = datetime(2050, 8, 18, 2, 1, 18, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        b"Thu, 18 Aug 2050 02:01:18 GMT",
        b"Thursday, 18-Aug-50 02:01:18 GMT",
        b"Thu Aug 18 02:01:18 2050",
        b"THU, 18 Aug 2050 02:01:18 GMT",
        b"Thu, 18 AUG 2050 02:01:18 GMT",
        b"Thu, 18 Aug 2050 02:01:18 gMT",
    ],
)
def test_the_three_forms_in_any_case(text: bytes) -> None:
    assert parse_http_date(text, NOW) == IN_2050


def test_a_day_of_one_digit_in_the_form_of_asctime() -> None:
    assert parse_http_date(b"Mon Aug  8 02:01:18 2050", NOW) == IN_2050 - 10 * 86400


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"-1",
        b"Thu, 18 Aug 2050 02:01:18 UTC",
        b"Thu, 18 Aug 2050 02:01:18 AEST",
        b"Thu, 18 Aug 2050 02:01:18 +0000",
        b"Thu, 18 Aug 2050 02:01:18",
        b"Thu, 18 Aug 50 02:01:18 GMT",
        b"Thu 18 Aug 2050 02:01:18 GMT",
        b"Thu, 18  Aug  2050 02:01:18 GMT",
        b"Thu, 18-Aug-2050 02:01:18 GMT",
        b"Thu, 18-Aug-50 02:01:18 GMT",
        b"Thursday, 18-Aug-2050 02:01:18 GMT",
        b"Thu, 18 Aug 2050 02.01.18 GMT",
        b"Thu, 18 Aug 2050 2:01:18 GMT",
        b"Thu, 8 Aug 2050 02:01:18 GMT",
        b"Thu, 31 Feb 2050 02:01:18 GMT",
        b"Thu, 18 Aug 2050 24:01:18 GMT",
        b"Thu, 18 Aug 2050 02:60:18 GMT",
        b"Thu, 18 Aug 2050 02:01:61 GMT",
        b"Thu, 18 Aug 0000 02:01:18 GMT",
        b"Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:19 GMT",
        "Thu, 18 Aug \u0665\u0660\u0665\u0660 02:01:18 GMT".encode(),
    ],
)
def test_what_is_no_date(text: bytes) -> None:
    assert parse_http_date(text, NOW) is None


def test_the_second_that_is_inserted() -> None:
    leap = parse_http_date(b"Sat, 31 Dec 2016 23:59:60 GMT", NOW)
    assert leap == datetime(2017, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("short", "year"), [("76", 2076), ("77", 1977), ("26", 2026), ("00", 2000)]
)
def test_a_year_of_two_digits_is_at_most_fifty_years_ahead(short: str, year: int) -> None:
    seen = parse_http_date(f"Thursday, 18-Aug-{short} 02:01:18 GMT".encode(), NOW)
    assert seen == datetime(year, 8, 18, 2, 1, 18, tzinfo=UTC).timestamp()


def test_a_date_beyond_32_bits() -> None:
    expected = datetime(2286, 11, 21, 4, 46, 39, tzinfo=UTC).timestamp()
    assert parse_http_date(b"Sun, 21 Nov 2286 04:46:39 GMT", NOW) == expected


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_what_is_written_is_read(moment: int) -> None:
    assert parse_http_date(format_http_date(moment), NOW) == moment


@given(st.binary(), st.floats(allow_nan=False, allow_infinity=False))
def test_never_raises(text: bytes, now: float) -> None:
    parse_http_date(text, now)
    parse_http_date(b"Thursday, 18-Aug-50 02:01:18 GMT", now)
