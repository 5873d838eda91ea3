"""What clients have used of a limit: the interface, and its implementation for a single worker."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from pingap.shared_state.keys import LONGEST_KEY, short_key
from pingap.shared_state.values import check_entry

NESTED: Final = "an entry is being changed already: calls of quotas.change() cannot be nested"

_CANDIDATES: Final = 16
"""Number of entries from which the one to displace is chosen."""


class Quota(NamedTuple):
    """What a client has used of a limit.

    :param value: the bytes to keep.
    :param seconds: time until they mean the same as no entry.
    :param used_up: the client is refused for now, so the entry is displaced last.
    """

    value: bytes
    seconds: float
    used_up: bool


Change: TypeAlias = Callable[[bytes | None], Quota | None]


class SharedQuotas(ABC):
    """Bytes by key that change depending on their value: what each client has used of a limit.

    Keys may be chosen by clients. ``now`` is ``time.monotonic()``, if the caller has it.
    """

    __slots__ = ()

    @abstractmethod
    def get(self, key: str, now: float | None = None) -> bytes | None:
        """Return the value of a key; None if there is none or it has expired."""

    @abstractmethod
    def change(self, key: str, compute: Change, now: float | None = None) -> None:
        """Change the value of a key, while no other worker can.

        Example::

            def one_more(value: bytes | None) -> Quota:
                number = 1 + int.from_bytes(value or b"", "big")
                return Quota(number.to_bytes(8, "big"), 60, used_up=number >= 100)

            quotas.change("192.0.2.7", one_more)

        :param compute: gets the value, or None if there is none or it has expired, and returns the new one, or
            None to leave it unchanged. Other workers may be waiting: it must only compute, and must not use
            ``SharedQuotas`` itself.
        :raises ValueError: the value is too long, or ``seconds`` is not a positive number.
        :raises RuntimeError: ``compute`` uses ``SharedQuotas``.
        """


class LocalQuotaEntries:
    """All entries of tables for small, or for large values.

    :param most: maximum number of entries.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.evictions = 0
        self.is_held = False
        self.idle: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()
        self.used_up: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()
        """Table and key -> expiry and value, the least recently changed first."""

    def __len__(self) -> int:
        return len(self.idle) + len(self.used_up)

    def get(self, place: tuple[str, str], now: float) -> bytes | None:
        """Return a value that has not expired."""
        entry = self.idle.get(place) or self.used_up.get(place)
        return None if entry is None or entry[0] <= now else entry[1]

    def put(self, place: tuple[str, str], now: float, quota: Quota) -> None:
        """Set an entry, displacing another one if necessary."""
        wanted, other = self.idle, self.used_up
        if quota.used_up:
            wanted, other = other, wanted
        if place not in wanted and other.pop(place, None) is None and len(self) >= self.most:
            self._drop_one(now)
        wanted[place] = (now + quota.seconds, quota.value)
        wanted.move_to_end(place)

    def _drop_one(self, now: float) -> None:
        """Drop an entry that has expired or is not used up, if there is one."""
        first = self._soonest(self.used_up)
        if first and (self.used_up[first][0] <= now or not self.idle):
            del self.used_up[first]
        elif (victim := self._soonest(self.idle)) is not None:
            del self.idle[victim]
        self.evictions += 1

    def _soonest(
        self, entries: OrderedDict[tuple[str, str], tuple[float, bytes]]
    ) -> tuple[str, str] | None:
        """Return the entry that expires first among some, which are looked at last the next time."""
        some = list(islice(entries, _CANDIDATES))
        for place in some:
            entries.move_to_end(place)
        return min(some, key=lambda place: entries[place][0], default=None)


class LocalQuotas(SharedQuotas):
    """The entries of one table."""

    __slots__ = ("_entries", "_most", "_name")

    def __init__(self, entries: LocalQuotaEntries, name: str, value_bytes: int) -> None:
        self._entries = entries
        self._name = name
        self._most = value_bytes

    def get(self, key: str, now: float | None = None) -> bytes | None:
        """See ``SharedQuotas``."""
        now = time.monotonic() if now is None else now
        if self._entries.is_held:
            raise RuntimeError(NESTED)
        return self._entries.get(self._place(key), now)

    def change(self, key: str, compute: Change, now: float | None = None) -> None:
        """See ``SharedQuotas``."""
        now = time.monotonic() if now is None else now
        place, entries = self._place(key), self._entries
        if entries.is_held:  # an error with several workers is one here, too
            raise RuntimeError(NESTED)
        entries.is_held = True
        try:
            quota = compute(entries.get(place, now))
        finally:
            entries.is_held = False
        if quota is not None:
            check_entry(self._name, quota.value, self._most, quota.seconds)
            entries.put(place, now, quota)

    def _place(self, key: str) -> tuple[str, str]:
        return self._name, key if len(key) <= LONGEST_KEY else short_key(key)
