"""Which entries a purge means, also those that are still being written."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

MOST_REMEMBERED: Final = 1000
"""Purges that are held against entries that were being written; anything older counts as purged."""


class Labelled(Protocol):
    """What an entry is found by."""

    @property
    def url(self) -> str:
        """Its URL."""

    @property
    def tags(self) -> Sequence[str]:
        """Its tags."""

    @property
    def namespace(self) -> str:
        """Its namespace."""


@dataclass(frozen=True, slots=True)
class Purge:
    """The conditions of a purge; all that are given must hold.

    :param key: of one entry.
    :param soft: mark entries as stale instead of removing them.
    """

    key: bytes | None = None
    prefix: str = ""
    namespace: str | None = None
    tag: str | None = None
    soft: bool = False

    def matches(self, key: bytes, labels: Labelled) -> bool:
        """Return whether an entry is meant."""
        if self.key is not None:
            return key == self.key
        return (
            (self.namespace is None or labels.namespace == self.namespace)
            and (self.tag is None or self.tag in labels.tags)
            and labels.url.startswith(self.prefix)
        )


class RecentPurges:
    """The purges of this process, for entries that were being written meanwhile.

    Such an entry may hold what the origin sent before the purge.
    """

    def __init__(self) -> None:
        self._purges: deque[tuple[float, Purge]] = deque(maxlen=MOST_REMEMBERED)

    def add(self, purge: Purge) -> None:
        """Remember a purge."""
        self._purges.append((time.monotonic(), purge))

    def verdict(self, began: float, key: bytes, labels: Labelled) -> Purge | None:
        """Return the hardest purge that means an entry, since it was begun (a time of ``monotonic``)."""
        full = len(self._purges) == MOST_REMEMBERED
        if full and self._purges[0][0] >= began:
            return Purge()
        found = None
        for when, purge in reversed(self._purges):
            if when < began:
                break
            if purge.matches(key, labels):
                found = purge
                if not purge.soft:
                    break
        return found
