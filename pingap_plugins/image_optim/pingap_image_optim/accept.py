"""Which types of images a client takes: ``Accept`` (RFC 9110, 12.5.1). Nothing here does IO."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

TYPES: Final = ("avif", "webp", "jpeg", "png")
"""The types that can be made."""
_OLD: Final = frozenset({"jpeg", "png"})
"""What every client can show that says ``image/*``. Others must be named: browsers sent ``*/*`` before they
knew them."""
_LONGEST: Final = 1000
"""Characters of a value that is read and remembered; longer ones name no type."""
_MOST: Final = 1000  # weights are counted in thousandths
_RANGE: Final = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9a-z]+/[!#$%&'*+\-.^_`|~0-9a-z]+)"
    r"(?:[ \t]*;(?![ \t]*q[ \t]*=)[^;]*)*"
    r"(?:;[ \t]*q[ \t]*=[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*(?:;.*)?)?"
)


def weights(text: str | None) -> Mapping[str, int]:
    """Return the weight of each type that a client takes, in thousandths; 0 if it does not take it.

    :param text: the value of ``Accept``; None, which stands for anything, if there is none.
    """
    if text is None or len(text) > _LONGEST:
        text = "*/*"
    return _weights(text)


@lru_cache(maxsize=1024)
def _weights(text: str) -> Mapping[str, int]:
    ranges: dict[str, int] = {}
    for part in text.lower().split(","):
        if (match := _RANGE.fullmatch(part.strip(" \t"))) is not None:
            weight = round(float(match[2]) * _MOST) if match[2] else _MOST
            ranges[match[1]] = max(weight, ranges.get(match[1], 0))
    return {one: _weight(ranges, one) for one in TYPES}


def _weight(ranges: Mapping[str, int], kind: str) -> int:
    """Return the weight of a type: the most specific range counts."""
    if (exact := ranges.get(f"image/{kind}")) is not None:
        return exact
    if kind not in _OLD:
        return 0
    return ranges.get("image/*", ranges.get("*/*", 0))


def wanted(weights: Mapping[str, int], offered: Sequence[str], original: str) -> tuple[str, ...]:
    """Return the types to try for an image, the best first; the original type is not among them.

    :param offered: types of the operator, in order of preference, which decides among equal weights.
    :param original: the type of the image. What the client wants less than that is left out.
    """
    least = max(1, weights[original])
    found = [one for one in offered if weights[one] >= least]
    found.sort(key=lambda one: -weights[one])  # (the order of equal ones stays)
    if original in found:
        del found[found.index(original) :]
    return tuple(found)
