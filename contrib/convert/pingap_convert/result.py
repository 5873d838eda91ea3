"""What a conversion makes: tables, and a list of what is not in them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import re2

_OTHER: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_SECTIONS: Final = (
    "basic",
    "servers",
    "locations",
    "upstreams",
    "plugins",
    "certificates",
    "storages",
)
Table = dict[str, Any]


class ConversionError(Exception):
    """The text cannot be read; the message has the place."""


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int


@dataclass
class Result:
    """The converted configuration.

    :param tables: section -> name -> table; ``basic`` -> table.
    :param left_out: place and reason of everything that has no equivalent.
    """

    tables: dict[str, Any] = field(default_factory=dict)
    left_out: list[tuple[Place, str]] = field(default_factory=list)
    output: Path | None = None
    """Where the configuration will be written; files that it names are written beside it."""
    files: dict[Path, str] = field(default_factory=dict)

    def leave_out(self, place: Place, what: str, why: str) -> None:
        """Record that something is not in the tables."""
        if (place, f"{what}: {why}") not in self.left_out:
            self.left_out.append((place, f"{what}: {why}"))

    def add(self, section: str, name: str, table: Table) -> str:
        """Add a table under a name like this one, and return its name; an equal table is added once."""
        items = self.tables.setdefault(section, {})
        wanted = _OTHER.sub("_", name).strip("_") or section.rstrip("s")
        number = 1
        while (found := wanted if number == 1 else f"{wanted}_{number}") in items:
            if items[found] == table:
                return found
            number += 1
        items[found] = table
        return found

    def add_file(self, name: str, content: str) -> Path | None:
        """Add a file that the configuration names, and return its path; None without an output."""
        if self.output is None:
            return None
        path = Path(f"{self.output.absolute()}.{_OTHER.sub('_', name)}")
        self.files[path] = content
        return path

    def ordered(self) -> dict[str, Any]:
        """Return the tables, without empty sections, in the order of the manual."""
        known = [one for one in _SECTIONS if self.tables.get(one)]
        return {one: self.tables[one] for one in [*known, *(self.tables.keys() - set(_SECTIONS))]}

    def basic(self) -> Table:
        """Return the table ``basic``, which is added."""
        table: Table = self.tables.setdefault("basic", {})
        return table


def is_supported_regex(text: str) -> bool:
    """Return whether pingap can use a regular expression: look-around and back-references do not work."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text, options)
    except re2.error:
        return False
    return True


def escaped(text: str) -> str:
    """Return a regular expression that matches a text."""
    return re.escape(text).replace(r"\ ", "[ ]")  # a space separates the parts of ``rewrite``
