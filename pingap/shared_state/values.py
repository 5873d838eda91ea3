"""Bytes by key that expire: the interface, and its implementation for a single worker."""

from __future__ import annotations

import heapq
import math
import time
from abc import ABC, abstractmethod
from typing import Final

from pingap.shared_state.keys import short_key

SMALL_VALUE: Final = 64
LARGE_VALUE: Final = 4096
"""Maximum size of a value in tables for small and for large values."""


class SharedValues(ABC):
    """Bytes by key, each with an expiry: bans, sessions, used tokens.

    An entry is complete or missing, even if a worker is killed while it writes. ``now`` is
    ``time.monotonic()``, if the caller has it.
    """

    __slots__ = ()

    @abstractmethod
    def get(self, key: str, now: float | None = None) -> bytes | None:
        """Return the value of a key; None if there is none or it has expired."""

    @abstractmethod
    def set(self, key: str, value: bytes, seconds: float, now: float | None = None) -> None:
        """Set the value of a key.

        :param seconds: time until it expires.
        :raises ValueError: the value is too long, or ``seconds`` is not a positive number.
        """

    @abstractmethod
    def add(self, key: str, value: bytes, seconds: float, now: float | None = None) -> bool:
        """Set the value of a key that has none.

        If several workers call it at the same time, one succeeds; this shows whether a token is used for the
        first time.

        :returns: whether it was set.
        :raises ValueError: as ``set``.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a key if it exists."""


def check_value_bytes(name: str, value_bytes: int) -> None:
    """Check the maximum length of values.

    :raises ValueError: it exceeds the limit of all tables.
    """
    if not 0 <= value_bytes <= LARGE_VALUE:
        raise ValueError(f"values of {name}: {value_bytes} bytes; expected at most {LARGE_VALUE}")


def check_entry(name: str, value: bytes, most: int, seconds: float) -> None:
    """Check an entry before it is written.

    :raises ValueError: it does not fit.
    """
    if len(value) > most:
        raise ValueError(f"values of {name}: {len(value)} bytes; expected at most {most}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"values of {name}: an expiry of {seconds} s; expected a positive number")


class LocalEntries:
    """All entries of tables for small, or for large values.

    :param most: maximum number of entries; beyond that, a new one displaces the one that expires first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.evictions = 0
        self.entries: dict[tuple[str, str], tuple[float, bytes]] = {}
        """Table and key -> expiry and value."""
        self._ends: list[tuple[float, tuple[str, str]]] = []
        """A heap; entries that were changed stay in it for a while."""

    def put(self, place: tuple[str, str], end: float, value: bytes) -> None:
        """Set an entry, displacing another one if necessary."""
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
