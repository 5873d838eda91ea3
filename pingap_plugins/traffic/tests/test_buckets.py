"""Shares: exact for clients with a value, within 1 % at random, and stable when weights change."""

from __future__ import annotations

from collections import Counter
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pingap_traffic.buckets import BUCKETS, Shares, bucket_of, is_within, random_bucket

PERCENTS = st.dictionaries(st.text(max_size=3), st.floats(0, 20), max_size=5)


@given(st.text(st.characters(max_codepoint=255)), st.integers(0, 100))
def test_whole_percentages_are_those_of_pingap(value: str, weight: int) -> None:
    is_chosen = crc32(value.encode("latin-1")) % 100 < weight
    assert is_within(bucket_of(value), weight) == is_chosen


def test_random_shares_are_accurate_to_one_percent() -> None:
    # With 200 000 requests, 1 % is at least nine standard deviations.
    shares = Shares({"a": 10, "b": 33.3, "c": 0.5})
    count = 200_000
    found = Counter(shares.name_of(random_bucket()) for _ in range(count))
    for name, percent in {"a": 10, "b": 33.3, "c": 0.5, None: 56.2}.items():
        assert found[name] / count == pytest.approx(percent / 100, abs=0.01)


def test_shares_of_clients_are_accurate_to_one_percent() -> None:
    shares = Shares({"a": 10, "b": 33.3, "c": 0.5})
    count = 50_000
    found = Counter(shares.name_of(bucket_of(f"user-{number}")) for number in range(count))
    for name, percent in {"a": 10, "b": 33.3, "c": 0.5, None: 56.2}.items():
        assert found[name] / count == pytest.approx(percent / 100, abs=0.01)


@given(PERCENTS)
def test_every_bucket_has_its_share(percents: dict[str, float]) -> None:
    shares = Shares(percents)
    found = Counter(shares.name_of(bucket) for bucket in range(BUCKETS))
    for name, percent in percents.items():
        assert found[name] == round(percent * 100)


@given(st.integers(0, BUCKETS - 1), st.floats(0, 100), st.floats(0, 100))
def test_nobody_goes_back_when_a_share_grows(bucket: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert is_within(bucket, high) or not is_within(bucket, low)


@given(st.integers(0, BUCKETS - 1))
def test_nothing_and_everything(bucket: int) -> None:
    assert not is_within(bucket, 0)
    assert is_within(bucket, 100)
    assert Shares({"a": 0, "b": 100}).name_of(bucket) == "b"
    assert Shares({}).name_of(bucket) is None


def test_more_than_everything() -> None:
    with pytest.raises(ValueError, match=r"weights add up to 100\.01, expected at most 100"):
        Shares({"a": 60, "b": 40.01})
