"""The text of a TOML document without its secrets; everything else stays as it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pingap.config.changes import PluginModels, models_of
from pingap.config.editing.values import same, written_value
from pingap.config.formats.toml import TOML
from pingap.config.masking import Models, masked, redacted
from pingap.config.merge import Table
from pingap.config.model import SECTIONS
from pingap.config.positions import statements
from pingap.config.problem import KeyPath


def masked_text(text: str, directory: Path, models: PluginModels) -> str:
    """Return a text in which the values of secrets are replaced.

    :param directory: the base of relative paths.
    :param models: name of a plugin -> the models of its settings. Where a model is missing, the names of keys decide.
    :raises FormatError: the text is not TOML.
    """
    data = TOML.parse(text)
    shown = {
        section: _section(section, found, directory, models) for section, found in data.items()
    }
    parts, at = [], 0
    for one in statements(text):
        parts.append(redacted(text[at : one.start]))  # comments
        value, hidden = _at(data, one.path), _at(shown, one.path)
        if one.is_header or same(value, hidden):
            parts.append(text[one.start : one.end])
        else:
            parts += [text[one.start : one.value], written_value(hidden)]
        at = one.end
    return "".join([*parts, redacted(text[at:])])


def _section(section: str, found: Any, directory: Path, models: PluginModels) -> Any:
    if section == "basic" and isinstance(found, dict):
        return _table(section, found, models_of(models, section, ""), directory)
    if section not in SECTIONS or not isinstance(found, dict):
        return found
    return {
        name: _table(section, table, models_of(models, section, name), directory)
        if isinstance(table, dict)
        else table
        for name, table in found.items()
    }


def _table(section: str, table: Table, models: Models, directory: Path) -> Table:
    return {key: masked(section, key, value, models, directory) for key, value in table.items()}


def _at(data: Any, path: KeyPath) -> Any:
    """Return the value at a path; where a whole value was replaced, what replaced it."""
    found = data
    for key in path:
        if not isinstance(found, dict | list):
            return found
        found = found[key]  # type: ignore[index]
    return found
