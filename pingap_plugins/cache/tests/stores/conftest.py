"""Makes ``store_tools`` importable, which these tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
