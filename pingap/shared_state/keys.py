"""Keys of shared state: text of any length, of which only a part is stored."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

LONGEST_KEY: Final = 200
"""Longer keys are not stored as text."""


def short_key(key: str) -> str:
    """Return a key within the maximum length."""
    if len(key) <= LONGEST_KEY:
        return key
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
