"""The key ``directory``: a URL that says where responses are kept, and how much."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from pydantic import TypeAdapter, ValidationError

from pingap import ByteSize, Duration

PAGE: Final = 4096
"""Bytes of a page, in which ``cache_file_max_weight`` counts."""
LARGEST_MEMORY: Final = 1024**3
"""Bytes that a memory store may have, if its ``max_size`` is given in bytes."""
FALLBACK_MEMORY: Final = 256 * 1024**2
"""The budget of memory where the available memory is not known."""
MEMORY_SHARE: Final = 4
"""The budget of memory is this part of the available memory: a quarter."""

_MEMORY: Final = "memory://"
_PERCENT: Final = re.compile(r"[0-9]{1,3}")
_LEVELS: Final = re.compile(r"([1-3])(?::([1-3]))?")
_SIZE: Final[TypeAdapter[int]] = TypeAdapter(ByteSize)
_DURATION: Final[TypeAdapter[float]] = TypeAdapter(Duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """What the key says. Sizes are bytes, times are seconds.

    :param path: the directory; None for memory only.
    :param max_size: bytes of the store; None: for memory the whole budget, for a disk no limit.
    :param percent: share of the budget of memory, in place of ``max_size``.
    :param compact: use less memory; purging by tag then looks at every entry.
    :param inactive: entries that were not used for so long are removed from the disk; 0 keeps them.
    :param reading_max: reads at the same time beyond which a lookup is a miss; 0 for no limit.
    :param writing_max: entries that may be written at the same time; 0 for no limit.
    :param cache_max: entries that are kept in memory, too; 0 for none.
    :param largest_in_memory: bytes of an entry from which on it is not kept in memory, too.
    :param levels: lengths of the names of nested directories.
    """

    path: Path | None = None
    max_size: int | None = None
    percent: int = 100
    compact: bool = False
    inactive: float = 48 * 3600.0
    reading_max: int = 10_000
    writing_max: int = 1_000
    cache_max: int = 0
    largest_in_memory: int = 256 * PAGE
    levels: tuple[int, ...] = ()

    @classmethod
    def check(cls, text: str) -> str:
        """Return the text, if ``parse`` reads it.

        :raises ValueError: it does not.
        """
        cls.parse(text)
        return text

    @classmethod
    def parse(cls, text: str) -> Directory:
        """Read the key.

        :raises ValueError: what is wrong with it.
        """
        place, _, query = text.partition("?")
        memory = not place or place.startswith(_MEMORY)
        if not memory and not place.startswith(("/", "~")):
            raise ValueError(f"{place!r:.80} is no absolute path, and not {_MEMORY}")
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError:
            raise ValueError(f"the parameters {query!r:.80} are not name=value&...") from None
        parameters = dict(pairs)
        if len(parameters) != len(pairs):
            raise ValueError("a parameter is given twice")
        known = _MEMORY_PARAMETERS if memory else _DISK_PARAMETERS
        for name in parameters:
            if name not in known:
                names = ", ".join(known)
                raise ValueError(f"there is no parameter {name!r:.40} (parameters: {names})")
        if memory:
            return _memory(parameters)
        return _disk(Path(place).expanduser(), parameters)


_MEMORY_PARAMETERS: Final = ("max_size", "mode")
_DISK_PARAMETERS: Final = (
    *("inactive", "reading_max", "writing_max", "cache_max", "cache_file_max_weight"),
    *("levels", "max_size"),
)


def _memory(given: dict[str, str]) -> Directory:
    mode = given.get("mode", "Normal")
    if mode not in ("Normal", "Compact"):
        raise ValueError(f"mode is Normal or Compact, not {mode!r:.40}")
    size = given.get("max_size", "100")
    compact = mode == "Compact"
    if _PERCENT.fullmatch(size):
        if not 1 <= int(size) <= 100:
            raise ValueError(f"max_size = {size} is a percentage; a size needs a unit: 64MiB")
        return Directory(percent=int(size), compact=compact)
    return Directory(max_size=min(_size("max_size", size), LARGEST_MEMORY), compact=compact)


def _disk(path: Path, given: dict[str, str]) -> Directory:
    levels = given.get("levels", "")
    found = _LEVELS.fullmatch(levels)
    if levels and found is None:
        raise ValueError(f"levels are one or two numbers from 1 to 3 (1:2), not {levels!r:.40}")
    return Directory(
        path=path,
        max_size=_size("max_size", given["max_size"]) if "max_size" in given else None,
        inactive=_seconds("inactive", given.get("inactive", "48h")),
        reading_max=_number("reading_max", given.get("reading_max", "10000")),
        writing_max=_number("writing_max", given.get("writing_max", "1000")),
        cache_max=_number("cache_max", given.get("cache_max", "0")),
        largest_in_memory=_number(
            "cache_file_max_weight", given.get("cache_file_max_weight", "256")
        )
        * PAGE,
        levels=tuple(int(one) for one in found.groups() if one) if found else (),
    )


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{name} is a number, not {text!r:.40}")
    return int(text)


def _size(name: str, text: str) -> int:
    try:
        size = _SIZE.validate_python(text)
    except ValidationError:
        raise ValueError(f"{name} is a size such as 64MiB, not {text!r:.40}") from None
    if not size:
        raise ValueError(f"{name} is larger than 0")
    return size


def _seconds(name: str, text: str) -> float:
    try:
        return _DURATION.validate_python(text)
    except ValidationError:
        raise ValueError(f"{name} is a duration such as 48h, not {text!r:.40}") from None


def memory_budget(directory: Directory, workers: int) -> int:
    """Return the bytes that one worker may use for a memory store.

    :param workers: among which the budget is divided, since each has a memory of its own.
    """
    if directory.max_size is not None and directory.path is None:
        return max(1, directory.max_size // workers)
    available = _available_memory()
    total = FALLBACK_MEMORY if available is None else available // MEMORY_SHARE
    return max(1, total * directory.percent // 100 // workers)


def _available_memory() -> int | None:
    """Return the bytes of memory that are available, or None if that is not known."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
