"""The metadata of files, which shows that they changed without reading them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pingap.config.formats.installed import TOML_ONLY, Formats

Stamp = tuple[int, int, int, int] | None
"""Modification and change times, size and inode number; ``None`` if the file does not exist.

The change time is included because ``chmod`` and ``cp -p`` change only that.
"""

_NO_FILE: Final = (0, 0, 0, 0)  # a pipe or a directory, which cannot be read again
_DEEPEST: Final = 64  # levels of nested directories


@dataclass(frozen=True)
class Fingerprint:
    """The state of all files on which a configuration depends.

    :param listing: the files found below the path of the configuration.
    :param files: the other files.
    """

    listing: dict[str, Stamp] = field(default_factory=dict)
    files: dict[str, Stamp] = field(default_factory=dict)

    def changed_since(self, before: Fingerprint) -> list[str]:
        """Return the files that were changed, added or removed."""
        return sorted(
            {*_changed(before.listing, self.listing), *_changed(before.files, self.files)}
        )

    def lacks_any_of(self, before: Fingerprint) -> bool:
        """Return whether a file is missing that existed before."""
        return _lacks(before.listing, self.listing) or _lacks(before.files, self.files)


def take_fingerprint(
    location: str, files: Iterable[str] = (), formats: Formats = TOML_ONLY
) -> Fingerprint:
    """Take the fingerprint of all files.

    :param location: as given to ``-c``, or empty if the configuration is not in files.
    :param files: those of ``watched_files``.
    :param formats: the formats of the files that are read.
    """
    path = location.partition("?")[0]
    listing: dict[str, Stamp] = {}
    if path and not _list(path, listing, 0, formats):
        listing[path] = stamp_of(path)
    return Fingerprint(listing, {name: stamp_of(name) for name in files})


def _list(directory: str, listing: dict[str, Stamp], depth: int, formats: Formats) -> bool:
    """Examine the files below a directory, as ``files.read`` finds them; False if it is not a directory."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth < _DEEPEST:
                        _list(entry.path, listing, depth + 1, formats)
                elif formats.reads(entry.name):
                    listing[entry.path] = stamp_of(entry.path)
    except NotADirectoryError:
        return False
    except OSError:  # removed or not readable: its files are then missing, which is a change
        return depth > 0
    return True


def stamp_of(path: str) -> Stamp:
    """Return the metadata of a file that change together with its content."""
    try:
        found = os.stat(path)  # noqa: PTH116 - twice a second for every file
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return _NO_FILE
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _changed(before: dict[str, Stamp], now: dict[str, Stamp]) -> set[str]:
    if before == now:
        return set()
    return {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}


def _lacks(before: dict[str, Stamp], now: dict[str, Stamp]) -> bool:
    return any(stamp is not None and now.get(path) is None for path, stamp in before.items())
