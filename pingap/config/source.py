"""The places of the keys of a configuration, and the list of its problems."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pingap.config.formats.interface import ConfigFormat
from pingap.config.formats.toml import TOML
from pingap.config.problem import KeyPath, Problem

log = logging.getLogger("pingap")


@dataclass(frozen=True)
class Document:
    """One parsed file.

    :param name: its path as the operator wrote it, or a name such as ``<quick start>``.
    :param format: finds the lines of its keys.
    """

    name: str
    text: str = field(repr=False)  # may contain secrets
    data: dict[str, Any] = field(repr=False)
    format: ConfigFormat = TOML

    @cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        try:
            return self.format.key_lines(self.text)
        except Exception:  # from a distribution; problems are more important than their lines
            log.exception("%s: its format finds no lines", self.name)
            return {}

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem with the line of ``path`` in this file, or of the nearest key around it."""
        return Problem(path, message, self.name, self._line(path))

    def _line(self, path: KeyPath) -> int | None:
        for length in range(len(path), 0, -1):
            if (line := self._lines.get(path[:length])) is not None:
                return line
        return None


class Source:
    """Finds the file and the line of every key of a configuration.

    Files are scanned for lines only when a problem is made.

    :param documents: the files, in the order in which they were read.
    :param directory: the base of relative paths in them.
    """

    def __init__(self, documents: Iterable[Document] = (), directory: Path = Path()) -> None:
        self.documents = list(documents)
        self.directory = directory
        self._owners: dict[KeyPath, Document] = {}
        self._moved: dict[KeyPath, KeyPath] = {}
        self.environment: dict[KeyPath, str] = {}
        """Path of each text that contains environment variables -> their names, for messages."""
        self.unset: set[KeyPath] = set()
        """Paths of texts whose variables are missing, which is the only problem to report about them."""

    def owner(self, path: KeyPath) -> Document | None:
        """Return the file that contains an item of a section, ``("servers", "web")``, or ``("basic",)``."""
        only = self.documents[0] if len(self.documents) == 1 else None
        return self._owners.get(path[:2]) or self._owners.get(path[:1]) or only

    def first_owner(self, path: KeyPath) -> Document | None:
        """Return the file of exactly this item, if one was recorded."""
        return self._owners.get(path)

    def own(self, path: KeyPath, document: Document) -> None:
        """Record that an item, or ``("basic",)``, is in ``document``."""
        self._owners[path] = document

    def move(self, path: KeyPath, origin: KeyPath) -> None:
        """Record that a key was included from elsewhere: problems show ``origin``."""
        self._moved[path] = origin

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem with the file and the line of a key path.

        :param path: a key path, such as ``("plugins", "ping", "pth")``; if it does not exist, the nearest
            table around it is shown.
        :param message: the error.
        """
        if names := self.environment.get(path):
            message += f" (from {names})"
        origin = self._moved.get(path[:3], path)
        document = self.owner(origin)
        if document is None:
            return Problem(path, message)
        found = document.problem(origin, message)
        return Problem(path, message, found.file, found.line)


@dataclass
class Report:
    """Collects errors (``problems``) and ``warnings``."""

    source: Source
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, path: KeyPath, message: str) -> None:
        """Add an error, which makes the configuration unusable."""
        if path not in self.source.unset:
            self.problems.append(self.source.problem(path, message))

    def warn(self, path: KeyPath, message: str) -> None:
        """Add a warning for the operator."""
        self.warnings.append(self.source.problem(path, message))
