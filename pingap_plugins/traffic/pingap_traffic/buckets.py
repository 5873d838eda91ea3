"""Shares of requests: each request has a bucket from 0 to 9999, and each share is a range of buckets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from random import randrange
from typing import Annotated, Final
from zlib import crc32

from pydantic import Field

BUCKETS: Final = 10_000
_PER_PERCENT: Final = BUCKETS // 100

Percent = Annotated[float, Field(ge=0, le=100)]
"""A percentage, exact to 0.01."""


def random_bucket() -> int:
    """Return any bucket."""
    return randrange(BUCKETS)  # noqa: S311  # a share, not a secret


def bucket_of(value: str) -> int:
    """Return the bucket of a client's value, the same every time.

    Whole percentages select the same values as pingap 0.13.9, where a value belongs to a share if its CRC-32
    modulo 100 is below the percentage.

    :param value: a character for each byte (Latin-1), as header values are.
    """
    number = crc32(value.encode("latin-1", "replace"))
    return number % 100 * _PER_PERCENT + number // 100 % _PER_PERCENT


def is_within(bucket: int, percent: float) -> bool:
    """Return whether a bucket is among the first ones, which are so many percent of all."""
    return bucket < round(percent * _PER_PERCENT)


class Shares:
    """Names with a share each, next to one another, from bucket 0 on.

    :param percents: name -> percentage. Together they may be less than 100: the rest has no name.
    :raises ValueError: together they are more than 100.
    """

    def __init__(self, percents: Mapping[str, float]) -> None:
        self._names = list(percents)
        self._ends: list[int] = []
        end = 0
        for percent in percents.values():
            end += round(percent * _PER_PERCENT)
            self._ends.append(end)
        if end > BUCKETS:
            raise ValueError(f"weights add up to {end / _PER_PERCENT:g}, expected at most 100")

    def name_of(self, bucket: int) -> str | None:
        """Return the name whose share contains a bucket; None if it is in the rest."""
        index = bisect_right(self._ends, bucket)
        return self._names[index] if index < len(self._names) else None
