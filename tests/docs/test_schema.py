"""Every configuration in the manual fits the schema that ``pingap schema`` prints."""

from __future__ import annotations

import re

import pytest
import tomli
from docs.blocks import DOCS, Block
from docs.conftest import registry_with, write_examples
from docs.test_toml_blocks import CONFIGURATIONS
from jsonschema import Draft202012Validator

from pingap.cli.commands import COMMANDS
from pingap.inspection.json_schema import json_schema


@pytest.fixture(scope="module")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Draft202012Validator:
    """The schema, made once: it takes as long as all blocks."""
    with pytest.MonkeyPatch.context() as patch:
        examples = write_examples(tmp_path_factory.mktemp("schema") / "examples")
        schema, failures = json_schema(registry_with(examples, patch))
    assert failures == []
    return Draft202012Validator(schema)


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=str)
def test_a_block_fits_the_schema(block: Block, validator: Draft202012Validator) -> None:
    found = validator.iter_errors(tomli.loads(block.text))
    assert [(one.json_path, one.message) for one in found] == []


def test_every_command_is_documented() -> None:
    rows = re.findall(r"^\| \[`pingap (\S+)`\]\(", (DOCS / "tools.md").read_text(), re.MULTILINE)
    assert sorted(rows) == list(COMMANDS)
