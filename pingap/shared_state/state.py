"""The interface of shared state, the same for one worker and for many."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from pingap.shared_state.lock import SharedLock
from pingap.shared_state.quotas import SharedQuotas
from pingap.shared_state.values import SMALL_VALUE, SharedValues

Values: TypeAlias = tuple[float, ...]

MOST_VALUES: Final = 6
"""Maximum number of values in a record of a table."""

NESTED: Final = "a record is held already: blocks of table.locked() cannot be nested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Maximum number of records of each kind.

    Each kind has its own space: keys that clients can choose (windows, gauges, quotas) cannot displace
    records of the proxy itself (tables).
    """

    counters: int = 4096
    gauges: int = 16384
    windows: int = 65536
    tables: int = 4096
    values: int = 32768
    large_values: int = 2048
    quotas: int = 65536
    large_quotas: int = 4096
    locks: int = 1024


DEFAULT_SIZES: Final = Sizes()


class KindStats(NamedTuple):
    """Figures of one kind of records."""

    used: int
    slots: int
    evictions: int


@dataclass(frozen=True, slots=True)
class SharedStateStats:
    """Figures of the shared state, by kind.

    The kinds are ``counters``, ``gauges``, ``windows``, ``tables``, ``values``, ``large_values``, ``quotas``,
    ``large_quotas`` and ``locks``.

    :param size: bytes of the shared memory; 0 with one worker.
    :param used: number of records.
    :param slots: maximum number of records.
    :param evictions: how many records were displaced by others.
    """

    size: int
    used: Mapping[str, int]
    slots: Mapping[str, int]
    evictions: Mapping[str, int]


def stats_of(size: int, **kinds: KindStats) -> SharedStateStats:
    """Return the figures of all kinds."""
    return SharedStateStats(
        size,
        {name: kind.used for name, kind in kinds.items()},
        {name: kind.slots for name, kind in kinds.items()},
        {name: kind.evictions for name, kind in kinds.items()},
    )


class SharedCounter(ABC):
    """A number to which all workers add. The share of a worker stays when it dies."""

    __slots__ = ()

    @abstractmethod
    def add(self, n: int = 1) -> int:
        """Add to the number, which may decrease and become negative.

        :returns: the sum over all workers.
        """

    @property
    @abstractmethod
    def value(self) -> int:
        """The sum over all workers."""


class SharedGauge(ABC):
    """The current number of something, such as requests in progress.

    Each worker has its own share, which is never negative. When a worker dies, its share is removed, because
    it can no longer subtract it.
    """

    __slots__ = ()

    @abstractmethod
    def add(self, n: int = 1) -> int:
        """Add to the share of this worker.

        :param n: a positive number when something begins, the same negative number when it ends.
        :returns: the sum over all workers.
        """

    @abstractmethod
    def add_below(self, limit: int) -> bool:
        """Add 1 to the share of this worker, unless the sum over all workers has reached a limit.

        Unlike ``add`` and a comparison, it is exact if several workers do it at the same time.

        :returns: whether it was added.
        """

    @property
    @abstractmethod
    def value(self) -> int:
        """The sum over all workers."""


class SharedWindow(ABC):
    """The number of events in the last seconds, over all workers, for limits.

    Time is divided into pieces as long as the window. The total is the count of the current piece plus a
    part of the previous one: the part that is still inside the window, assuming that its events were spread
    evenly. This approximation needs two numbers, at any rate.
    """

    __slots__ = ()

    @abstractmethod
    def add(self, n: int = 1, now: float | None = None) -> float:
        """Count events that happen now.

        :param n: how many; not negative.
        :param now: ``time.monotonic()``, if the caller has it.
        :returns: the number of events within the window, including these.
        """

    @abstractmethod
    def count(self, n: int = 1, now: float | None = None) -> None:
        """Count like ``add``, but do not compute the total: cheaper, for any number of workers."""

    @abstractmethod
    def total(self, now: float | None = None) -> float:
        """Return the number of events within the window, without counting one."""

    @abstractmethod
    def counts(self, now: float | None = None) -> tuple[int, int]:
        """Return the number of events in the previous piece and in the current one.

        These are the two numbers that ``total`` is computed from, for callers that weigh them differently.

        :param now: ``time.monotonic()``, if the caller has it.
        """


class SharedRecord(ABC):
    """A record that is held, so that no other worker changes it."""

    __slots__ = ()

    @property
    @abstractmethod
    def values(self) -> Values | None:
        """The values, or None if there are none; assign a tuple to change them."""

    @values.setter
    @abstractmethod
    def values(self, values: Sequence[float]) -> None: ...


