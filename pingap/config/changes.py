"""The differences between two configurations, item by item, as readable text.

Format: cli.md, section 7.3. The text contains no secrets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel

from pingap.config.load import Config
from pingap.config.masking import Models, masked
from pingap.config.merge import Table
from pingap.config.model import SECTIONS, BasicConfig, Model
from pingap.config.problem import dotted, quoted

TEXT_LIMIT: Final = 16 * 1024
"""Maximum length of the text of all changes; the rest is cut."""
LINE_LIMIT: Final = 200
"""Maximum length of a line; of a longer one, the part around the difference is shown."""

KINDS: Final = {section: section.removesuffix("s") for section in SECTIONS}
"""Section -> the word for one of its items."""
_MARKS: Final = {"added": "++ [ADDED] ", "removed": "-- [REMOVED] ", "modified": "[MODIFIED] "}
_BEFORE: Final = 40  # characters shown before a difference

PluginModels = Mapping[str, Collection[type[BaseModel]]]
"""Name of a plugin -> the models of its settings, before and after the change."""


@dataclass(frozen=True, slots=True)
class Change:
    """One item that was added, removed or modified.

    :param section: ``basic``, or the section of the item.
    :param lines: the differences, as lines of TOML after ``- `` or ``+ ``.
    """

    what: Literal["added", "removed", "modified"]
    section: str
    name: str = ""
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        item = f"{KINDS[self.section]}:{self.name}" if self.name else self.section
        return "\n".join([f"{_MARKS[self.what]}{item}", *self.lines])


def changes_between(old: Config, new: Config, models: PluginModels | None = None) -> list[Change]:
    """Compare two configurations.

    :param models: of the plugins of both. Where a model is missing, secrets are recognised by the names of
        their keys.
    """
    return list(_Comparison(old, new, models or {}).changes())


def changes_text(changes: Iterable[Change], limit: int = TEXT_LIMIT) -> str:
    """Return all changes as text, one line for each item and for each of its lines.

    :param limit: characters, after which the rest is only counted.
    """
    lines = [line for change in changes for line in str(change).split("\n")]
    length = 0
    for place, line in enumerate(lines):
        length += len(line) + 1
        if length > limit:
            return "\n".join([*lines[:place], f"... and {len(lines) - place} more lines"])
    return "\n".join(lines)


def summary(changes: Iterable[Change]) -> list[str]:
    """Return a sentence for each section: ``Upstreams(a,b) are modified``."""
    groups: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        groups.setdefault((change.section, change.what), []).append(change.name)
    return [_sentence(section, what, names) for (section, what), names in groups.items()]


def _sentence(section: str, what: str, names: list[str]) -> str:
    word = KINDS.get(section, section).capitalize()
    if section == "basic":
        return f"{word} is {what}"
    return (
        f"{word}({names[0]}) is {what}"
        if len(names) == 1
        else f"{word}s({','.join(names)}) are {what}"
    )


class _Comparison:
    def __init__(self, old: Config, new: Config, models: PluginModels) -> None:
        self._old = old
        self._new = new
        self._models = models

    def changes(self) -> Iterator[Change]:
        tables = (self._old.tables["basic"], self._new.tables["basic"])
        lines = self._lines("basic", "", tables, self._old.basic, self._new.basic)
        if lines:
            yield Change("modified", "basic", "", lines)
        for section in SECTIONS:
            yield from self._section(section)

    def _section(self, section: str) -> Iterator[Change]:
        old, new = self._old.tables[section], self._new.tables[section]
        for name in old:
            if name not in new:
                yield Change("removed", section, name)
        old_items, new_items = getattr(self._old, section), getattr(self._new, section)
        for name in new:
            if name not in old:
                yield Change("added", section, name)
                continue
            tables = (old[name], new[name])
            lines = self._lines(section, name, tables, old_items[name], new_items[name])
            if lines:
                yield Change("modified", section, name, lines)

    def _lines(
        self, section: str, name: str, tables: tuple[Table, Table], old: Model, new: Model
    ) -> tuple[str, ...]:
        before, after = tables
        lines: list[str] = []
        for key in sorted(before.keys() | after.keys()):
            as_before = _text(before.get(key)) == _text(after.get(key))
            # The written values may be equal while the file of a secret has changed.
            if as_before and getattr(old, key, None) == getattr(new, key, None):
                continue
            models = models_of(self._models, section, name)
            shown_before = _shown(section, key, before, models, self._old.source.directory)
            shown_after = _shown(section, key, after, models, self._new.source.directory)
            lines += _line_pair(key, shown_before, shown_after)
        return tuple(lines)


def models_of(models: PluginModels, section: str, name: str) -> Models:
    """Return the models of an item of the configuration: that of its section, and those of plugins.

    :param models: of plugins, and of keys that distributions claim.
    """
    if section == "plugins":
        return (SECTIONS[section], *models.get(name, ()))
    own = BasicConfig if section == "basic" else SECTIONS[section]
    begins = {"basic": "basic.", "locations": f"{name}."}.get(section, f"{section}.{name}.")
    claimed = [found for one, found in models.items() if one.startswith(begins)]
    return (own, *(model for found in claimed for model in found))


def _shown(section: str, key: str, table: Table, models: Models, directory: Path) -> str | None:
    return _text(masked(section, key, table[key], models, directory)) if key in table else None


def _line_pair(key: str, before: str | None, after: str | None) -> Iterator[str]:
    same = before == after
    if before is not None and after is not None and not same:
        before, after = _around_the_difference(before, after)
    if before is not None:
        yield _cut(f"- {dotted((key,))} = {before}")
    if after is not None:
        changed = "  # changed" if same else ""  # the mask hides the difference
        yield _cut(f"+ {dotted((key,))} = {after}") + changed


def _around_the_difference(before: str, after: str) -> tuple[str, str]:
    if max(len(before), len(after)) <= LINE_LIMIT // 2:
        return before, after
    pairs = enumerate(zip(before, after, strict=False))
    start = next((at for at, (one, other) in pairs if one != other), 0) - _BEFORE
    if start <= 0:
        return before, after
    return f"...{before[start:]}", f"...{after[start:]}"


def _cut(line: str) -> str:
    return line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 3] + "..."


def _text(value: Any) -> str:
    """Write a value as TOML, on one line, keys sorted."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        pairs = (f"{dotted((key,))} = {_text(value[key])}" for key in sorted(value))
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    return str(value)
