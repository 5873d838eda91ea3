"""Environment variables in the strings of the configuration, replaced when it is loaded.

``$ENV:NAME`` is a whole value; ``${NAME}`` and ``${NAME:-default}`` may have text around them. Only names in
upper case stand for the environment: ``${name}`` is a value of the request, ``${1}`` a group of an expression.
``$${NAME}`` is the text ``${NAME}``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from pingap.config.problem import KeyPath, shortened
from pingap.config.source import Report

M = TypeVar("M", bound=BaseModel)

ENVIRONMENT: Final = "$ENV:"
"""Before the name of a variable that is a whole value."""
_REFERENCE: Final = re.compile(r"(\$?)\$\{([A-Z][A-Z0-9_]*)(?::-([^{}]*))?\}")
_INSIDE: Final = re.compile(r"\$ENV:[A-Za-z_][A-Za-z0-9_]*")
_GROUP: Final = re.compile(r"\(\?P?<([A-Z][A-Z0-9_]*)>")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_FLOAT: Final = re.compile(r"[+-]?[0-9]+\.[0-9]+")


class FromEnvironment(str):
    """A text with the values of environment variables.

    :param written: as it is in the file.
    """

    __slots__ = ("written",)

    written: str

    def __new__(cls, text: str, written: str) -> FromEnvironment:
        """Make it."""
        made = super().__new__(cls, text)
        made.written = written
        return made


def as_written(value: Any) -> Any:
    """Return a value of a table as it is in the file."""
    if isinstance(value, FromEnvironment):
        return value.written
    if isinstance(value, dict):
        return {key: as_written(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_written(one) for one in value]
    return value


def is_environment(text: str) -> bool:
    """Return whether a whole text stands for a variable, and contains nothing else."""
    if text.startswith(ENVIRONMENT):
        return True
    match = _REFERENCE.fullmatch(text)
    return match is not None and not match[1] and not match[3]


def has_environment(text: str) -> bool:
    """Return whether a text contains a variable without a default."""
    found = _REFERENCE.finditer(text)
    return is_environment(text) or any(not one[1] and not one[3] for one in found)


def from_environment(name: str) -> str:
    """Return the value of a variable.

    :raises ValueError: with a message for the operator: it is missing or empty.
    """
    if name not in os.environ:
        raise ValueError(f"the environment variable {shortened(name)} is not set")
    if not os.environ[name]:
        raise ValueError(f"the environment variable {shortened(name)} is empty")
    return os.environ[name]


def resolve_sections(sections: dict[str, dict[str, Any]], report: Report) -> None:
    """Replace the variables in all items, in place; what the documents contain stays as written.

    The texts of storages are not touched: they are TOML, whose values are replaced where it is included.
    """
    for section, items in sections.items():
        for name, table in items.items():
            kept = {"value": table["value"]} if section == "storages" and "value" in table else {}
            items[name] = resolve_table(table, (section, name), report) | kept


def resolve_table(table: Mapping[str, Any], path: KeyPath, report: Report) -> dict[str, Any]:
    """Return a table with the variables of all its texts replaced.

    A name that an expression of the table gives to a group is that group, not a variable.

    :param path: of the table.
    """
    groups = {name for text in texts_in(table) for name in _GROUP.findall(text)}
    return {
        key: _Resolver(groups, report).resolved(value, (*path, key)) for key, value in table.items()
    }


class _Resolver:
    def __init__(self, groups: set[str], report: Report) -> None:
        self._groups = groups
        self._report = report

    def resolved(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, str):
            return self._text(value, path) if "$" in value else value
        if isinstance(value, dict):
            return {key: self.resolved(one, (*path, key)) for key, one in value.items()}
        if isinstance(value, list):
            return [self.resolved(one, (*path, at)) for at, one in enumerate(value)]
        return value

    def _text(self, text: str, path: KeyPath) -> str:
        source = self._report.source
        try:
            if text.startswith(ENVIRONMENT):
                found = from_environment(text.removeprefix(ENVIRONMENT))
            else:
                if match := _INSIDE.search(text):
                    name = match[0].removeprefix(ENVIRONMENT)
                    self._report.warn(
                        path, f"{match[0]} is not replaced inside a text: write ${{{name}}}"
                    )
                found = _REFERENCE.sub(self._value, text)
        except ValueError as error:
            self._report.error(path, str(error))
            source.unset.add(path)
            return text
        if found == text:
            return text
        source.environment[path] = _names(text)
        return FromEnvironment(found, text)

    def _value(self, match: re.Match[str]) -> str:
        escaped, name, default = match.groups()
        if name in self._groups:
            return match[0]
        if escaped:
            return match[0][1:]
        if default is not None and not os.environ.get(name):
            return default
        try:
            return from_environment(name)
        except ValueError as error:
            hint = f"${{{name}:-}} allows that, and $${{{name}}} is the text itself"
            raise ValueError(f"{error} ({hint})") from None


def _names(text: str) -> str:
    """Return the names of the variables in a text, for messages: the rest of it may be a secret."""
    if text.startswith(ENVIRONMENT):
        return f"${text.removeprefix(ENVIRONMENT)}"
    found = dict.fromkeys(match[2] for match in _REFERENCE.finditer(text) if not match[1])
    return ", ".join(f"${name}" for name in found)


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts anywhere in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_in(one)


def validated(model: type[M], table: object, context: object) -> M:
    """Validate a table. Where a text of the environment does not fit, a number or a boolean may.

    :raises ValidationError: as ``model_validate``.
    """
    try:
        return model.model_validate(table, context=context)
    except ValidationError as error:
        changed: Any = table
        for details in error.errors(include_url=False):
            if isinstance(found := details["input"], FromEnvironment):
                changed = _with_scalar(changed, details["loc"], found)
        if changed is table:
            raise
    return model.model_validate(changed, context=context)


def _with_scalar(table: Any, location: tuple[int | str, ...], text: FromEnvironment) -> Any:
    """Return the table with a text replaced by the number or boolean that it is written as.

    :param location: keys; those that only name an alternative of a type are skipped.
    """
    if table is text:
        return _scalar(text)
    if not location or not isinstance(table, dict | list):
        return table
    key, rest = location[0], location[1:]
    is_key = key in table if isinstance(table, dict) else isinstance(key, int) and key < len(table)
    if not is_key:
        return _with_scalar(table, rest, text)
    changed = _with_scalar(table[key], rest, text)  # type: ignore[index]
    if changed is table[key]:  # type: ignore[index]
        return table
    copied = table.copy()
    copied[key] = changed  # type: ignore[index]
    return copied


def _scalar(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
