"""Figures of this process and its machine, from the operating system.

Linux provides all of them, in ``/proc``. Elsewhere, ``None`` stands for figures that Python cannot determine
itself; nothing is estimated.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import threading
import time
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_IMPORTED_AT = time.time()


def _read(path: str) -> str:
    """Return the text of a file below ``/proc``, empty if there is none."""
    try:
        return (_PROC / path).read_text()
    except OSError:
        return ""


def _number(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text, re.MULTILINE)
    return int(match[1]) if match else None


def _kib(pattern: str, text: str) -> int | None:
    number = _number(pattern, text)
    return None if number is None else number * 1024


@cache
def started_at(pid: int) -> float:
    """Return the Unix time at which this process began (or nearly so, without ``/proc``).

    :param pid: the process itself, because a fork must not use the cached value of its parent.
    """
    # The name, in parentheses, may contain spaces; the field is the 20th after it (proc(5)).
    fields = _read(f"{pid}/stat").rpartition(")")[2].split()
    if sys.platform != "linux" or len(fields) < 20:
        return _IMPORTED_AT
    after_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - after_boot)


def cpus() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def physical_cpus() -> int | None:
    """Return the number of processor cores of the machine."""
    cores = re.findall(
        r"^physical id\s*: (\d+)$.*?^core id\s*: (\d+)$", _read("cpuinfo"), re.MULTILINE | re.DOTALL
    )
    return len(set(cores)) or None


def memory() -> int | None:
    """Return the memory usage of this process in bytes.

    Without ``/proc``, only its maximum so far is known.
    """
    if (resident := _kib(r"^VmRSS:\s*(\d+) kB", _read("self/status"))) is not None:
        return resident
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def total_memory() -> int | None:
    """Return the bytes of memory of the machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def used_memory() -> int | None:
    """Return the used memory of the machine in bytes, without caches."""
    text = _read("meminfo")
    total = _kib(r"^MemTotal:\s*(\d+) kB", text)
    free = _kib(r"^MemAvailable:\s*(\d+) kB", text)
    return None if total is None or free is None else total - free


def threads() -> int:
    """Return the number of threads; without ``/proc`` of those that Python started."""
    return _number(r"^Threads:\s*(\d+)", _read("self/status")) or threading.active_count()


def open_files() -> int | None:
    """Return the number of open file descriptors."""
    try:
        return len(os.listdir("/dev/fd")) - 1  # noqa: PTH208  # not the one that is open for this
    except OSError:
        return None


def tcp_sockets() -> int | None:
    """Return the number of TCP sockets over IPv4, of all processes of the network namespace."""
    return _number(r"^TCP: inuse (\d+)", _read("net/sockstat"))


def tcp6_sockets() -> int | None:
    """Return the number of TCP sockets over IPv6, of all processes of the network namespace."""
    return _number(r"^TCP6: inuse (\d+)", _read("net/sockstat6"))
