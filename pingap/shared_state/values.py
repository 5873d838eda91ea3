"""Bytes by key, which expire: the interface, and how it is done with one worker."""

from __future__ import annotations

import heapq
import math
import time
from abc import ABC, abstractmethod
from typing import Final

from pingap.shared_state.keys import short_key

SMALL_VALUE: Final = 64
LARGE_VALUE: Final = 4096
"""Bytes of a value, of tables for small and for large ones."""


class SharedValues(ABC):
    """Bytes by key, each with an expiry: bans, sessions, tokens that were used.

    An entry is there as a whole or not at all, even if a worker is killed while it writes. ``now`` is
    from ``time.monotonic()``, if you have it at hand.
    """

    __slots__ = ()

    @abstractmethod
    def get(self, key: str, now: float | None = None) -> bytes | None:
        """Return the value of a key; None if there is none, or it has expired."""

    @abstractmethod
    def set(self, key: str, value: bytes, seconds: float, now: float | None = None) -> None:
        """Set the value of a key.

        :param seconds: how long it is there.
        :raises ValueError: the value is too long, or ``seconds`` is not a positive number.
        """

    @abstractmethod
    def add(self, key: str, value: bytes, seconds: float, now: float | None = None) -> bool:
        """Set the value of a key that has none.

        Of several workers that do it at the same time, one succeeds: this tells whether a token is
        used for the first time.

        :returns: whether it was set.
        :raises ValueError: as ``set``.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a key, if it is there."""


def check_value_bytes(name: str, value_bytes: int) -> None:
    """Check how long values may be.

    :raises ValueError: longer than any table has room for.
    """
    if not 0 <= value_bytes <= LARGE_VALUE:
        raise ValueError(f"values of {name}: {value_bytes} bytes; expected at most {LARGE_VALUE}")


def check_entry(name: str, value: bytes, most: int, seconds: float) -> None:
    """Check what is to be written.

    :raises ValueError: it does not fit.
    """
    if len(value) > most:
        raise ValueError(f"values of {name}: {len(value)} bytes; expected at most {most}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"values of {name}: an expiry of {seconds} s; expected a positive number")


class LocalEntries:
    """All entries of tables for small, or for large values.

    :param most: entries; beyond that, the one that expires first gives way.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.evictions = 0
        self.entries: dict[tuple[str, str], tuple[float, bytes]] = {}
        """Table and key -> end and value."""
        self._ends: list[tuple[float, tuple[str, str]]] = []
        """A heap; entries that were changed meanwhile stay in it for a while."""

    def put(self, place: tuple[str, str], end: float, value: bytes) -> None:
        """Set an entry, and make room for it."""
        while place not in self.entries and len(self.entries) >= self.most:
            self._drop_first()
        self.entries[place] = (end, value)
        if len(self._ends) > 2 * self.most:
            self._ends = [(entry[0], one) for one, entry in self.entries.items()]
            heapq.heapify(self._ends)
        else:
            heapq.heappush(self._ends, (end, place))

    def _drop_first(self) -> None:
        end, place = heapq.heappop(self._ends)
        if place in self.entries and self.entries[place][0] == end:
            del self.entries[place]
            self.evictions += 1


class LocalValues(SharedValues):
    """The values of one table."""

    __slots__ = ("_entries", "_most", "_name")

    def __init__(self, entries: LocalEntries, name: str, value_bytes: int) -> None:
        self._entries = entries
        self._name = name
        self._most = value_bytes

    def get(self, key: str, now: float | None = None) -> bytes | None:
        """See ``SharedValues``."""
        entry = self._entries.entries.get((self._name, short_key(key)))
        if entry is None or entry[0] <= (time.monotonic() if now is None else now):
            return None
        return entry[1]

    def set(self, key: str, value: bytes, seconds: float, now: float | None = None) -> None:
        """See ``SharedValues``."""
        check_entry(self._name, value, self._most, seconds)
        end = (time.monotonic() if now is None else now) + seconds
        self._entries.put((self._name, short_key(key)), end, bytes(value))

    def add(self, key: str, value: bytes, seconds: float, now: float | None = None) -> bool:
        """See ``SharedValues``."""
        check_entry(self._name, value, self._most, seconds)
        if self.get(key, now) is not None:
            return False
        self.set(key, value, seconds, now)
        return True

    def delete(self, key: str) -> None:
        """See ``SharedValues``."""
        self._entries.entries.pop((self._name, short_key(key)), None)
