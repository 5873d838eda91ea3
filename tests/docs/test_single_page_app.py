"""The page about a single-page app: done from its first line to its last."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from docs.blocks import DOCS
from docs.walkthrough import Walkthrough


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_an_app_is_served_as_the_page_says(tmp_path: Path) -> None:
    with Walkthrough(DOCS / "single-page-app.md", tmp_path) as reader:
        assert reader.walk() > 5
