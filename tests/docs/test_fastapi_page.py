"""The walk with a FastAPI application: done as the page says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from docs.blocks import DOCS
from docs.walkthrough import Walkthrough


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_an_application_works_as_the_page_says(tmp_path: Path) -> None:
    with Walkthrough(DOCS / "fastapi-app.md", tmp_path) as reader:
        assert reader.walk() == 5
