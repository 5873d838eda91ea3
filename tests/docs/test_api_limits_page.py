"""The walk through an API with limits: done as the page says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from docs.blocks import DOCS
from docs.walkthrough import Walkthrough


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_limits_work_as_the_page_says(tmp_path: Path) -> None:
    with Walkthrough(DOCS / "api-limits.md", tmp_path) as reader:
        assert reader.walk() == 8
