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
from pingap.shared_state.values import SMALL_VALUE, SharedValues

Values: TypeAlias = tuple[float, ...]

MOST_VALUES: Final = 6
"""Values in a record of a table."""

NESTED: Final = "a record is held already: blocks of table.locked() cannot be nested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many records of each kind there may be.

    Each kind has room of its own: keys that clients can choose (windows, gauges) cannot push out
    what the proxy itself keeps (tables).
    """

    counters: int = 4096
    gauges: int = 16384
    windows: int = 65536
    tables: int = 4096
    values: int = 32768
    large_values: int = 2048
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

    The kinds are ``counters``, ``gauges``, ``windows``, ``tables``, ``values``, ``large_values`` and
    ``locks``.

    :param size: bytes of the shared memory; 0 with one worker.
    :param used: how many records there are.
    :param slots: how many there may be.
    :param evictions: how many gave way to others.
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
    """A number to which all workers add. What a worker added stays when it dies."""

    __slots__ = ()

    @abstractmethod
    def add(self, n: int = 1) -> int:
        """Add to the number, which may go down and below 0.

        :returns: the number, over all workers.
        """

    @property
    @abstractmethod
    def value(self) -> int:
        """The number, over all workers."""


class SharedGauge(ABC):
    """How many of something there are now, such as requests under way.

    Each worker has its own share, which is never below 0. When a worker dies, its share goes:
    nobody is left to take off what it had added.
    """

    __slots__ = ()

    @abstractmethod
    def add(self, n: int = 1) -> int:
        """Add to the share of this worker.

        :param n: a positive number when something begins, the same negative one when it ends.
        :returns: how many there are, over all workers.
        """

    @property
    @abstractmethod
    def value(self) -> int:
        """How many there are, over all workers."""


class SharedWindow(ABC):
    """How much happened within the last seconds, over all workers, for limits.

    Time is cut into pieces as long as the window. Counted are the piece that runs, and of the one
    before it the part that is still inside of the window, as if all that happened in it had been
    spread evenly: an approximation that needs two numbers, whatever the rate is.
    """

    __slots__ = ()

    @abstractmethod
    def add(self, n: int = 1, now: float | None = None) -> float:
        """Count something that happens now.

        :param n: how much; not negative.
        :param now: from ``time.monotonic()``, if you have it at hand.
        :returns: how much happened within the window, this included.
        """

    @abstractmethod
    def count(self, n: int = 1, now: float | None = None) -> None:
        """Do the same as ``add``, and add nothing up: cheaper, however many workers there are."""

    @abstractmethod
    def total(self, now: float | None = None) -> float:
        """Return how much happened within the window, and count nothing."""

    @abstractmethod
    def counts(self, now: float | None = None) -> tuple[int, int]:
        """Return how much happened in the piece before the one that runs, and in that one.

        These are the two numbers that ``total`` is made of, for those who weigh them differently.

        :param now: from ``time.monotonic()``, if you have it at hand.
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
    """Records of a few numbers, by key. The last one that is set counts.

    A record changes as a whole: nobody sees a part of the old and a part of the new values, even if
    a worker is killed while it writes.
    """

    __slots__ = ()

    @abstractmethod
    def get(self, key: str) -> Values | None:
        """Return the values of a key; None if none were set."""

    @abstractmethod
    def version(self, key: str) -> int:
        """Return a number that is another one whenever the values were changed; 0 if there are none.

        A small part of the work of ``get``, where values are read often and seldom change. Ask for
        the version first, and read then, so that no change is missed.
        """

    @abstractmethod
    def set(self, key: str, values: Sequence[float]) -> None:
        """Set the values of a key.

        :raises ValueError: they are not what the table holds.
        """

    @abstractmethod
    def locked(self, key: str) -> AbstractContextManager[SharedRecord]:
        """Hold the record of a key, to change it depending on what it is.

        Example::

            with table.locked(key) as record:
                failures, since = record.values or (0, 0.0)
                record.values = (failures + 1, since)

        Other workers that want it wait, and their event loops with them: do nothing inside of
        the block but decide, and never await. If the worker dies there, the others go on.

        :raises RuntimeError: a record is held already: blocks cannot be nested.
        """


class SharedState(ABC):
    """Numbers that are the same for all workers of an instance.

    ``ctx.shared`` is the one of the worker. Keys are text of any length; begin yours with the
    name of your plugin, since everybody has the same keys. What is returned for a key may be kept, as long
    as the worker lives, and used from the event loop only, not from other threads.

    The room is limited. When it is used up, the record that was not used for longest gives way to a
    new one, and begins at nothing if it is used again. (Gauges that are not 0 go last.)
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

        Tables for values of up to 64 bytes share one room, tables for longer ones another one. When
        it is used up, the entry that expires first gives way.

        :param name: begin it with the name of your plugin.
        :param value_bytes: how long a value may be, at most 4096.
        :raises ValueError: ``value_bytes`` is more than that.
        """

    @abstractmethod
    def lock(self, key: str, seconds: float) -> SharedLock:
        """Return a lock among all tasks of all workers.

        Example::

            async with ctx.shared.lock("acme/example.org", 30):
                ...

        If its holder has not left the block after so many seconds, others get the lock; if its worker
        dies, within a moment. So ask ``is_held`` before you do what must not be done twice. Do
        not take a lock again inside of its block: that waits until it has expired. While about a
        thousand locks are held, another one waits until there is room.

        :param key: text of any length, which clients may choose.
        :param seconds: how long it is held at most.
        :raises ValueError: ``seconds`` is not positive.
        """

    @abstractmethod
    def stats(self) -> SharedStateStats:
        """Return figures of the shared state itself."""


class RecordLayout:
    """How the values of a table's records are written."""

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
        """Write values.

        :raises ValueError: they are not what the table holds.
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
    """Return what is said of a number that cannot be counted."""
    return f"{n} cannot be counted in a window: it is negative"
