"""The commands that the manual shows for new plugins do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from docs.blocks import DOCS, blocks
from support.command import invoke

from pingap.cli.commands.new_plugin import command

PAGE = DOCS / "new-plugin.md"
SHOWN = [
    line
    for page in (PAGE, DOCS / "tools.md")
    for block in blocks("sh", page)
    for line in block.text.splitlines()
    if line.startswith("pingap new-plugin")
]


@pytest.mark.parametrize("line", SHOWN)
def test_command_makes_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir()
    assert invoke(*shlex.split(line)[1:])[0] == 0
    assert len([*tmp_path.rglob("pyproject.toml")]) == 1


def test_files_are_those_that_are_shown(tmp_path: Path) -> None:
    (tree,) = blocks("text", PAGE)
    folder, *shown = tree.text.split()
    invoke(*shlex.split(SHOWN[0])[1:], "--into", tmp_path)
    root = tmp_path / folder
    made = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    assert sorted(made) == shown


def test_steps_are_those_that_the_command_tells(tmp_path: Path) -> None:
    _, out, _ = invoke(*shlex.split(SHOWN[0])[1:], "--into", tmp_path)
    told = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    (steps,) = [block.text for block in blocks("sh", PAGE) if block.text.startswith("cd ")]
    assert steps.splitlines()[1:] == told[1:]


def test_every_option_is_in_the_table() -> None:
    options = [one.opts[0] for one in command.params if isinstance(one, click.Option)]
    table = PAGE.read_text()
    rows = "".join(re.findall(r"^\| .*? \|", table, re.MULTILINE))
    assert [option for option in options if f"`{option}`" not in rows] == []
