"""A proxy of the tests that does not start in time, as on a busy machine, leaves nothing behind."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from support.process import Process

TOML = """
[servers.web]
addr = "127.0.0.1:0"
"""


def processes(folder: Path) -> list[str]:
    """Return the command lines of processes that name a folder."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = one.read_text()
        except OSError:  # it has ended meanwhile
            continue
        if str(folder) in text:
            found.append(text)
    return found


def test_a_proxy_that_does_not_start_in_time_is_ended(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Process(TOML, tmp_path, start_seconds=0)
    assert processes(tmp_path) == []
    gc.collect()  # (a pipe or process that was left would be a ResourceWarning, which is an error)
