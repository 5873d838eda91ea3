"""The formats that can be read, by file name suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Final

from pingap.config.formats.interface import ConfigFormat
from pingap.config.formats.toml import TOML

TOML_SUFFIX: Final = "toml"


class Formats:
    """Finds the format of a file by its name.

    :param suffixes: of installed formats other than TOML, without the dot.
    :param find: returns the format of one of these suffixes; raises ``FormatError`` if it cannot be
        loaded.
    """

    def __init__(self, suffixes: Iterable[str], find: Callable[[str], ConfigFormat]) -> None:
        self.suffixes = frozenset({TOML_SUFFIX, *suffixes})
        self._find = find

    def reads(self, name: str) -> bool:
        """Return whether files with this name are read if they are found in a directory."""
        return suffix(name) in self.suffixes

    def of(self, name: str) -> ConfigFormat:
        """Return the format of a file; TOML for an unknown suffix.

        :raises FormatError: it cannot be loaded.
        """
        found = suffix(name)
        if found == TOML_SUFFIX or found not in self.suffixes:
            return TOML
        return self._find(found)


def suffix(name: str) -> str:
    """Return the suffix of a file's name, without the dot."""
    return PurePath(name).suffix.removeprefix(".")


def _nothing(name: str) -> ConfigFormat:
    raise AssertionError(f"there is no format {name}")


TOML_ONLY: Final = Formats((), _nothing)
"""The formats that are available without distributions."""
