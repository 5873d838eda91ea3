"""Hides secrets in the arguments that ``ps`` shows to every user of the machine (Linux).

The kernel shows the memory in which it passed the arguments; other systems keep a copy that cannot be
changed. Between the start of the process and this call, they can be seen.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_ARG_START: Final = 47
"""Position of the address in ``/proc/PID/stat``, counted from 0 (proc(5))."""


def hide_arguments(secrets: Iterable[str]) -> None:
    """Replace secrets in the arguments of this process with ``*``; elsewhere than on Linux, do nothing.

    :param secrets: texts as they are in the arguments.
    """
    hidden = [os.fsencode(secret) for secret in secrets if secret]
    if not hidden:
        return
    try:
        shown = Path("/proc/self/cmdline").read_bytes()
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:  # another system, or /proc is not mounted
        return
    start = int(fields[_ARG_START - 2])  # the first two are before the parenthesis
    for secret in hidden:
        at = shown.find(secret)
        while start and at >= 0:
            ctypes.memset(start + at, ord("*"), len(secret))
            at = shown.find(secret, at + len(secret))
