"""Versions of a configuration: the interface of histories, and what is recorded about a version."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from pingap.config.snapshot import Snapshot

MOST_VERSIONS: Final = 100
"""Versions that a history keeps."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Size of all versions together; the newest one is kept in any case."""
LONGEST_NOTE: Final = 200
"""Characters of an author or a reason."""


@dataclass(frozen=True, slots=True)
class ConfigNote:
    """Who changed a configuration, and why.

    :param by: the author, such as the name of a user; empty if unknown.
    :param reason: a short text.

    .. versionadded:: 1.1
    """

    by: str = ""
    reason: str = ""

    def shortened(self) -> ConfigNote:
        """Return a copy of limited length, in one line."""
        by, reason = (" ".join(text.split())[:LONGEST_NOTE] for text in (self.by, self.reason))
        return ConfigNote(by, reason)


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """One version in a history, without its texts.

    :param name: identifies it in the history; sorts by time.
    :param at: when it was recorded, in Unix seconds.
    :param version: of its snapshot, a hash.
    :param size: of its texts in bytes.

    .. versionadded:: 1.1
    """

    name: str
    at: float
    note: ConfigNote
    version: str
    size: int


class ConfigHistory(ABC):
    """The versions of a configuration that were accepted, oldest first.

    A history keeps at least ten versions, and not everything for ever.

    .. versionadded:: 1.1
    """

    @abstractmethod
    async def record(self, snapshot: Snapshot, note: ConfigNote) -> None:
        """Add a version; does nothing if the newest one has the same texts.

        :raises StorageError: it cannot be written.
        """

    @abstractmethod
    async def versions(self) -> list[ConfigVersion]:
        """Return all versions, oldest first.

        :raises StorageError: they cannot be read.
        """

    @abstractmethod
    async def snapshot(self, name: str) -> Snapshot:
        """Return the texts of a version; names of documents are relative to the directory.

        :raises StorageError: there is no such version, or it cannot be read.
        """
