"""Positions, and texts with bytes that are not UTF-8, in both engines."""

from __future__ import annotations

import pytest

from pingap.config.regex import compile_regex


@pytest.mark.parametrize("text", [r"\bab", r"(?:(?:a*)*b){0,1}\bab|zz(z*)*z"])
def test_a_search_begins_at_a_position_and_sees_what_is_before(text: str) -> None:
    pattern = compile_regex(text)
    assert [one.span() for one in pattern.finditer("xab ab", 1)][-1] == (4, 6)
    first = pattern.search("ab ab", 2)
    assert first is not None
    assert first.end() == 5


@pytest.mark.parametrize("text", ["^ab", "^(a+a+)+b"])
def test_a_position_is_no_beginning(text: str) -> None:
    assert compile_regex(text).search("aabaab", 3) is None


def test_positions_count_bytes_that_are_not_utf8() -> None:
    text = b"\xe9\xff-ab".decode("utf-8", "surrogateescape")
    found = compile_regex(r"(?:a*)*b").search(text)
    assert found is not None
    assert text[found.start() : found.end()] == "ab"
