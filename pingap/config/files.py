"""Reads configuration files: a path as given to ``-c`` becomes a snapshot, which is then parsed.

Reading writes nothing: unlike pingap 0.13.9, it does not migrate between layouts. Source: config.md,
section 11.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pingap.config.distributions import FORMATS, needs
from pingap.config.formats.installed import TOML_ONLY, Formats, suffix
from pingap.config.formats.interface import FormatError
from pingap.config.problem import Problem, quoted
from pingap.config.regular_files import read_regular
from pingap.config.snapshot import Snapshot
from pingap.config.source import Document
from pingap.config.storage_location import scheme_of
from pingap.config.units import format_size

FILE_LIMIT: Final = 16 * 1024 * 1024
"""Largest configuration file, in bytes."""

_QUERY_KEYS = ("separation", "enable_history")


@dataclass
class Reading:
    """The result of parsing.

    :param documents: the files that parsed, in path order.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


@dataclass
class _Files:
    """The files read so far."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, file: str, message: str, line: int | None = None) -> None:
        """Add a problem that concerns a whole file or directory."""
        self.problems.append(Problem((), message, file, line))


def read(location: str | os.PathLike[str], formats: Formats = TOML_ONLY) -> Snapshot:
    """Read a file, or all files below a directory that have one of the formats; nothing is parsed yet.

    Files and directories whose names begin with a dot are ignored (editors, Kubernetes mounts). Files that
    cannot be read are reported when the snapshot is loaded.

    :param location: a path, with ``?separation`` or ``?enable_history`` as pingap 0.13.9 accepts them.
    :param formats: the formats that can be read.
    """
    files = _Files()
    location = os.fspath(location)
    if scheme := scheme_of(location):  # the rest may contain a password
        files.refuse(f"{scheme}://", "is a storage of a distribution, expected a path")
        return Snapshot(problems=tuple(files.problems))
    path, _, query = location.partition("?")
    _check_query(path, query, files)
    is_directory = os.path.isdir(path)  # noqa: PTH112 - Path would drop the spelling of the operator
    if is_directory:
        _read_directory(path, files, formats)
    elif lacking := _lacking(path, formats):
        files.refuse(path, needs(lacking))
    else:
        _read_file(path, files)
    return Snapshot(
        directory=str(Path(path) if is_directory else Path(path).parent),
        files=tuple(files.texts),
        problems=tuple(files.problems),
        warnings=tuple(files.warnings),
    )


def parse_files(snapshot: Snapshot, formats: Formats = TOML_ONLY) -> Reading:
    """Parse the texts of a snapshot, each on its own."""
    reading = Reading(problems=list(snapshot.problems), warnings=list(snapshot.warnings))
    # Of two documents that define the same, the later one is wrong: that is an optional one.
    for name, text in sorted(snapshot.files, key=lambda file: file[0] in snapshot.optional):
        if name not in snapshot.left_out:
            _parse(text, name, reading, formats)
    return reading


def _check_query(path: str, query: str, files: _Files) -> None:
    for part in filter(None, query.split("&")):
        key = part.partition("=")[0]
        if key not in _QUERY_KEYS:
            known = " and ".join(_QUERY_KEYS)
            files.refuse(path, f"unknown parameter {quoted(key)} (known: {known})")


def _read_directory(path: str, files: _Files, formats: Formats) -> None:
    names = sorted(_files_below(path, files))
    for name in names:
        if formats.reads(name):
            _read_file(name, files)
    if files.texts or files.problems:
        return
    for name in names:
        if lacking := _lacking(name, formats):
            files.refuse(name, needs(lacking))
            return
    known = " or ".join(f"*.{one}" for one in sorted(formats.suffixes))
    files.refuse(path, f"there is no {known} file in this directory")


def _lacking(name: str, formats: Formats) -> str | None:
    """Return the distribution of this project that can read a file, if there is one."""
    return None if formats.reads(name) else FORMATS.get(suffix(name))


def _files_below(path: str, files: _Files) -> Iterator[str]:
    def tell(error: OSError) -> None:
        files.refuse(str(error.filename), f"cannot be read: {error.strerror}")

    for directory, subdirectories, names in os.walk(path, onerror=tell):
        here = directory.rstrip("/")
        subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
        for name in subdirectories:
            if Path(here, name).is_symlink():  # it could lead to a loop
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


def _parse(text: str, name: str, reading: Reading, formats: Formats) -> None:
    try:
        kind = formats.of(name)
        data = kind.parse(text)
    except FormatError as error:
        reading.problems.append(Problem((), error.message, name, error.line))
    except Exception as error:  # of a distribution
        message = f"its format failed: {type(error).__name__}: {error}"
        reading.problems.append(Problem((), message, name))
    else:
        if isinstance(data, dict):
            reading.documents.append(Document(name, text, data, kind))
        else:
            message = f"its format returns {type(data).__name__}, expected dict"
            reading.problems.append(Problem((), message, name))
