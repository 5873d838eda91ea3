"""What the operating system tells."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pingap_basics import machine

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A system that has no /proc."""
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    _forget()
    yield
    _forget()


def _forget() -> None:
    machine.physical_cpus.cache_clear()
    machine.started_at.cache_clear()


def test_process_began_in_the_past() -> None:
    began = machine.started_at(os.getpid())
    assert time.time() - 86400 < began < time.time()
    assert machine.started_at(os.getpid()) == began


@linux
def test_linux_tells_everything() -> None:
    assert 0 < (machine.memory() or 0) < (machine.total_memory() or 0)
    assert 0 < (machine.used_memory() or 0) < (machine.total_memory() or 0)
    assert machine.cpus() >= 1
    assert (machine.physical_cpus() or 1) >= 1  # unknown on machines without that concept
    assert machine.threads() >= 1


@linux
def test_open_files_are_counted() -> None:
    before = machine.open_files()
    assert before is not None
    with Path(__file__).open():
        assert machine.open_files() == before + 1


@pytest.mark.usefixtures("without_proc")
def test_without_proc_what_is_known_is_told() -> None:
    assert machine.started_at(os.getpid()) <= time.time()
    assert (machine.memory() or 0) > 0
    assert machine.threads() >= 1
    assert machine.cpus() >= 1
    assert machine.used_memory() is None
    assert machine.physical_cpus() is None
    assert machine.tcp_sockets() is None
    assert machine.tcp6_sockets() is None


CPUINFO = """processor	: 0
physical id	: 0
siblings	: 2
core id		: 0

processor	: 1
physical id	: 0
siblings	: 2
core id		: 0

processor	: 2
physical id	: 1
siblings	: 2
core id		: 0
"""


@pytest.mark.usefixtures("without_proc")
def test_threads_of_one_core_count_once(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    assert machine.physical_cpus() == 2
