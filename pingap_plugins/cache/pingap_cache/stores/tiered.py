"""Memory in front of a disk.

What is found on disk and small enough is kept in memory as well. The disk decides: an entry in memory is
used as long as no process has changed it on disk (``changes``), so what one worker removes, purges or
stores anew is gone from the memory of all at once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from pingap_cache.stores.changes import Changes
from pingap_cache.stores.disk import DiskStore
from pingap_cache.stores.disk_entry import DiskEntry
from pingap_cache.stores.disk_writer import DiskWriter
from pingap_cache.stores.interface import Entry, Labels, Listed, StoreFigures
from pingap_cache.stores.kept import Kept
from pingap_cache.stores.memory import MemoryStore
from pingap_cache.stores.memory_writer import MemoryWriter

_NONE = Labels()  # (what is in memory is purged through the disk)


class TieredStore:
    """Keeps entries on disk, and small ones that are in use in memory.

    :param memory: of this process, and of nobody else.
    """

    def __init__(self, memory: MemoryStore, disk: DiskStore) -> None:
        self.memory = memory
        self.disk = disk
        self._seen: Changes | None = None
        disk.in_memory(memory.keys)

    # Reading

    def get_now(self, key: bytes) -> Kept | None:
        """Return the entry of a key, if it is in memory and has not been changed."""
        kept = self.memory.get_now(key)
        if kept is None:
            return None
        changes = self.notice_reopening()
        if changes is None or changes.number(key) != kept.token:
            self.memory.drop(key)
            return None
        return kept

    async def get(self, key: bytes) -> Entry | None:
        """Return the entry of a key."""
        if (kept := self.get_now(key)) is not None:
            return kept
        changes = self.notice_reopening()
        token = None if changes is None else changes.number(key)
        found = await self.disk.get(key)
        if found is None or changes is not self.notice_reopening():
            return found
        found.token = token
        if found.body is not None and token is not None:
            self.memory.put(
                key,
                found.head,
                [found.body],
                _NONE,
                keep=found.found.until - time.time(),
                stamp=found.stamp,
                stale=found.stale,
                token=token,
            )
            await self.memory.make_room()
        return found

    async def read(
        self, key: bytes, entry: Entry, start: int, stop: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield a part of a body; one from disk that is read as a whole is kept in memory.

        :raises EntryGone: it cannot be read.
        """
        store = self.memory if isinstance(entry, Kept) else self.disk
        writer = self._promotion(key, entry) if (start, stop) == (0, entry.size) else None
        async with aclosing(store.read(key, entry, start, stop)) as chunks:
            async for chunk in chunks:
                if writer is not None and not writer.add(chunk):
                    writer = None
                yield chunk
        if writer is not None and isinstance(entry, DiskEntry) and entry.token is not None:
            await writer.commit_as(stale=entry.stale, stamp=entry.stamp, token=entry.token)

    def _promotion(self, key: bytes, entry: Entry) -> MemoryWriter | None:
        """Begin to copy a body from disk to memory, if it may be there."""
        if not isinstance(entry, DiskEntry) or entry.token is None or entry.body is not None:
            return None
        if entry.size >= self.memory.largest or self.notice_reopening() is None:
            return None
        return self.memory.write(key, entry.head, keep=entry.found.until - time.time())

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
    ) -> TieredWriter:
        """Begin to write an entry."""
        to_disk = self.disk.write(
            key, head, keep=keep, url=url, tags=tags, namespace=namespace, since=since
        )
        return TieredWriter(to_disk, self.memory.write(key, head, keep=keep), self.notice_reopening)

    async def replace_head(self, key: bytes, entry: Entry, head: bytes, keep: float) -> bool:
        """Give an entry another head."""
        return await self.disk.replace_head(key, entry, head, keep)

    # Removing

    async def remove(self, key: bytes) -> bool:
        """Remove the entry of a key."""
        self.memory.drop(key)
        return await self.disk.remove(key)

    async def purge(
        self,
        *,
        prefix: str = "",
        namespace: str | None = None,
        tag: str | None = None,
        soft: bool = False,
    ) -> int:
        """Remove entries, or mark them as stale."""
        return await self.disk.purge(prefix=prefix, namespace=namespace, tag=tag, soft=soft)

    async def entries(
        self, *, prefix: str = "", namespace: str | None = None, limit: int = 100
    ) -> list[Listed]:
        """List entries."""
        return await self.disk.entries(prefix=prefix, namespace=namespace, limit=limit)

    # The rest

    def figures(self) -> StoreFigures:
        """Return the numbers of the disk; ``memory.figures()`` are those of the memory."""
        return self.disk.figures()

    async def maintain(self) -> None:
        """Remove from the disk what is not needed; runs until it is cancelled."""
        await self.disk.maintain()

    async def aclose(self) -> None:
        """Close both."""
        await self.memory.aclose()
        await self.disk.aclose()

    def notice_reopening(self) -> Changes | None:
        """Return the changes on disk. If the folder was opened anew, what is in memory means nothing."""
        changes = self.disk.changes
        if changes is not self._seen:
            self.memory.clear()
            self._seen = changes
        return changes


class TieredWriter:
    """An entry that is being written to disk, and to memory if it is small."""

    def __init__(
        self, to_disk: DiskWriter, to_memory: MemoryWriter, before_keeping: Callable[[], object]
    ) -> None:
        self._before_keeping = before_keeping
        self._to_disk = to_disk
        self._to_memory = to_memory

    async def write(self, chunk: bytes) -> None:
        """Add bytes to the body."""
        self._to_memory.add(chunk)
        await self._to_disk.write(chunk)

    async def commit(self) -> bool:
        """Make the entry visible."""
        try:
            stored = await self._to_disk.commit()
            if stored and self._to_disk.token is not None:
                self._before_keeping()
                await self._to_memory.commit_as(
                    stale=False, stamp=self._to_disk.stamp, token=self._to_disk.token
                )
        finally:
            self.discard()
        return stored

    def discard(self) -> None:
        """Forget what was written."""
        self._to_memory.discard()
        self._to_disk.discard()
