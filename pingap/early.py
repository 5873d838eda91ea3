"""Signals that come before pingap can obey them wait until it can, instead of ending the start.

This is imported before everything else, since the rest takes longer to import than a script that
starts pingap may take to send the first signal. Python itself takes care of SIGPIPE, and SIGCHLD ends
nobody.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

HELD: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)


def hold_signals() -> None:
    """Let these signals wait; to be called before the process has threads."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def release_signals() -> None:
    """Let them come, those that have waited as well."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def is_the_command() -> bool:
    """Tell whether this process is ``pingap`` or ``python -m pingap``, and not a program that imports it."""
    if sys.argv[:1] == ["-m"]:  # while Python looks for the module
        arguments = sys.orig_argv
        return (
            "pingap" in arguments[arguments.index("-m") + 1 :][:1] if "-m" in arguments else False
        )
    return bool(sys.argv) and os.path.basename(sys.argv[0]) == "pingap"  # noqa: PTH119 - pathlib is slow to import
