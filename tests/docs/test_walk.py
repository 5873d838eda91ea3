"""The walks through the code in CONTRIBUTING.md: every file, function and line that they name exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from docs.blocks import ROOT

_ROW = re.compile(r"\| `(?P<file>[^`]+)` \| (?P<names>[^|]+) \| (?P<line>[^|]+) \|")
_WALKS = (ROOT / "CONTRIBUTING.md").read_text().split("| File | Look for | Line |")[1:]


def _defined(node: ast.AST, prefix: str = "") -> Iterator[str]:
    """Yield the functions, classes and methods of a module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + child.name
            yield from _defined(child, f"{prefix}{child.name}.")


@pytest.mark.parametrize("walk", _WALKS, ids=("location", "plugin"))
def test_a_walk_is_short_and_true(walk: str) -> None:
    rows = list(_ROW.finditer(walk))
    assert 3 < len(rows) < 10
    for row in rows:
        text = (ROOT / row["file"]).read_text()
        quoted = re.fullmatch(r"`([^`]+)`", row["line"])
        if quoted is not None:
            assert quoted[1] in text, row[0]
        names = set(re.findall(r"`([^`]+)`", row["names"]))
        if row["file"].endswith(".py"):
            assert names, row[0]
            assert names <= set(_defined(ast.parse(text))), row[0]


def test_there_are_two_walks() -> None:
    assert len(_WALKS) == 2
