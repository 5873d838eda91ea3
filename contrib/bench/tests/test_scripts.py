"""The scripts of the bench start: they use the core's inner parts, which change."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1]
COMMANDS = sorted(path.name for path in BENCH.glob("*.py") if "ArgumentParser(" in path.read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_starts(name: str) -> None:
    command = [sys.executable, str(BENCH / name), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")


@pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed")
def test_the_data_path_takes_a_request_of_each_kind() -> None:
    """In memory: a code that is counted has been executed."""
    command = [sys.executable, str(BENCH / "data_path.py"), "--codes"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    counted = [int(line.split()[-3]) for line in done.stdout.splitlines() if "byte codes" in line]
    assert len(counted) == 4
    assert min(counted) > 300
