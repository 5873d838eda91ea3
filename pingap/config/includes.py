"""Expands ``includes``: the texts of storages overwrite the keys of an item (config.md, section 9).

The texts are joined in list order and parsed as one TOML table, as in pingap 0.13.9. Unlike there, a
missing storage or a text that does not parse is a problem.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pingap.config.environment import resolve_table
from pingap.config.formats.interface import FormatError
from pingap.config.formats.toml import TOML
from pingap.config.kinds import resolve_secret
from pingap.config.merge import Table
from pingap.config.positions import key_lines
from pingap.config.problem import KeyPath, did_you_mean, quoted
from pingap.config.sealed import unseal
from pingap.config.source import Report

SECTIONS_WITH_INCLUDES = ("servers", "locations", "upstreams")


def expand_includes(sections: dict[str, dict[str, Table]], report: Report) -> None:
    """Overwrite the keys of every item that has ``includes``, in place."""
    for section in SECTIONS_WITH_INCLUDES:
        for name, table in sections[section].items():
            if isinstance(table.get("includes"), list):
                sections[section][name] = _expanded(
                    table, (section, name), sections["storages"], report
                )


def _expanded(table: Table, path: KeyPath, storages: dict[str, Table], report: Report) -> Table:
    fragments = []
    for index, name in enumerate(table["includes"]):
        place = (*path, "includes", index)
        if not isinstance(name, str):
            continue  # reported by the model
        if name not in storages:
            hint = did_you_mean(name, storages)
            report.error(place, f"no storage block is named {quoted(name)}{hint}")
        elif isinstance(value := storages[name].get("value"), str):
            with suppress(ValueError):  # reported by the model of the storage
                text = resolve_secret(value, report.source.directory)
                secret = resolve_secret(_secret(storages[name]), report.source.directory)
                if (plain := _decrypted(name, text, secret, report)) is not None:
                    fragments.append(_Fragment(name, plain, place))
    return table | _parse(fragments, path, report)


def _secret(storage: Table) -> str:
    return secret if isinstance(secret := storage.get("secret"), str) else ""


def _decrypted(name: str, text: str, secret: str, report: Report) -> str | None:
    """Return the text of a storage, which is encrypted if there is a secret; None if that is not possible."""
    if not secret:
        return text
    try:
        return unseal(secret, text)
    except ValueError as error:
        problem = report.source.problem(("storages", name, "value"), str(error))
        if problem not in report.problems:  # it may be included several times
            report.problems.append(problem)
        return None


class _Fragment:
    """The text of one storage, and the key that includes it."""

    def __init__(self, storage: str, text: str, place: KeyPath) -> None:
        self.storage = storage
        self.text = text
        self.place = place
        self.line_count = text.count("\n") + 1


def _parse(fragments: list[_Fragment], path: KeyPath, report: Report) -> dict[str, Any]:
    text = "\n".join(fragment.text for fragment in fragments)
    try:
        included = TOML.parse(text)
    except FormatError as error:
        if error.line is None:
            report.error((*path, "includes"), error.message)
            return {}
        fragment, line = _at_line(fragments, error.line)
        name = quoted(fragment.storage)
        report.error(fragment.place, f"line {line} of the storage {name} {error.message}")
        return {}
    lines = key_lines(text) if included else {}
    for key in included:
        fragment, _ = _at_line(fragments, lines.get((key,), 1))
        report.source.move((*path, key), ("storages", fragment.storage, "value"))
    return resolve_table(included, path, report)


def _at_line(fragments: list[_Fragment], line: int) -> tuple[_Fragment, int]:
    """Return the fragment that contains a line of the joined text, and the line number within it."""
    for fragment in fragments:
        if line <= fragment.line_count:
            return fragment, line
        line -= fragment.line_count
    return fragments[-1], fragments[-1].line_count
