"""delta-seconds (RFC 9111, 1.2.2)."""

from __future__ import annotations

import pytest
from pingap_cache.http.seconds import LONGEST, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("3600", 3600),
        ("003600", 3600),
        ("000", 0),
        ("2147483647", 2147483647),
        ("2147483648", LONGEST),
        ("99999999999", LONGEST),
        ("9" * 5000, LONGEST),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1e3", None),
        (" 1", None),
        ("1_000", None),
        ("'1'", None),
        ("a1", None),
        ("1a", None),
        ("\u00b2", None),
        ("\u0661", None),
    ],
)
def test_seconds(text: str, seconds: int | None) -> None:
    assert parse_seconds(text) == seconds
