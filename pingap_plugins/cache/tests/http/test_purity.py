"""The decisions do no IO and know no clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pingap_cache.http
import pytest

MODULES = sorted(Path(pingap_cache.http.__file__).parent.glob("*.py"))
FORBIDDEN = {"asyncio", "anyio", "socket", "ssl", "time", "os", "random", "secrets", "pathlib", "pickle", "threading"}  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
        )
    }
    assert not imported & FORBIDDEN
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    nows = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and n.attr in ("now", "utcnow", "today")
    ]
    assert not nows
