"""Every configuration in the manual fits the schema that ``pingap schema`` prints."""

from __future__ import annotations

import re

import pytest
import tomli
from docs.blocks import DOCS, Block
from docs.test_toml_blocks import CONFIGURATIONS
from jsonschema import Draft202012Validator

from pingap.cli.commands import COMMANDS
from pingap.inspection.json_schema import json_schema
from pingap.plugins.registry import Registry


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=str)
def test_a_block_fits_the_schema(block: Block, registry: Registry) -> None:
    schema, failures = json_schema(registry)
    assert failures == []
    found = Draft202012Validator(schema).iter_errors(tomli.loads(block.text))
    assert [(one.json_path, one.message) for one in found] == []


def test_every_command_is_documented() -> None:
    headings = re.findall(r"^## pingap (\S+)$", (DOCS / "tools.md").read_text(), re.MULTILINE)
    assert sorted(headings) == list(COMMANDS)
