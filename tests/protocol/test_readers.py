"""Which readers of plain heads a process uses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.readers import READERS

from pingap import __version__
from pingap.protocol import plain_heads, readers

SPEEDUPS = Path(__file__).parents[2] / "contrib" / "speedups" / "pingap_speedups"
PYTHON = (plain_heads.read_plain_request, plain_heads.read_plain_response)
READS = "def read_plain_request(data): ...\ndef read_plain_response(head): ...\n"


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a process that has not looked for them yet."""
    ours = [name for name in sys.modules if name.partition(".")[0] == "pingap_speedups"]
    saved = {name: sys.modules.pop(name) for name in ours}
    monkeypatch.delenv(readers.SWITCH, raising=False)
    yield
    sys.modules.pop("pingap_speedups", None)
    sys.modules.update(saved)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, not_imported: None) -> Path:
    """A module that is found as the compiled readers, whether there are any or not."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "pingap_speedups.py"


def test_those_of_the_same_version_are_used(installed: Path) -> None:
    installed.write_text(f"{READS}__version__ = {__version__!r}\n")
    chosen = readers.choose()
    assert [one.__module__ for one in chosen] == ["pingap_speedups"] * 2
    assert [one.__name__ for one in chosen] == ["read_plain_request", "read_plain_response"]


def test_those_of_another_version_are_not_used(installed: Path) -> None:
    installed.write_text(f"{READS}__version__ = '0.0.9'\n")
    with pytest.warns(RuntimeWarning, match=f"not used: its version is 0.0.9.* {__version__}"):
        assert readers.choose() == PYTHON


def test_those_that_cannot_be_imported_are_not_used(installed: Path) -> None:
    installed.write_text("import pingap_speedups_for_another_python\n")
    with pytest.warns(RuntimeWarning, match="pingap_speedups_for_another_python"):
        assert readers.choose() == PYTHON


def test_the_environment_switches_them_off(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.write_text("raise ValueError\n")
    monkeypatch.setenv(readers.SWITCH, "0")
    assert readers.choose() == PYTHON


@pytest.mark.usefixtures("not_imported")
def test_they_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert readers.choose() == PYTHON


def test_they_have_the_version_of_pingap() -> None:
    text = (SPEEDUPS / "__init__.py").read_text()
    assert re.findall(r'^__version__ = "(.*)"$', text, re.MULTILINE) == [__version__]


@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_process_uses_what_is_installed(switch: str) -> None:
    code = "from pingap.protocol.http1_request import read_plain_request as r; print(r.__module__)"
    environment = {**os.environ, readers.SWITCH: switch}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    compiled = "compiled" in READERS and switch != "0"
    used = "pingap_speedups" if compiled else "pingap.protocol.plain_heads"
    assert done.stdout.strip().startswith(used), done.stderr
