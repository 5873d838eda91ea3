"""Entries in the memory of one process.

Nothing here waits: a look-up is a step in a dictionary. What takes long (evicting many entries for a
large one, a purge that looks at all of them) is done in slices, between which others run.

Memory is not shared between workers: each has a store of its own, with its part of the budget. (Shared
memory would need an allocator, and locks that every hit pays for, and a worker killed while it holds one
would stop the others.)
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import count
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from pingap_cache.stores.blocks import pieces
from pingap_cache.stores.interface import CHUNK, Entry, EntryGone, Labels, Listed, StoreFigures
from pingap_cache.stores.kept import Kept
from pingap_cache.stores.memory_writer import MemoryWriter
from pingap_cache.stores.purges import Purge, RecentPurges
from pingap_cache.stores.s3_fifo import MOST_USES, S3Fifo
from pingap_cache.stores.tag_index import TagIndex

LARGEST_SHARE: Final = 8
"""An entry may take this part of the budget at most: an eighth."""
WRITING_SHARE: Final = 2
"""All entries that are being written may take this part of the budget at most: half."""
STEPS: Final = 50
"""Entries that are looked at before other tasks run: less than a millisecond."""


class MemoryStore:
    """Keeps entries in memory.

    :param budget: bytes that they may take, with all that comes with them.
    :param most: entries that are kept at most; None: as many as fit.
    :param largest: bytes that an entry may take; None: as the budget allows.
    :param index_tags: find entries by tag without looking at all of them, for about 300 bytes a tag.
    """

    def __init__(
        self,
        budget: int,
        *,
        most: int | None = None,
        largest: int | None = None,
        index_tags: bool = True,
    ) -> None:
        self.largest = min(budget // LARGEST_SHARE, sys.maxsize if largest is None else largest)
        """Bytes that an entry may take."""
        self.recent_purges = RecentPurges()
        self._queues = S3Fifo(budget, math.inf if most is None else most, self._forget_tags)
        self._find = self._queues.members.get
        self._tags = TagIndex(self._is_present) if index_tags else None
        self._stamps = count(1)
        self._writes = 0
        self._writing = 0
        self._purging = anyio.Lock()

    # Reading

    def get_now(self, key: bytes) -> Kept | None:
        """Return the entry of a key."""
        kept = self._find(key)
        if kept is None or kept.keep_until <= time.monotonic():
            return None
        if kept.uses < MOST_USES:
            kept.uses += 1
        return kept

    async def get(self, key: bytes) -> Kept | None:
        """Return the entry of a key, as ``get_now`` does."""
        return self.get_now(key)

    async def read(
        self, key: bytes, entry: Entry, start: int, stop: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield a part of a body; it is there even if the entry was evicted meanwhile."""
        if not isinstance(entry, Kept):
            raise EntryGone("it was not stored here")
        if start == 0 and stop == entry.size <= CHUNK and entry.body:
            yield entry.body
            return
        for number, begin, end in pieces(start, stop):
            yield entry.chunk(number, begin, end)

    # Writing

    def write(
        self,
        key: bytes,
        head: bytes,
        *,
        keep: float,
        url: str = "",
        tags: Sequence[str] = (),
        namespace: str = "",
        since: float | None = None,
    ) -> MemoryWriter:
        """Begin to write an entry."""
        return MemoryWriter(self, key, head, keep, Labels(url, tuple(tags), namespace), since)

    async def replace_head(self, key: bytes, entry: Entry, head: bytes, keep: float) -> bool:
        """Give an entry another head."""
        kept = self._find(key)
        if kept is None or kept.stamp != entry.stamp:
            return False
        stored = self._put(kept.with_head(head, time.monotonic() + keep))
        await self.make_room()
        return stored

    def put(
        self,
        key: bytes,
        head: bytes,
        blocks: Sequence[bytes],
        labels: Labels,
        *,
        keep: float,
        stamp: int | None = None,
        stale: bool = False,
        token: int = 0,
    ) -> bool:
        """Store an entry, unless it is too large; ``make_room`` afterwards.

        :param blocks: its body, in blocks of ``CHUNK`` bytes.
        """
        stored = self._put(
            Kept(
                key,
                head,
                blocks,
                url=labels.url,
                tags=tuple(labels.tags),
                namespace=labels.namespace,
                keep_until=time.monotonic() + keep,
                stored=time.time(),
                stamp=next(self._stamps) if stamp is None else stamp,
                stale=stale,
                token=token,
            )
        )
        self._writes += stored
        return stored

    def _put(self, kept: Kept) -> bool:
        old = self._find(kept.key)
        if kept.charge > self.largest:
            if old is not None:
                self._take(old)  # it is not the newest any more
            return False
        if old is not None:
            self._forget_tags(old)
        self._queues.add(kept)
        if self._tags is not None:
            self._tags.add(kept)
        return True

    def make_some_room(self) -> None:
        """Evict some of what is too much; the rest when there is the next occasion."""
        self._queues.make_room(STEPS)

    async def make_room(self) -> None:
        """Evict what is too much, and let other tasks run meanwhile."""
        while not self._queues.make_room(STEPS):
            await checkpoint()

    def reserve(self, size: int) -> bool:
        """Take memory for an entry that is being written, unless others that are have too much of it."""
        queues = self._queues
        if (queues.reserved + size) * WRITING_SHARE > queues.budget:
            return False
        queues.reserved += size
        queues.make_room(STEPS)
        return True

    def release(self, size: int) -> None:
        """Give that memory back, when the entry is not written any more."""
        self._queues.reserved -= size
        self._writing -= 1

    def begin(self) -> None:
        """Count an entry that is being written."""
        self._writing += 1

    # Removing

    async def remove(self, key: bytes) -> bool:
        """Remove the entry of a key."""
        self.recent_purges.add(Purge(key))
        return self.drop(key)

    def drop(self, key: bytes) -> bool:
        """Remove the entry of a key, but not one that is being written."""
        kept = self._find(key)
        if kept is not None:
            self._take(kept)
        return kept is not None and kept.keep_until > time.monotonic()

    async def purge(
        self,
        *,
        prefix: str = "",
        namespace: str | None = None,
        tag: str | None = None,
        soft: bool = False,
    ) -> int:
        """Remove entries, or mark them as stale."""
        purge = Purge(None, prefix, namespace, tag, soft)
        self.recent_purges.add(purge)
        async with self._purging:
            return await self._purge(purge, self._candidates(tag))

    async def _purge(self, purge: Purge, candidates: Iterator[Kept]) -> int:
        found = 0
        for number, kept in enumerate(candidates, 1):
            if purge.matches(kept.key, kept) and self._is_present(kept):
                found += kept.keep_until > time.monotonic()
                if purge.soft:
                    kept.stale = True
                else:
                    self._take(kept)
            if not number % STEPS:
                await checkpoint()
        return found

    async def entries(
        self, *, prefix: str = "", namespace: str | None = None, limit: int = 100
    ) -> list[Listed]:
        """List entries."""
        wanted = Purge(None, prefix, namespace)
        listed: dict[bytes, Listed] = {}
        for number, kept in enumerate(self._queues.walk(), 1):
            if len(listed) >= limit:
                break
            left = kept.keep_until - time.monotonic()
            if left > 0 and wanted.matches(kept.key, kept):
                until = time.time() + left
                about = (kept.url, kept.namespace, kept.size, kept.stored, until, kept.stale)
                listed[kept.key] = Listed(kept.key, *about)
            if not number % STEPS:
                await checkpoint()
        return list(listed.values())

    def clear(self) -> None:
        """Remove everything at once; the memory is freed in slices, by what makes room."""
        self._queues.clear()
        self._find = self._queues.members.get

    def keys(self) -> list[bytes]:
        """Return the keys of all entries."""
        return list(self._queues.members)

    # The rest

    def figures(self) -> StoreFigures:
        """Return the numbers of the store."""
        queues = self._queues
        return StoreFigures(
            entries=len(queues.members),
            bytes=queues.used,
            limit=queues.budget,
            evictions=queues.evictions,
            writes=self._writes,
            writing=self._writing,
        )

    async def maintain(self) -> None:
        """Do nothing: what is of no use any more is evicted when there is need for room."""

    async def aclose(self) -> None:
        """Forget everything."""
        self.clear()
        await self.make_room()

    def _candidates(self, tag: str | None) -> Iterator[Kept]:
        if tag is None or self._tags is None:
            return self._queues.walk()
        return self._tags.walk(tag)

    def _is_present(self, kept: Kept) -> bool:
        return self._find(kept.key) is kept

    def _take(self, kept: Kept) -> None:
        self._queues.remove(kept)
        self._forget_tags(kept)

    def _forget_tags(self, kept: Kept) -> None:
        if self._tags is not None:
            self._tags.discard(kept)
