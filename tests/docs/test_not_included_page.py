"""The page "What pingap does not do": its keys are errors that point to it."""

from __future__ import annotations

import re

import pytest
from docs.blocks import DOCS

from pingap.config.not_included import _PATTERNS, not_included
from pingap.testing import configuration_problems

PAGE = (DOCS / "not-included.md").read_text()
ROWS = re.findall(r"^\| (?!pingap|---)(.+?) \| (.+?) \| .+ \|$", PAGE, re.MULTILINE)
KEYS = [key for _, keys in ROWS for key in re.findall(r"`(\w+)`", keys)]
TABLES = ("stream", "udp", "mail", "imap", "smtp")


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_the_page_is_an_error_that_points_to_it(key: str) -> None:
    at_location = f'[locations.a]\nplugins = ["pingap:ping"]\n{key} = "127.0.0.1:9000"\n'
    [problem] = configuration_problems(at_location)
    assert problem.startswith(f"pingap.toml:3: locations.a.{key}: unknown key; pingap "), problem
    assert '"What pingap does not do" in the manual' in problem


@pytest.mark.parametrize("key", ["quic", "limit_rate", "fastcgi_pass"])
def test_so_are_keys_of_servers(key: str) -> None:
    toml = f'[servers.a]\naddr = "127.0.0.1:0"\n{key} = true\n'
    assert any("What pingap does not do" in problem for problem in configuration_problems(toml))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_page_is_an_error_that_points_to_it(name: str) -> None:
    [problem] = configuration_problems(f"[{name}.a]\naddr = 1\n")
    assert problem.startswith(f"pingap.toml:1: {name}: unknown table; pingap "), problem


def test_everything_with_a_hint_is_on_the_page() -> None:
    assert len(ROWS) == len(_PATTERNS)
    found = {not_included(key) for key in KEYS}
    assert "" not in found
    assert len(found) == len(_PATTERNS)
