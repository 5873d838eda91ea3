"""The memory usage of a process."""

from __future__ import annotations

import os
from pathlib import Path


def resident_memory(pid: int) -> int | None:
    """Return the resident memory of a process in bytes; None if the system does not report it (no ``/proc``)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
