"""Checking a configuration in another process: what comes back, and what may go wrong there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio
from support.local_plugin import local_plugin

from pingap.config import Problem, Snapshot
from pingap.worker.check_process import check_in_process

VALID = local_plugin()
PLUGIN = """
from pingap import Plugin, Response, hookimpl
print("a plugin that prints")
class Local(Plugin):
    def __init__(self, settings):
        {}
    @hookimpl
    def request(self):
        return Response(200)
"""


def check(folder: Path, code: str, seconds: float = 60) -> list[Problem]:
    """Check a configuration with a plugin whose ``__init__`` has some code."""
    (folder / "local.py").write_text(PLUGIN.format(code))
    snapshot = Snapshot.of_text(VALID, "x.toml", folder)
    return anyio.run(check_in_process, snapshot, "", seconds)


def test_what_plugins_print_does_not_matter(tmp_path: Path) -> None:
    assert check(tmp_path, "print('more')") == []


def test_what_a_plugin_refuses_is_a_problem(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, "raise ValueError('no such shelf')")
    assert "no such shelf" in problem.message
    assert (problem.file, problem.line) == ("x.toml", 2)


def test_a_process_that_ends_is_a_problem(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, "import os; os._exit(3)")
    assert problem.message == "checking it ended with exit code 3"


def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    (problem,) = check(tmp_path, "import time; time.sleep(100)", 5)
    assert "longer than 5 s" in problem.message
    assert time.monotonic() - began < 60


def test_a_process_that_cannot_start_is_a_problem() -> None:
    command = (f"{sys.executable}-none",)
    (problem,) = anyio.run(check_in_process, Snapshot(), "", 5.0, command)
    assert problem.message == "it cannot be checked: No such file or directory"
