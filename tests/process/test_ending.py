"""How processes ended, told of real ones."""

from __future__ import annotations

import signal
import sys

import pytest
from support.processes import start

from pingap.supervisor.ending import ending

NO_CORE = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); import os, sys;"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "exited with code 0"),
        ("sys.exit(3)", "exited with code 3"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("os.abort()", "was killed by SIGABRT"),
    ],
)
def test_words(code: str, words: str) -> None:
    assert ending(status_of(NO_CORE + code)) == words


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="there are no real-time signals")
def test_a_signal_without_a_name() -> None:
    number = signal.SIGRTMIN + 2
    code = f"os.kill(os.getpid(), {number})"
    assert ending(status_of(NO_CORE + code)) == f"was killed by signal {number}"


@pytest.mark.skipif(sys.platform != "linux", reason="the number of the bit")
def test_a_core_is_told() -> None:
    assert ending(signal.SIGSEGV | 0x80) == "was killed by SIGSEGV (core dumped)"


def status_of(code: str) -> int:
    """Run a script and return the status that ``os.wait`` has for it."""
    with start(code) as process:
        returned = process.wait(20)
    return -returned if returned < 0 else returned << 8
