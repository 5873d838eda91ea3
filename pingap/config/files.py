"""Reads configuration files: a path as given to ``-c`` becomes a snapshot, and that documents.

Nothing is ever written: pingap's migration between layouts does not exist here. Sources: config.md,
section 11.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tomli

from pingap.config.problem import Problem, quoted
from pingap.config.regular_files import read_regular
from pingap.config.snapshot import Snapshot
from pingap.config.source import Document
from pingap.config.units import format_size

FILE_LIMIT: Final = 16 * 1024 * 1024
"""Largest configuration file, in bytes."""

_OTHER_FORMATS = {".hcl": "HCL", ".kdl": "KDL"}
_QUERY_KEYS = ("separation", "enable_history")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass
class Reading:
    """What was parsed.

    :param documents: the files that parsed, in path order.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


@dataclass
class _Files:
    """What was read so far."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, file: str, message: str, line: int | None = None) -> None:
        """Add a problem that concerns a whole file or directory."""
        self.problems.append(Problem((), message, file, line))


def read(location: str | os.PathLike[str]) -> Snapshot:
    """Read a TOML file, or all ``*.toml`` files below a directory; nothing is parsed yet.

    Files and directories whose names begin with a dot are left out (editors, Kubernetes mounts).
    What cannot be read is told when the snapshot is loaded.

    :param location: a path, with ``?separation`` or ``?enable_history`` as pingap accepts them.
    """
    files = _Files()
    location = os.fspath(location)
    if location.startswith("etcd://"):
        files.refuse("etcd://", "needs pingap-etcd, which is not available yet")
        return Snapshot(problems=tuple(files.problems))
    path, _, query = location.partition("?")
    _check_query(path, query, files)
    is_directory = os.path.isdir(path)  # noqa: PTH112 - Path would drop the spelling of the operator
    if is_directory:
        _read_directory(path, files)
    elif name := _OTHER_FORMATS.get(Path(path).suffix):
        files.refuse(path, f"{name} is not supported yet")
    else:
        _read_file(path, files)
    return Snapshot(
        directory=str(Path(path) if is_directory else Path(path).parent),
        files=tuple(files.texts),
        problems=tuple(files.problems),
        warnings=tuple(files.warnings),
    )


def parse_files(snapshot: Snapshot) -> Reading:
    """Parse the texts of a snapshot, each for itself."""
    reading = Reading(problems=list(snapshot.problems), warnings=list(snapshot.warnings))
    for name, text in snapshot.files:
        _parse(text, name, reading)
    return reading


def _check_query(path: str, query: str, files: _Files) -> None:
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key not in _QUERY_KEYS:
            known = " and ".join(_QUERY_KEYS)
            files.refuse(path, f"unknown parameter {quoted(key)} (known: {known})")
        elif key == "enable_history" and value in ("", "true"):
            message = "enable_history is not supported yet: no history of changes is kept"
            files.warnings.append(Problem((), message, path))


def _read_directory(path: str, files: _Files) -> None:
    names = sorted(_files_below(path, files))
    for name in names:
        if name.endswith(".toml"):
            _read_file(name, files)
    if files.texts or files.problems:
        return
    for suffix, format_name in _OTHER_FORMATS.items():
        if other := next((name for name in names if name.endswith(suffix)), None):
            files.refuse(other, f"{format_name} is not supported yet")
            return
    files.refuse(path, "there is no *.toml file in this directory")


def _files_below(path: str, files: _Files) -> Iterator[str]:
    def tell(error: OSError) -> None:
        files.refuse(str(error.filename), f"cannot be read: {error.strerror}")

    for directory, subdirectories, names in os.walk(path, onerror=tell):
        here = directory.rstrip("/")
        subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
        for name in subdirectories:
            if Path(here, name).is_symlink():  # could lead in a circle
                message = "was not read: it is a link to a directory"
                files.warnings.append(Problem((), message, f"{here}/{name}"))
        yield from (f"{here}/{name}" for name in names if not name.startswith("."))


def _read_file(name: str, files: _Files) -> None:
    try:
        raw = read_regular(name, FILE_LIMIT)
    except OSError as error:
        files.refuse(name, f"cannot be read: {error.strerror}")
        return
    except ValueError:  # a NUL in the name
        files.refuse(name, "cannot be read: this is not a valid file name")
        return
    if len(raw) > FILE_LIMIT:
        files.refuse(name, f"is larger than {format_size(FILE_LIMIT)}")
        return
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        files.refuse(name, "is not UTF-8 text", line)
        return
    files.texts.append((name, text.removeprefix("\ufeff")))


def _parse(text: str, name: str, reading: Reading) -> None:
    try:
        reading.documents.append(Document(name, text, tomli.loads(text)))
    except ValueError as error:
        message, line = toml_mistake(error, text)
        reading.problems.append(Problem((), message, name, line))
    except RecursionError:
        message = "is not valid TOML: nested too deeply"
        reading.problems.append(Problem((), message, name))


def toml_mistake(error: ValueError, text: str) -> tuple[str, int]:
    """The message and the line of a TOML syntax error; line 1 if tomli does not tell.

    :param error: what ``tomli.loads`` raised; it says ``ValueError`` of a number that is too long.
    :param text: what was parsed.
    """
    if not isinstance(error, tomli.TOMLDecodeError):
        return "is not valid TOML: a number is too long", 1
    message = str(error)
    place = _TOML_PLACE.search(message)
    if place is None or place[1] is None:
        line, where = text.rstrip().count("\n") + 1, " at the end of the text"
    else:
        line, where = int(place[1]), f" at column {place[2]}"
    reason = _TOML_PLACE.sub("", message)
    return f"is not valid TOML: {reason[:1].lower()}{reason[1:]}{where}", line
