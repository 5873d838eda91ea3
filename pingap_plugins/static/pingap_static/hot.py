"""Small files that were asked for lately, within a limit of bytes."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from typing import Final

from pingap_static.files import Found, Identity, identity_of

TRUSTED_SECONDS: Final = 1.0
"""After this time a path is resolved again: another file beside it, or another symbolic link, is not seen by
looking at the file itself."""
SETTLED_SECONDS: Final = 2.0
"""How long ago a file must have changed. A second change at once may leave its times as they are: clocks of
file systems tick slowly, in the worst case every two seconds."""
OVERHEAD: Final = 4096
"""Bytes that an entry takes beside its content, roughly."""


REMEMBERED: Final = 1024
"""Paths of larger files that are remembered, and for how many seconds."""
REMEMBERED_SECONDS: Final = 10.0
_SHARE: Final = 16  # of the memory that one file may take


class HotFiles:
    """The files that were asked for last.

    Larger files are read as a whole only if they are asked for again soon: otherwise, each of many slow
    clients could make the worker hold another one.

    :param limit: bytes that they may take; 0 keeps none.
    :param small: bytes of files that are always read as a whole.
    """

    def __init__(self, limit: int, small: int) -> None:
        self._limit = limit
        self._small = small
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._entries: OrderedDict[str, tuple[float, Found]] = OrderedDict()
        self.size = 0
        """Bytes that they take."""

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, path: str) -> Found | None:
        """Return a file whose path was resolved lately; it may have changed since."""
        entry = self._entries.get(path)
        if entry is None or time.monotonic() - entry[0] > TRUSTED_SECONDS:
            return None
        self._entries.move_to_end(path)
        return entry[1]

    def size_limit(self, path: str) -> int:
        """Return the bytes up to which a file is to be read as a whole."""
        seen = self._seen.get(path)
        if seen is None or time.monotonic() - seen > REMEMBERED_SECONDS:
            return self._small
        return max(self._small, self._limit // _SHARE)

    def keep(self, path: str, found: Found) -> None:
        """Keep a file, and forget those that were not asked for longest."""
        self.forget(path)
        parts = [found.plain, *found.codings.values()]
        if max(part.size for part in parts) > self._small:
            self._remember(path)
        if any(part.content is None or not _is_settled(part.identity) for part in parts):
            return
        found.weight = OVERHEAD + sum(part.size for part in parts)
        if found.weight > self._limit:
            return
        self._entries[path] = (time.monotonic(), found)
        self.size += found.weight
        while self.size > self._limit:
            _, (_, oldest) = self._entries.popitem(last=False)
            self.size -= oldest.weight

    def _remember(self, path: str) -> None:
        self._seen[path] = time.monotonic()
        self._seen.move_to_end(path)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def forget(self, path: str) -> None:
        """Forget a file."""
        if (entry := self._entries.pop(path, None)) is not None:
            self.size -= entry[1].weight


def is_current(path: bytes, identity: Identity) -> bool:
    """Return whether a file is what it was: a system call."""
    try:
        return identity_of(os.stat(path)) == identity  # noqa: PTH116  (bytes)
    except OSError:
        return False


def _is_settled(identity: Identity) -> bool:
    return time.time_ns() - max(identity[3:]) > SETTLED_SECONDS * 1e9
