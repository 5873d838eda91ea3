"""Choosing a peer: weighted round robin, smooth (heavy peers do not get their turns in a row)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from math import gcd
from typing import TypeVar

T = TypeVar("T")


def smooth_schedule(weights: Sequence[int]) -> list[int]:
    """Return one round of places, each as often as its weight, spread evenly over the round.

    A place of weight w wants its turns in the middle of w equal parts of the round; sorting all
    those wishes gives the order.

    :param weights: positive; a common divisor is taken out.
    """
    divisor = gcd(*weights)
    wishes = [
        ((turn + 0.5) / steps, place)
        for place, steps in enumerate(weight // divisor for weight in weights)
        for turn in range(steps)
    ]
    return [place for _, place in sorted(wishes)]


def round_robin(peers: Sequence[T], weights: Sequence[int]) -> Iterator[T]:
    """Yield peers in turn for ever, according to their weights."""
    return cycle([peers[place] for place in smooth_schedule(weights)])
