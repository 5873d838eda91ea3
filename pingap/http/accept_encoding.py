"""What a client takes: ``Accept-Encoding`` (RFC 9110, 12.5.3). Nothing here does IO."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

IDENTITY: Final = "identity"
"""The name of no coding at all."""
_MOST: Final = 1000  # weights are counted in thousandths
_ELEMENT: Final = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9a-z]+)(?:[ \t]*;[ \t]*q[ \t]*=[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
_ALIASES: Final = {"x-gzip": "gzip"}  # RFC 9110, 8.4.1.3


@dataclass(frozen=True, slots=True)
class AcceptedEncodings:
    """The codings that a client takes, each with its weight in thousandths.

    :param weights: those that it names, in lower case.
    :param others: the weight of all others (``*``); None if it says nothing about them.
    """

    weights: Mapping[str, int]
    others: int | None = None

    def weight(self, coding: str) -> int:
        """Return the weight of a coding; 0 if the client does not take it."""
        return self.weights.get(coding, self.others or 0)

    @property
    def identity(self) -> int:
        """The weight of no coding: taken, but wanted least, unless the client says otherwise."""
        if IDENTITY in self.weights:
            return self.weights[IDENTITY]
        return 0 if self.others == 0 else 1

    def takes(self, coding: str) -> bool:
        """Return whether the client takes a coding."""
        return (self.identity if coding == IDENTITY else self.weight(coding)) > 0

    def best(self, codings: Iterable[str]) -> str:
        """Return the coding that the client wants most; of several, the first.

        :param codings: what there is, in the order of the server.
        :returns: empty if the client takes none, or would rather have none.
        """
        found, most = "", max(0, self.identity - 1)
        for coding in codings:
            if (weight := self.weight(coding)) > most:
                found, most = coding, weight
        return found


_NOTHING: Final = AcceptedEncodings({})
"""What is known of a client that says nothing. It may take any coding (RFC 9110), but then it would
have said so: what such clients get is not coded."""


@lru_cache(maxsize=1024)
def accepted_encodings(text: str | None) -> AcceptedEncodings:
    """Read ``Accept-Encoding``; what is malformed is as good as not sent.

    :param text: its value; None if there is none.
    """
    if text is None:
        return _NOTHING
    weights: dict[str, int] = {}
    for part in text.lower().split(","):
        if (match := _ELEMENT.fullmatch(part.strip(" \t"))) is not None:
            coding = _ALIASES.get(match[1], match[1])
            weight = round(float(match[2]) * _MOST) if match[2] else _MOST
            weights[coding] = max(weight, weights.get(coding, 0))
    others = weights.pop("*", None)
    return AcceptedEncodings(weights, others)
