"""Loading a plugin file, and loading it again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pingap.plugins.local import LocalPluginError, find_class, load_module, module_name

PLUGIN = "from pingap import *\nclass Here(Plugin):\n    answer = {}\n"


def test_a_file_that_changed_is_loaded_anew(tmp_path: Path) -> None:
    file = tmp_path / "here.py"
    file.write_text(PLUGIN.format(1))
    first = find_class(load_module(file))
    file.write_text(PLUGIN.format(2))
    second = find_class(load_module(file))
    assert (first.answer, second.answer) == (1, 2)  # type: ignore[attr-defined]
    assert first.category == "python"


def test_a_file_that_fails_leaves_what_was_loaded(tmp_path: Path) -> None:
    file = tmp_path / "here.py"
    file.write_text(PLUGIN.format(1))
    module = load_module(file)
    file.write_text(PLUGIN.format("1 / 0"))
    with pytest.raises(LocalPluginError) as caught:
        load_module(file)
    assert caught.value.line == 3
    assert sys.modules[module.__name__] is module


def test_a_file_that_failed_at_first_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "here.py"
    file.write_text("1 / 0")
    with pytest.raises(LocalPluginError):
        load_module(file)
    assert module_name(file) not in sys.modules


def test_files_of_one_name_do_not_clash_with_each_other_or_a_module(tmp_path: Path) -> None:
    classes = []
    for place in ("a", "b"):
        file = tmp_path / place / "json.py"
        file.parent.mkdir()
        file.write_text(PLUGIN.format(repr(place)) + "import json\nassert json.loads\n")
        classes.append(find_class(load_module(file)))
    assert [cls.answer for cls in classes] == ["a", "b"]  # type: ignore[attr-defined]
    assert classes[0].__module__ != classes[1].__module__


def test_a_plugin_that_was_imported_is_not_defined_here(tmp_path: Path) -> None:
    file = tmp_path / "here.py"
    file.write_text("from pingap_basics.ping import Ping\nclass Mine(Ping):\n    pass\n")
    with pytest.raises(LocalPluginError, match='"path" cannot be a setting'):
        find_class(load_module(file))
    file.write_text(PLUGIN.format(1) + "from pingap_basics.ping import Ping\nAlso = Here\n")
    assert find_class(load_module(file)).__name__ == "Here"
