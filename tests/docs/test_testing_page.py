"""The tests that the manual shows pass, run by pytest as a reader would run them."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.blocks import DOCS, blocks, shown_file

from pingap import testing

pytest_plugins = ["pytester"]

PAGES = ["testing.md", "writing-a-plugin.md"]
SHOWN = [(page, block.file) for page in PAGES for block in blocks("python", DOCS / page)]
TESTS = [(page, file) for page, file in SHOWN if file.startswith("test_")]


@pytest.fixture
def beside(pytester: pytest.Pytester, examples: Path) -> pytest.Pytester:
    """A folder with the plugins of the manual in it."""
    for module in examples.glob("*.py"):
        (pytester.path / module.name).write_text(module.read_text())
    return pytester


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_of_the_manual_pass(beside: pytest.Pytester, page: str) -> None:
    count = 0
    for name in [file for where, file in TESTS if where == page]:
        text = shown_file(page, name)
        (beside.path / name).write_text(text)
        count += text.count("def test_")
    assert count
    beside.runpytest_subprocess("-q", "-W", "error").assert_outcomes(passed=count)


def test_every_block_of_the_page_is_a_test() -> None:
    assert [file for page, file in SHOWN if page == "testing.md" and not file] == []


@pytest.mark.parametrize("name", testing.__all__)
def test_public_name_exists_and_is_documented(name: str) -> None:
    assert getattr(testing, name).__doc__
    assert f"::: pingap.testing.{name}\n" in (DOCS / "testing.md").read_text()
