"""Shared state between real processes, which are killed with SIGKILL."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from support import shared_workers


def workers(*arguments: str) -> Any:
    """Run a program that forks workers; return what it tells."""
    program = Path(shared_workers.__file__)
    done = run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("arguments", [[], ["without_memfd"]])
def test_totals_are_exact_when_all_hammer_the_same_keys(arguments: list[str]) -> None:
    found = workers("exact", *arguments)
    rounds = found["rounds"]
    assert found["counters"] == 3 * rounds
    assert found["gauges"] == found["windows"] == rounds
    assert found["table"] == rounds / 5
    kinds = ("counters", "gauges", "windows", "tables", "values", "locks")
    assert [found["used"][kind] for kind in kinds] == [52, 51, 50, 10, 50, 0]
    assert found["quotas"] == rounds
    assert (found["taken"], found["too many"]) == (50, 0)
    assert found["added"] == 50
    assert found["locked"] == rounds // 50


@pytest.mark.timeout(120)
def test_killed_workers_neither_block_others_nor_leave_half_a_record() -> None:
    found = workers("kills", "3")
    assert found["killed"] > 10
    assert found["evictions"]["windows"] > 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("operation", sorted(shared_workers.OPERATIONS))
def test_a_worker_may_be_killed_at_every_point(operation: str) -> None:
    assert workers("every_change", operation)["points"] >= 6
