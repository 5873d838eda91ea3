"""Keys of shared state: text of any length, of which not all is kept."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

LONGEST_KEY: Final = 200
"""Longer keys are not kept as text anywhere."""


def short_key(key: str) -> str:
    """Return a key that is no longer than it may be."""
    if len(key) <= LONGEST_KEY:
        return key
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
