"""Where entries are kept, as the key ``directory`` says it.

Empty, or ``memory://?max_size=50``: in memory; ``/var/cache/pingap?max_size=1GiB``: in a folder. The
parameters are those of pingap 0.13.9 (``reference``). What is unknown or makes no sense is an error.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import parse_qsl, unquote

from pydantic import TypeAdapter, ValidationError

from pingap import ByteSize, Duration
from pingap_cache.stores.budget import memory_budget
from pingap_cache.stores.disk import DiskStore
from pingap_cache.stores.memory import MemoryStore
from pingap_cache.stores.tiered import TieredStore

PAGE: Final = 4096
"""``cache_file_max_weight`` counts in pages of so many bytes."""
IN_FRONT: Final = 64 * 1024 * 1024
"""Memory that all workers together have in front of one folder."""
SMALLEST: Final = 1024 * 1024
"""The least memory of a store, in each worker."""

INACTIVE: Final = 48 * 3600.0
READING_MAX: Final = 10_000
WRITING_MAX: Final = 1000
MAX_WEIGHT: Final = 256
LEVELS: Final = (2,)

_FORMS: Final = (
    'expected "memory://", or an absolute path such as "/var/cache/pingap?max_size=1GiB"'
)
_sizes: Final[TypeAdapter[int]] = TypeAdapter(ByteSize)
_durations: Final[TypeAdapter[float]] = TypeAdapter(Duration)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MemoryLocation:
    """In memory.

    :param max_size: bytes for all workers together; None: ``percent`` of ``memory_budget()``.
    :param compact: no index of tags: less memory, and a purge by tag looks at all entries.
    """

    max_size: int | None = None
    percent: float = 100.0
    compact: bool = False

    def open(self, workers: int) -> MemoryStore:
        """Return a store for one of so many workers: each has its part of the memory."""
        size = self.max_size
        if size is None:
            size = int(memory_budget() * self.percent / 100)
        return MemoryStore(max(size // workers, SMALLEST), index_tags=not self.compact)


@dataclass(frozen=True, slots=True)
class DiskLocation:
    """In a folder, with memory in front of it.

    :param path: absolute, without symbolic links, so that one folder has one name.
    :param max_size: bytes of the folder; None: no limit.
    :param inactive: seconds after which what nobody asked for is removed; 0: never.
    :param cache_max: entries in memory, in each worker; 0: none; None: as many as fit.
    :param cache_file_max_weight: pages from which on an entry is not kept in memory.
    """

    path: Path
    max_size: int | None = None
    inactive: float = INACTIVE
    reading_max: int = READING_MAX
    writing_max: int = WRITING_MAX
    cache_max: int | None = None
    cache_file_max_weight: int = MAX_WEIGHT
    levels: tuple[int, ...] = LEVELS

    def open(self, workers: int) -> DiskStore | TieredStore:
        """Return a store for one of so many workers, which share the folder."""
        disk = DiskStore(
            self.path,
            size_limit=self.max_size,
            inactive=self.inactive,
            levels=self.levels,
            reading_max=self.reading_max,
            writing_max=self.writing_max,
        )
        largest = self.cache_file_max_weight * PAGE
        if self.cache_max == 0 or not largest:
            return disk
        budget = max(IN_FRONT // workers, SMALLEST)
        memory = MemoryStore(budget, most=self.cache_max, largest=largest, index_tags=False)
        return TieredStore(memory, disk)


Location = MemoryLocation | DiskLocation


def parse_location(text: str) -> Location:
    """Read the value of ``directory``.

    :raises ValueError: with a text for the operator.
    """
    where, _, query = text.strip().partition("?")
    if not where or where in ("memory://", "memory:///"):
        return _memory(_Parameters(query, "memory"))
    path = Path(unquote(where)).expanduser() if where[0] in "/~" else None
    if path is None or not path.is_absolute():
        raise ValueError(f'found "{text}", {_FORMS}')
    if "$" in str(path) or "\0" in str(path):
        raise ValueError(f'found "{text}", expected a path without "$"')
    return _disk(Path(os.path.realpath(path)), _Parameters(query, "a directory"))


def _memory(parameters: _Parameters) -> MemoryLocation:
    default: tuple[int | None, float] = (None, 100.0)
    size, percent = parameters.read("max_size", _size_or_percent, default)
    compact = parameters.read("mode", _mode, default=False)
    parameters.end()
    return MemoryLocation(size, percent, compact)


def _disk(path: Path, parameters: _Parameters) -> DiskLocation:
    location = DiskLocation(
        path,
        max_size=parameters.read("max_size", _limit, None),
        inactive=parameters.read("inactive", _duration, INACTIVE),
        reading_max=parameters.read("reading_max", _number, READING_MAX),
        writing_max=parameters.read("writing_max", _number, WRITING_MAX),
        cache_max=parameters.read("cache_max", _number, None),
        cache_file_max_weight=parameters.read("cache_file_max_weight", _number, MAX_WEIGHT),
        levels=parameters.read("levels", _levels, LEVELS),
    )
    parameters.end()
    return location


class _Parameters:
    """The parameters of a URL; what is left at the end is unknown."""

    def __init__(self, query: str, kind: str) -> None:
        pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
        self._kind = kind
        self._known: list[str] = []
        self._values: dict[str, str] = {}
        for name, value in pairs:
            if name in self._values:
                raise ValueError(f'the parameter "{name}" is given twice')
            self._values[name] = value

    def read(self, name: str, read: Callable[[str], T], default: T) -> T:
        """Return the value of a parameter, or the default."""
        self._known.append(name)
        if (value := self._values.pop(name, None)) is None:
            return default
        try:
            return read(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f'the parameter "{name}": {reason}') from None
        except ValueError as error:
            raise ValueError(f'the parameter "{name}": {error}') from None

    def end(self) -> None:
        """Refuse parameters that were not read."""
        for name in self._values:
            close = difflib.get_close_matches(name, self._known, n=1)
            hint = f'did you mean "{close[0]}"?' if close else f"known: {', '.join(self._known)}"
            raise ValueError(f'{self._kind} has no parameter "{name}"; {hint}')


def _size_or_percent(text: str) -> tuple[int | None, float]:
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        if not 0 < float(text) <= 100:
            raise ValueError(
                f'found "{text}", expected a percentage of 1 to 100, or a size such as "256MiB"'
            )
        return None, float(text)
    return _limit(text), 100.0


def _limit(text: str) -> int | None:
    size = _sizes.validate_python(text)
    if size < SMALLEST:
        raise ValueError(f'found "{text}", expected at least 1MiB')
    return size


def _mode(text: str) -> bool:
    if (mode := text.lower()) not in ("normal", "compact"):
        raise ValueError(f'found "{text}", expected "Normal" or "Compact"')
    return mode == "compact"


def _duration(text: str) -> float:
    return _durations.validate_python(text)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError(f'found "{text}", expected a number')
    return int(text)


def _levels(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-3](:[1-3])?", text):
        raise ValueError(f'found "{text}", expected one or two numbers of 1 to 3, such as "1:2"')
    return tuple(map(int, text.split(":")))
