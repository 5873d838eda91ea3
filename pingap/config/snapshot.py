"""The texts of a configuration, read once, so that all processes build from the same content.

It is sent as JSON, so that receiving it cannot run code. It contains everything in the files, including
secrets, but not the files that the texts name (certificates, plugin files, ``file:`` secrets).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from pingap.config.problem import Problem


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All texts of a configuration, as of one point in time.

    :param directory: the base of relative paths in the texts.
    :param files: name and text of every TOML file, in path order.
    :param problems: files that could not be read; nothing can be built then.
    :param warnings: warnings about how files were found.
    :param optional: documents that are left out, with a warning, if they are wrong, so that they cannot
        harm the others. Name -> key path in it, such as ``locations.wiki.host`` -> its name in the warning.
    :param left_out: those that are left out.
    :param elsewhere: names of documents that belong to another storage than the one with the history.
    """

    directory: str = "."
    files: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    optional: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    left_out: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.files)
        return f"<Snapshot {names}>"  # the texts may contain secrets

    @property
    def version(self) -> str:
        """A hash of the names and texts: equal texts have the same version in every directory.

        64 hexadecimal digits.
        """
        files = sorted(self.relative_files())
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()

    def kept(self) -> Snapshot:
        """Return what a history keeps: neither optional documents nor those of other storages."""
        left = self.elsewhere.union(self.optional)
        return replace(self, files=tuple(file for file in self.files if file[0] not in left))

    def relative_files(self) -> list[tuple[str, str]]:
        """Return names and texts; names of files in the directory are relative to it."""
        return [(self._inside(name), text) for name, text in self.files]

    def _inside(self, name: str) -> str:
        """Return the name of a file relative to the directory, if it is inside."""
        path = PurePath(name)
        return str(
            path.relative_to(self.directory) if path.is_relative_to(self.directory) else path
        )

    @classmethod
    def of_text(cls, text: str, name: str, directory: Path = Path()) -> Snapshot:
        """Return a snapshot of a configuration that is not in a file.

        :param name: shown in problems instead of a file.
        """
        return cls(str(directory), ((name, text),))

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(
            {
                "directory": self.directory,
                "files": self.files,
                "problems": [written(problem) for problem in self.problems],
                "warnings": [written(problem) for problem in self.warnings],
                "optional": {name: dict(keys) for name, keys in self.optional.items()},
                "left_out": sorted(self.left_out),
                "elsewhere": sorted(self.elsewhere),
            }
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Read the result of ``to_bytes``.

        :raises ValueError: the data is not a snapshot.
        """
        try:
            read = json.loads(data)
            return cls(
                directory=_text(read["directory"]),
                files=tuple((_text(name), _text(text)) for name, text in read["files"]),
                problems=tuple(map(read_problem, read["problems"])),
                warnings=tuple(map(read_problem, read["warnings"])),
                optional={_text(name): dict(keys) for name, keys in read["optional"].items()},
                left_out=frozenset(map(_text, read["left_out"])),
                elsewhere=frozenset(map(_text, read["elsewhere"])),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ValueError("these bytes are not a configuration snapshot") from None


def written(problem: Problem) -> list[Any]:
    """Return a problem as plain data."""
    return [problem.path, problem.message, problem.file, problem.line, problem.is_warning]


def read_problem(data: Any) -> Problem:
    """Read the result of ``written``.

    :raises ValueError: the data is not a problem; it may also be a ``TypeError``.
    """
    path, message, file, line, is_warning = data
    file = None if file is None else _text(file)
    return Problem(tuple(path), _text(message), file, line, bool(is_warning))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
