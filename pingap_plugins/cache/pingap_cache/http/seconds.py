"""delta-seconds (RFC 9111, 1.2.2)."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 2**31
"""Seconds that stand for every larger delta (RFC 9111, 1.2.2)."""


def parse_seconds(value: str) -> int | None:
    """Read delta-seconds (RFC 9111, 1.2.2).

    :returns: seconds, at most ``LONGEST``; ``None`` if these are not all digits.
    """
    if not (value.isascii() and value.isdigit()):
        return None
    digits = value.lstrip("0")
    return LONGEST if len(digits) > 10 else min(int(digits or "0"), LONGEST)
