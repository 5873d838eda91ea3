"""What the tests of the cache share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it


@pytest.fixture(params=["memory", "disk"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """Settings of a cache in memory, and of one on a disk."""
    return {} if request.param == "memory" else {"directory": str(tmp_path / "cache")}
