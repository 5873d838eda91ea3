"""Running the command to its end: as a process, and inside this one."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from pingap.cli.main import command


def run(*arguments: object, cwd: Path | None = None, **env: str) -> tuple[int, str, str]:
    """Run the program; return exit code, output and errors."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PINGAP_")}
    done = subprocess.run(
        [sys.executable, "-m", "pingap", *map(str, arguments)],
        env={**clean, "NO_COLOR": "1", **env},
        capture_output=True,
        text=True,
        timeout=40,
        cwd=cwd,
    )
    return done.returncode, done.stdout, done.stderr


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Run the command without a process of its own: faster. Returns what ``run`` does."""
    # Files, because a log goes to the number of the standard error.
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            command(list(map(str, arguments)), prog_name="pingap")
        out.seek(0)
        err.seek(0)
        return int(ended.value.code or 0), out.read(), err.read()
