"""Checking a configuration in another process: what comes back, and what may go wrong there."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio
import pytest
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


@pytest.mark.parametrize("code", ["import os; os._exit(0)", "from os import _exit; _exit(3)"])
def test_a_plugin_that_ends_the_process_is_named(tmp_path: Path, code: str) -> None:
    (problem,) = check(tmp_path, code)
    assert (problem.file, problem.line) == ("x.toml", 2)
    assert "it ends the process: os._exit(" in problem.message
    assert "local.py:6" in problem.message


def test_a_child_of_a_plugin_may_end(tmp_path: Path) -> None:
    code = "import os; child = os.fork() or os._exit(0); assert os.waitpid(child, 0)[1] == 0"
    assert check(tmp_path, code) == []


END = "import ctypes; ctypes.CDLL(None)._exit({})"
CRASH = "import os; os.kill(os.getpid(), 11)"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (END.format(0), "checking it gave no answer: does a plugin end the process?"),
        (END.format(3), "checking it ended with exit code 3"),
        (CRASH, "checking it ended by SIGSEGV: does a plugin crash?"),
    ],
)
def test_a_process_that_ends_without_an_answer_is_a_problem(
    tmp_path: Path, code: str, message: str
) -> None:
    (problem,) = check(tmp_path, code)
    assert problem.message == message


def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    (problem,) = check(tmp_path, "import time; time.sleep(100)", 5)
    assert "longer than 5 s" in problem.message
    assert time.monotonic() - began < 60


def test_a_process_that_cannot_start_is_a_problem() -> None:
    command = (f"{sys.executable}-none",)
    (problem,) = anyio.run(check_in_process, Snapshot(), "", 5.0, command)
    assert problem.message == "it cannot be checked: No such file or directory"
