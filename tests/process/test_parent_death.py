"""A worker ends when its supervisor does."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from support.processes import is_running, start
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can signal this")

SUPERVISOR = """
import os, signal, sys
from pingap.host.parent_death import end_with_parent
parent = os.getpid()
if not os.fork():
    signal.alarm(30)
    {before}
    print(end_with_parent(parent), os.getpid(), flush=True)
    {after}
    signal.pause()
signal.alarm(30)
signal.pause()
"""


def supervisor(before: str = "", after: str = "") -> tuple[str, int]:
    """Start a supervisor with a worker and kill it; return what the worker said and its pid."""
    with start(SUPERVISOR.format(before=before, after=after)) as process:
        assert process.stdout is not None
        said, pid = process.stdout.readline().split()
        assert is_running(int(pid))
        process.kill()
        return said, int(pid)


def test_the_worker_ends_with_a_supervisor_that_is_killed() -> None:
    said, pid = supervisor()
    assert said == "True"
    until(lambda: not is_running(pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_it_is_set_after_the_switch_of_the_user() -> None:
    _, pid = supervisor(before="os.setuid(65534)")
    until(lambda: not is_running(pid))


def test_a_supervisor_that_ended_before_is_noticed() -> None:
    # The parent waits for the worker's word; the worker gives the id of a process that is none.
    code = """
import signal
from pingap.host.parent_death import end_with_parent
signal.alarm(30)
end_with_parent(2**22 + 1, signal.SIGTERM)
signal.pause()
"""
    with start(code) as process:
        assert process.wait(20) == -signal.SIGTERM
