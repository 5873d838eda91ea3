"""Blocks signals during the start, so that an early one is handled later instead of ending the process.

This is imported before everything else: the remaining imports take longer than a script that starts
pingap may take to send its first signal. Python ignores SIGPIPE, and SIGCHLD is harmless.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

HELD: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)


def hold_signals() -> None:
    """Block these signals; call this before the process has threads."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def release_signals() -> None:
    """Unblock them; pending signals are delivered."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def is_the_command() -> bool:
    """Return whether this process is ``pingap`` or ``python -m pingap``, not a program that imports it."""
    if sys.argv[:1] == ["-m"]:  # while Python searches for the module
        arguments = sys.orig_argv
        return (
            "pingap" in arguments[arguments.index("-m") + 1 :][:1] if "-m" in arguments else False
        )
    return bool(sys.argv) and os.path.basename(sys.argv[0]) == "pingap"  # noqa: PTH119 - pathlib is slow to import
