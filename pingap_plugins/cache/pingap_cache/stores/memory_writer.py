"""An entry that is being written to memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pingap_cache.stores.blocks import Blocks
from pingap_cache.stores.interface import Labels

if TYPE_CHECKING:
    from pingap_cache.stores.memory import MemoryStore


class MemoryWriter:
    """Collects the blocks of a body, for which the store reserves memory."""

    def __init__(
        self,
        store: MemoryStore,
        key: bytes,
        head: bytes,
        keep: float,
        labels: Labels,
        since: float | None = None,
    ) -> None:
        self._store = store
        self._key = key
        self._head = head
        self._keep = keep
        self._labels = labels
        self._body = Blocks()
        self._full: list[bytes] = []
        self._began = time.monotonic() if since is None else since
        self._reserved = 0
        self._open = True
        store.begin()

    async def write(self, chunk: bytes) -> None:
        """Add bytes to the body."""
        self.add(chunk)

    def add(self, chunk: bytes) -> bool:
        """Add bytes to the body; return whether the entry is still being written."""
        if not self._open:
            return False
        fits = self._body.size + len(chunk) <= self._store.largest
        if not fits or not self._store.reserve(len(chunk)):
            self.discard()
            return False
        self._reserved += len(chunk)
        self._full += self._body.add(chunk)
        return True

    async def commit(self) -> bool:
        """Make the entry visible."""
        stored = self.commit_now()
        await self._store.make_room()
        return stored

    def commit_now(self) -> bool:
        """Do what ``commit`` does, with only a part of the work that making room for it may take."""
        if not self._open:
            return False
        verdict = self._store.recent_purges.verdict(self._began, self._key, self._labels)
        if verdict is not None and not verdict.soft:
            self.discard()
            return False
        stored = self._put(stale=verdict is not None)
        self._store.make_some_room()
        return stored

    async def commit_as(self, *, stale: bool, stamp: int | None = None, token: int = 0) -> bool:
        """Make the entry visible, whatever was purged."""
        if not self._open:
            return False
        stored = self._put(stale=stale, stamp=stamp, token=token)
        await self._store.make_room()
        return stored

    def _put(self, *, stale: bool, stamp: int | None = None, token: int = 0) -> bool:
        rest = self._body.rest()
        blocks = [*self._full, rest] if rest else self._full
        self.discard()
        return self._store.put(
            self._key,
            self._head,
            blocks,
            self._labels,
            keep=self._keep,
            stamp=stamp,
            stale=stale,
            token=token,
        )

    def discard(self) -> None:
        """Forget what was written."""
        if self._open:
            self._open = False
            self._full = []
            self._body = Blocks()
            self._store.release(self._reserved)

    __del__ = discard
