"""Rates: a number of requests in an interval."""

from __future__ import annotations

import re
from typing import Final

from limits import RateLimitItem, parse_many

_NO_INTERVAL: Final = re.compile(r"(/|per)\s*0+\s*[a-z]", re.IGNORECASE)
"""``limits`` reads ``5/0 minutes`` as ``5/minute``."""


class Rate(RateLimitItem):
    """A rate whose interval may have a part of a second, with keys that are used as they are.

    :param amount: number of requests.
    :param seconds: the interval.
    """

    __slots__ = ("seconds",)

    def __init__(self, amount: int, seconds: float) -> None:
        super().__init__(amount)
        self.seconds = seconds

    def get_expiry(self) -> float:  # type: ignore[override]  # strategies only calculate with it
        """Return the interval in seconds."""
        return self.seconds

    def key_for(self, *identifiers: bytes | str | float) -> str:
        """Return the first identifier: the tables of the shared state have the rest in their names."""
        return str(identifiers[0])


def parse_rate(text: str) -> Rate:
    """Read a rate such as ``100/minute`` or ``5 per 2 seconds``.

    :raises ValueError: it is none, or there are several.
    """
    try:
        found = parse_many(text)
    except ValueError:
        found = []
    if len(found) != 1 or _NO_INTERVAL.search(text):
        raise ValueError(f'found "{text}", expected a rate such as "100/minute" or "5 per 2 hours"')
    return Rate(found[0].amount, found[0].get_expiry())
