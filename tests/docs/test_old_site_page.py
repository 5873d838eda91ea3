"""The walk through wrapping an old site: done as the page says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from docs.blocks import DOCS
from docs.walkthrough import Walkthrough


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_the_old_site_looks_new(tmp_path: Path) -> None:
    with Walkthrough(DOCS / "old-site.md", tmp_path) as reader:
        assert reader.walk() == 6
