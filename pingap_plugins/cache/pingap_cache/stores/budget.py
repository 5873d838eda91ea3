"""How much memory a cache may take if nobody says so."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

SHARE: Final = 4
"""A quarter of what is available."""
FALLBACK: Final = 256 * 1024 * 1024
"""If the system does not say what is available."""
MOST: Final = 1024 * 1024 * 1024

_FILES: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_budget() -> int:
    """Return bytes for the memory stores of all workers together, at most 1 GiB.

    A quarter of the memory that is available to the system, or to the container if that is less.
    """
    available = [*_of_the_system(), *_of_the_container()]
    return min(min(available) // SHARE, MOST) if available else FALLBACK


def _of_the_system() -> list[int]:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return [int(line.split()[1]) * 1024]
    return []


def _of_the_container() -> list[int]:
    for path in _FILES:
        with suppress(OSError, ValueError):
            return [int(path.read_text())]  # "max": no limit
    return []
