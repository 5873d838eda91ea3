"""What holds for the tests of every distribution."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# How long one example takes depends on what else the machine does; pytest's own limit is for what hangs.
settings.register_profile("without_deadline", settings(deadline=None))
settings.load_profile("without_deadline")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the processes of ``-n auto``: twice the cores, because the tests wait longer than they compute."""
    if hasattr(os, "sched_getaffinity"):
        return 2 * len(os.sched_getaffinity(0))
    return 2 * (os.cpu_count() or 1)
