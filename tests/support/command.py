"""Running the command to its end: as a process, and inside this one."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from pingap.cli.main import command
from support.plugins import installed


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


def invoke(*arguments: object, cwd: Path | None = None, **env: str) -> tuple[int, str, str]:
    """Run the command without a process of its own: faster. Takes and returns what ``run`` does."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in [name for name in os.environ if name.startswith("PINGAP_")]:
            patch.delenv(name)
        path = env.pop("PYTHONPATH", "")
        for name, value in {"NO_COLOR": "1", **env}.items():
            patch.setenv(name, value)
        for folder in filter(None, path.split(os.pathsep)):
            stack.enter_context(installed(Path(folder)))
        if cwd is not None:
            patch.chdir(cwd)
        return _called(list(map(str, arguments)))


def _called(arguments: list[str]) -> tuple[int, str, str]:
    # Files, because a log goes to the number of the standard error.
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            command(arguments, prog_name="pingap")
        out.seek(0)
        err.seek(0)
        return int(ended.value.code or 0), out.read(), err.read()
