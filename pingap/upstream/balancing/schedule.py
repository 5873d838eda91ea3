"""Turns: the order of items according to weights, evenly spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import cycle
from math import gcd
from typing import Final, TypeVar

T = TypeVar("T")

MOST_PLACES: Final = 4096
"""Maximum length of a precomputed round; with more turns, each is computed when needed."""


def smooth_schedule(weights: Sequence[int]) -> list[int]:
    """Return one round of indexes, each as often as its weight, spread evenly over the round.

    An index of weight w should have its turns in the middle of w equal parts of the round; sorting these
    positions gives the order.

    :param weights: positive; a common divisor is removed.
    """
    divisor = gcd(*weights)
    wishes = [
        ((turn + 0.5) / steps, place)
        for place, steps in enumerate(weight // divisor for weight in weights)
        for turn in range(steps)
    ]
    return [place for _, place in sorted(wishes)]


def turns(items: Sequence[T], weights: Sequence[int]) -> Iterator[T]:
    """Yield items in turn forever, according to their weights; nothing if there are none."""
    if sum(weights) <= MOST_PLACES * gcd(*weights):
        return cycle([items[place] for place in smooth_schedule(weights)])
    return _one_by_one(items, weights)


def _one_by_one(items: Sequence[T], weights: Sequence[int]) -> Iterator[T]:
    """Yield the same order without a list of the whole round, because weights may be large."""
    heap = [(0.5 / weight, place) for place, weight in enumerate(weights)]
    heapify(heap)
    while True:
        wish, place = heap[0]
        yield items[place]
        heapreplace(heap, (wish + 1 / weights[place], place))
