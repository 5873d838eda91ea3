"""Checks a configuration in a separate process.

Building runs the ``__init__`` of plugins, loads their files and compiles regular expressions. In a separate
process, none of this can delay requests, change the modules of the worker or leak memory, and a check
that hangs can be killed. The cost is the start of a Python process.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from typing import Any, Final, NoReturn

import anyio

from pingap.build.check import check
from pingap.build.registry import installed_registry
from pingap.config import Problem, Snapshot
from pingap.config.snapshot import read_problem, written
from pingap.host.parent_death import end_with_parent
from pingap.plugins.registry import PluginLoadError

_COMMAND: Final = (sys.executable, "-m", "pingap.worker.check_process")


async def check_in_process(
    snapshot: Snapshot, log_target: str, seconds: float, command: tuple[str, ...] = _COMMAND
) -> list[Problem]:
    """Return the errors of a configuration, or its warnings.

    :param log_target: the value of ``--log``.
    :param seconds: time limit.
    """
    question = {
        "snapshot": snapshot.to_bytes().decode(),
        "log": log_target,
        "path": sys.path,
        "parent": os.getpid(),
    }
    data = json.dumps(question).encode()
    try:
        with anyio.fail_after(seconds):
            done = await anyio.run_process(command, input=data, stderr=None, check=False)
    except TimeoutError:
        return [Problem((), f"checking it took longer than {seconds:g} s: does a plugin hang?")]
    except OSError as error:
        return [Problem((), f"it cannot be checked: {error.strerror or error}")]
    if done.returncode:
        return [Problem((), f"checking it ended {_how(done.returncode)}")]
    try:
        return [read_problem(one) for one in json.loads(done.stdout)]
    except (ValueError, TypeError):
        return [Problem((), "checking it gave no answer: does a plugin end the process?")]


def _how(code: int) -> str:
    """Return how a process ended."""
    if code > 0:
        return f"with exit code {code}"
    return f"by {signal.Signals(-code).name}: does a plugin crash?"


def main() -> None:
    """Answer the request on standard input."""
    gc.disable()
    question = json.load(sys.stdin)
    end_with_parent(question["parent"])
    sys.path[:] = question["path"]
    _find_who_exits()
    answer = os.dup(1)
    os.dup2(2, 1)  # keeps the output of plugins out of the answer
    found = _problems(question)
    with os.fdopen(answer, "w") as out:
        json.dump([written(one) for one in found], out)


def _find_who_exits() -> None:
    """Have ``os._exit`` raise an error, so that the plugin which calls it is named; not in its own children."""
    end, own = os._exit, os.getpid()

    def exit_with(status: int) -> NoReturn:
        if os.getpid() != own:
            end(status)
        raise RuntimeError(f"it ends the process: os._exit({status!r})")

    os._exit = exit_with


def _problems(question: dict[str, Any]) -> list[Problem]:
    try:
        snapshot = Snapshot.from_bytes(question["snapshot"].encode())
        return check(snapshot, installed_registry(), question["log"])
    except PluginLoadError as error:
        return [Problem((), str(error))]
    except Exception as error:  # a bug, perhaps in a plugin
        return [Problem((), f"{type(error).__name__}: {error}")]


if __name__ == "__main__":
    main()
