"""Secrets that are known or remembered, by a keyed hash of each.

The key is random and never leaves the process, so neither the time of a look-up nor the hashes in memory
reveal a secret. That is why a dictionary is safe here.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, Generic, TypeVar

MOST_REMEMBERED: Final = 10_000
T = TypeVar("T")


class KeyedHash:
    """Makes hashes that only this process can make."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def of(self, secret: bytes) -> bytes:
        """Return the hash of a secret."""
        return blake2b(secret, key=self._key, digest_size=32).digest()


class Known(Generic[T]):
    """Accepted secrets, each with a value.

    :param pairs: secrets and values; of equal secrets the first counts.
    """

    def __init__(self, pairs: Iterable[tuple[bytes, T]]) -> None:
        self._hash = KeyedHash()
        self._values: dict[bytes, T] = {}
        for secret, value in pairs:
            self._values.setdefault(self._hash.of(secret), value)

    def find(self, secret: bytes) -> T | None:
        """Return the value of a secret; None if it is not accepted. The time does not depend on it."""
        return self._values.get(self._hash.of(secret))

    def __len__(self) -> int:
        return len(self._values)


class Remembered(Generic[T]):
    """Results that are remembered for a while, by hash; the oldest is forgotten first.

    :param seconds: how long; 0: not at all.
    :param most: number of results.
    """

    def __init__(self, seconds: float, most: int = MOST_REMEMBERED) -> None:
        self._seconds = seconds
        self._most = most
        self._results: OrderedDict[bytes, tuple[float, T]] = OrderedDict()

    def get(self, digest: bytes) -> T | None:
        """Return the result, unless it is unknown or too old."""
        found = self._results.get(digest)
        if found is None:
            return None
        if found[0] <= time.monotonic():
            del self._results[digest]
            return None
        return found[1]

    def put(self, digest: bytes, result: T, seconds: float | None = None) -> None:
        """Remember a result.

        :param seconds: for this one; None: as all others.
        """
        if (life := self._seconds if seconds is None else seconds) <= 0 or not self._most:
            return
        self._results.pop(digest, None)
        self._results[digest] = (time.monotonic() + life, result)
        if len(self._results) > self._most:
            self._results.popitem(last=False)

    def __len__(self) -> int:
        return len(self._results)
