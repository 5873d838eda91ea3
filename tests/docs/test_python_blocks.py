"""Plugins that the manual shows are as well typed and formatted as those of a good distribution."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from docs.blocks import Block, blocks

PLUGINS = [block for block in blocks("python") if block.file and "test_" not in block.file]


@pytest.mark.timeout(180)  # mypy checks pingap and its libraries without a cache
def test_plugins_are_typed(tmp_path: Path) -> None:
    names = []
    for block in PLUGINS:
        name = Path(block.file).name
        if name in names:  # (several pages have a shop.py)
            name = f"{block.page.stem.replace('-', '_')}_{name}"
        (tmp_path / name).write_text(block.text)
        names.append(name)
    assert len(set(names)) == len(names) > 15
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", PLUGINS, ids=str)
def test_a_plugin_is_formatted(block: Block) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length=100", "--isolated", "--diff", "-"],
        input=block.text.rstrip("\n") + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
