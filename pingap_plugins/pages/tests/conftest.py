"""What these tests share: a directory with pages, and a way to wait."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # at the end: no module of other tests is hidden by it


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "404.html").write_text("<h1>Nothing here \N{LATIN SMALL LETTER E WITH ACUTE}</h1>")
    (folder / "50x.html").write_text("<p>{{status}} {{reason}}: {{content}} {{request_id}}</p>")
    (folder / "error.json").write_text('{"code": {{status}}, "text": "{{content}}"}')
    return folder
