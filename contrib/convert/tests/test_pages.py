"""The examples of the manual are what the command makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.command import invoke

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("page", "language", "name"),
    [("from-nginx.md", "nginx", "site.conf"), ("from-caddy.md", "caddy", "Caddyfile")],
)
def test_examples(tmp_path: Path, page: str, language: str, name: str) -> None:
    text = (DOCS / page).read_text()
    found = re.search(rf"```{language}\n(.*?)```.*?```toml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    (tmp_path / name).write_text(found[1])
    assert invoke("convert", tmp_path / name) == (0, found[2], "")
    assert "not converted, and are listed" in text
