"""Makes ``store_tools`` importable, which these tests share."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def logs_propagate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``caplog`` see the log; a proxy that ran in this process before has logged elsewhere."""
    monkeypatch.setattr(logging.getLogger("pingap"), "propagate", True)
