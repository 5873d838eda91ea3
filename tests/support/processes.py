"""Scripts that run in a process of their own: for what pingap does before it serves, and to processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def start(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start a Python script; what it prints can be read."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},  # type: ignore[call-overload]
    )


def run(code: str, *arguments: object, **options: object) -> tuple[int, str, str]:
    """Run a Python script to its end; return exit code, output and errors."""
    with start(code, *arguments, **options) as process:
        out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def is_running(pid: int) -> bool:
    """Tell whether a process exists and has not ended (a zombie has)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
