"""Entries of a disk store."""

from __future__ import annotations

from dataclasses import dataclass

from pingap_cache.stores.database import Found
from pingap_cache.stores.interface import Entry


class DiskEntry(Entry):
    """An entry on disk.

    :param found: what the database has of it.
    """

    __slots__ = ("found", "token")

    def __init__(self, found: Found) -> None:
        record = found.record
        super().__init__(
            record.head, record.body, record.size, stale=found.stale, stamp=record.stamp
        )
        self.found = found
        self.token: int | None = None
        """For ``tiered``: the number of changes before it was read."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an entry that was written.

    :param token: for ``tiered``: the number of changes, if it is the newest entry; else None.
    """

    stored: bool
    token: int | None = None