class SharedTable(ABC):
    """Records of a few numbers, by key. The last values set are kept.

    A record changes atomically: readers never see a mixture of old and new values, even if a worker is killed
    while it writes.
    """

    __slots__ = ()

    @abstractmethod
    def get(self, key: str) -> Values | None:
        """Return the values of a key; None if none were set."""

    @abstractmethod
    def version(self, key: str) -> int:
        """Return a number that changes whenever the values change; 0 if there are none.

        It is much cheaper than ``get`` for values that are read often and seldom change. Ask for the version
        first and then read, so that no change is missed.
        """

    @abstractmethod
    def set(self, key: str, values: Sequence[float]) -> None:
        """Set the values of a key.

        :raises ValueError: they do not match the fields of the table.
        """

    @abstractmethod
    def locked(self, key: str) -> AbstractContextManager[SharedRecord]:
        """Hold the record of a key, to change it depending on its value.

        Example::

            with table.locked(key) as record:
                failures, since = record.values or (0, 0.0)
                record.values = (failures + 1, since)

        Other workers that need it wait, and their event loops with them: inside the block, only compute, and
        never await. If the worker dies there, the others continue.

        :raises RuntimeError: a record is held already: blocks cannot be nested.
        """


class SharedState(ABC):
    """Numbers that are the same for all workers of an instance.

    ``ctx.shared`` is that of the worker. Keys are text of any length; begin yours with the name of your
    plugin, because all plugins share them. The object returned for a key may be kept as long as the worker
    lives, and must be used in the event loop only, not in other threads.

    Space is limited. When it is used up, a new record displaces the least recently used one, which starts
    from nothing if it is used again. Gauges that are not 0 are displaced last.
    """

    __slots__ = ()

    @abstractmethod
    def counter(self, key: str) -> SharedCounter:
        """Return the counter of a key."""

    @abstractmethod
    def gauge(self, key: str) -> SharedGauge:
        """Return the gauge of a key."""

    @abstractmethod
    def window(self, key: str, seconds: float) -> SharedWindow:
        """Return the window of a key; windows of different lengths are different ones.

        :raises ValueError: ``seconds`` is not positive.
        """

    @abstractmethod
    def table(self, name: str, fields: str) -> SharedTable:
        """Return a table.

        :param fields: a letter for each value of its records, up to 6: ``q`` is an integer of 64
            bits, ``d`` a float.
        :raises ValueError: other letters, or too many.
        """

    @abstractmethod
    def values(self, name: str, *, value_bytes: int = SMALL_VALUE) -> SharedValues:
        """Return a table of bytes that expire.

        Tables for values of up to 64 bytes share one space, tables for longer ones another. When it is used
        up, a new entry displaces the one that expires first.

        :param name: begin it with the name of your plugin.
        :param value_bytes: maximum length of a value, at most 4096.
        :raises ValueError: ``value_bytes`` is more than that.
        """

    @abstractmethod
    def quotas(self, name: str, *, value_bytes: int = SMALL_VALUE) -> SharedQuotas:
        """Return a table of what clients have used of a limit.

        Tables for values of up to 64 bytes share one space, tables for longer ones another; neither is shared
        with ``values``. When it is used up, a new entry displaces one that has expired, or else the one that
        expires first of those that are not used up. Entries that are used up are displaced last.

        :param name: begin it with the name of your plugin.
        :param value_bytes: maximum length of a value, at most 4096.
        :raises ValueError: ``value_bytes`` is more than that.
        """

    @abstractmethod
    def lock(self, key: str, seconds: float) -> SharedLock:
        """Return a lock among all tasks of all workers.

        Example::

            async with ctx.shared.lock("acme/example.org", 30):
                ...

        If its holder has not left the block after ``seconds``, others get the lock; if its worker dies, they
        get it shortly after. So check ``is_held`` before actions that must not happen twice. Do not take a
        lock again inside its own block: that waits until it has expired. While about a thousand locks are
        held, taking another one waits until there is space.

        :param key: text of any length, which clients may choose.
        :param seconds: how long it is held at most.
        :raises ValueError: ``seconds`` is not positive.
        """

    @abstractmethod
    def stats(self) -> SharedStateStats:
        """Return figures of the shared state itself."""


class RecordLayout:
    """The binary layout of a table's records."""

    def __init__(self, table: str, fields: str) -> None:
        if not 1 <= len(fields) <= MOST_VALUES or set(fields) - set("qd"):
            raise ValueError(
                f'table {table}: fields are 1 to {MOST_VALUES} letters "q" or "d", not "{fields}"'
            )
        self._table = table
        self._struct = struct.Struct(f"={fields}")
        self.size = self._struct.size
        self.unpack_from = self._struct.unpack_from

    def pack(self, values: Sequence[float]) -> bytes:
        """Return the values as bytes.

        :raises ValueError: they do not match the fields of the table.
        """
        try:
            return self._struct.pack(*values)
        except struct.error as error:
            raise ValueError(f"table {self._table}: {tuple(values)}: {error}") from None


@lru_cache(maxsize=256)
def record_layout(table: str, fields: str) -> RecordLayout:
    """Return the layout of a table's records.

    :raises ValueError: there is no such layout.
    """
    return RecordLayout(table, fields)


def check_length(seconds: float) -> None:
    """Check the length of a window.

    :raises ValueError: it is not positive.
    """
    if not 0 < seconds < float("inf"):
        raise ValueError(f"a window of {seconds} s: expected a positive number")


def not_countable(n: int) -> str:
    """Return the message for a number that cannot be counted."""
    return f"{n} cannot be counted in a window: it is negative"
