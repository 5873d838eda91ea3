"""What the README says is true."""

from __future__ import annotations

import re
from pathlib import Path

from pingap.testing import configuration_problems

from {{ cookiecutter.__package }}.plugin import {{ cookiecutter.__class }}

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_configuration_is_valid() -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert configuration_problems(toml) == []


def test_the_settings_are_those_of_the_class() -> None:
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert told == list({{ cookiecutter.__class }}.Settings.model_fields)
