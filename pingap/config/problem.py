"""An error in the configuration, and the form in which the operator sees it.

Nothing here reads configuration: ``source`` finds the file and the line, ``schema_errors`` words the
message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pingap.config.load import Config

KeyPath = tuple[str | int, ...]
"""The keys that lead to a value: ``("locations", "shop", "plugins", 1)``."""

SHOWN = 60  # characters of a value that a message repeats
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One error or warning.

    ``str()`` gives ``conf.d/plugins.toml:12: plugins.ping.pth: unknown key; did you mean "path"?``.

    :param path: the keys that lead to it; empty if it concerns a whole file.
    :param message: what is wrong and what was expected, without a full stop.
    :param file: the path of the file as the operator wrote it, if known.
    :param line: its line in that file, counted from 1, if known.
    :param is_warning: the configuration can be served nevertheless.
    """

    path: KeyPath
    message: str
    file: str | None = None
    line: int | None = None
    is_warning: bool = False

    def __str__(self) -> str:
        place = self.file
        if place is not None and self.line is not None:
            place = f"{place}:{self.line}"
        return ": ".join(part for part in (place, dotted(self.path), self.message) if part)


class ConfigError(Exception):
    """The configuration cannot be used.

    ``str()`` gives one line per problem and the number of problems.

    :param problems: all problems that were found, in any order.
    :param partial: the valid part of the configuration, for additional checks.
    """

    def __init__(self, problems: Iterable[Problem], partial: Config | None = None) -> None:
        self.partial = partial
        self.problems = in_file_order(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        total = "1 problem." if count == 1 else f"{count} problems."
        return "\n".join([*map(str, self.problems), total])


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort by file and line."""
    return sorted(problems, key=lambda problem: (problem.file or "", problem.line or 0))


def dotted(path: KeyPath) -> str:
    """Return a key path as in TOML, with list indexes: ``plugins."pingap:ping".allow[0]``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if _BARE_KEY.fullmatch(key) else quoted(key))
    return text


def quoted(text: str) -> str:
    """Return a string as in TOML, not shortened."""
    return json.dumps(text, ensure_ascii=False)


def shown(value: object) -> str:
    """Return a value and its TOML type for a message: ``12 (integer)``, ``"a" (string)``.

    Long text is cut to 60 characters. For arrays and tables only the type is shown, since they may contain
    secrets.
    """
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, str):
        return f"{shortened(value)} (string)"
    return f"{_literal(value)} ({kind(value)})"


def shortened(text: str) -> str:
    """Quote a text for a message, cut to 60 characters."""
    return quoted(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def kind(value: object) -> str:
    """Return the name of a value's TOML type."""
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return type(value).__name__


# bool before int and datetime before date: each is a subclass of the other.
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "string"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "float"),
    (datetime, "date-time"),
    (date, "date"),
    (time, "time"),
    ((list, tuple), "array"),
    (dict, "table"),
)


def _literal(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "x"?`` for the nearest known name, or an empty text."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {quoted(by_lower[near[0]])}?" if near else ""
