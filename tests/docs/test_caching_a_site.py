"""The page about caching a site: done from its first line to its last."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from docs.blocks import DOCS
from docs.walkthrough import Walkthrough


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl")
def test_a_site_is_cached_as_the_page_says(tmp_path: Path) -> None:
    with Walkthrough(DOCS / "caching-a-site.md", tmp_path) as reader:
        assert reader.walk() > 8
