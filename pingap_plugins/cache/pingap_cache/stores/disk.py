"""Entries in a folder, which all workers share, and other instances as well.

Heads and small bodies are in a database (diskcache's, which is SQLite), larger bodies in files. Everything
runs in threads. What goes wrong with the disk is a miss, and is said once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from pingap_cache.stores import schema
from pingap_cache.stores.blocks import pieces
from pingap_cache.stores.body_files import NewFile, StoredFile
from pingap_cache.stores.changes import Changes
from pingap_cache.stores.database import Database
from pingap_cache.stores.disk_entry import DiskEntry, Stored
from pingap_cache.stores.disk_writer import DiskWriter
from pingap_cache.stores.folder import Folder
from pingap_cache.stores.interface import CHUNK, Entry, EntryGone, Labels, Listed, StoreFigures
from pingap_cache.stores.purges import Purge
from pingap_cache.stores.record import CorruptRecord, Record
from pingap_cache.stores.threads import Kind, Threads
from pingap_cache.stores.upkeep import Upkeep

INLINE: Final = CHUNK
"""A body of up to so many bytes is in the row of its entry."""
CHECKED_FIRST: Final = 16 * 1024 * 1024
"""A file of up to so many bytes is checked as a whole before a process reads it for the first time, and a
file of any size if it was written to since: so damage is a miss. Blocks are checked again when they are
read; damage that is found only then ends the reading there."""
GROUP: Final = 4
"""Blocks that are read at once."""
TEND_SECONDS: Final = 10.0
"""How often the folder is tended."""
MOST_CHECKED: Final = 10_000
"""Files that are remembered as checked."""

T = TypeVar("T")


class DiskStore:
    """Keeps entries in a folder. Nothing is opened before the first call, so not before a fork.

    :param path: the folder; made if it is not there.
    :param size_limit: bytes that the folder may have; None: no limit.
    :param inactive: seconds after which an entry that nobody asked for is removed; 0: never.
    :param levels: digits in the names of folders below, for files: ``(1, 2)`` as in ``a/bc/...``.
    :param reading_max: look-ups and bodies read at once, beyond which nothing is found; 0: no limit.
    :param writing_max: entries written at once, beyond which nothing is stored; 0: no limit.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_limit: int | None = None,
        inactive: float = 48 * 3600.0,
        levels: tuple[int, ...] = (2,),
        reading_max: int = 10_000,
        writing_max: int = 1000,
    ) -> None:
        self.path = path
        self.levels = levels
        self._reading_max = reading_max or 2**62
        self._writing_max = writing_max or 2**62
        self._threads = Threads()
        self._folder = Folder(path)
        self._upkeep = Upkeep(size_limit, inactive)
        self._before_memory = False
        self._checked: dict[int, int] = {}  # stamp of the entry -> time of its file
        self._reads = self._writes = self._reading = self._writing = 0
        self._read_seconds = self._write_seconds = 0.0

    @property
    def changes(self) -> Changes | None:
        """What any process changes in the folder; None until it is open."""
        return self._folder.changes

    # Reading

    def get_now(self, key: bytes) -> None:
        """Return nothing: a disk cannot be asked in the event loop."""

    async def get(self, key: bytes) -> DiskEntry | None:
        """Return the entry of a key."""
        if self._reading >= self._reading_max or self._threads.closed:
            return None
        found = await self._read("finding", self._folder_of_process().look_up, key)
        if found is None:
            return None
        self._upkeep.used(key)
        return DiskEntry(found)

    async def read(
        self, key: bytes, entry: Entry, start: int, stop: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield a part of a body.

        :raises EntryGone: it cannot be read.
        """
        if entry.body is not None:
            for place in range(start, stop, CHUNK):
                yield entry.body[place : min(place + CHUNK, stop)]
            return
        if not isinstance(entry, DiskEntry) or entry.found.filename is None:
            raise EntryGone("it was not stored here")
        if self._threads.closed:
            raise EntryGone("the store is closed")
        if start >= stop:
            return
        file = await self._open(key, entry)
        try:
            parts = list(pieces(start, stop))
            for place in range(0, len(parts), GROUP):
                some = parts[place : place + GROUP]
                blocks = await self._blocks(key, entry, file, some[0][0], len(some))
                for block, (_, begin, end) in zip(blocks, some, strict=True):
                    yield block if end - begin == len(block) else block[begin:end]
        finally:
            self._threads.start_last("bodies", file.close)

    async def _open(self, key: bytes, entry: DiskEntry) -> StoredFile:
        record = entry.found.record
        path = self.path / str(entry.found.filename)
        opening = partial(StoredFile, path, record.size, record.checksums)
        file = await self._guarded(key, entry, opening)
        known = 0 if record.size <= CHECKED_FIRST else record.modified
        if self._checked.get(record.stamp, known) != file.modified:
            try:
                for first in range(0, len(record.checksums), 4 * GROUP):
                    await self._blocks(key, entry, file, first, 4 * GROUP)
            except BaseException:
                self._threads.start_last("bodies", file.close)
                raise
            if len(self._checked) >= MOST_CHECKED:
                self._checked.clear()
            self._checked[record.stamp] = file.modified
        return file

    async def _blocks(
        self, key: bytes, entry: DiskEntry, file: StoredFile, first: int, count: int
    ) -> list[bytes]:
        return await self._guarded(key, entry, partial(file.blocks, first, count))

    async def _guarded(self, key: bytes, entry: DiskEntry, call: Callable[[], T]) -> T:
        """Read from the file of an entry; what is damaged is removed.

        :raises EntryGone: it cannot be read.
        """
        folder = self._folder_of_process()
        try:
            return await self._read("bodies", call)
        except CorruptRecord as error:
            now = await self._read("finding", folder.look_up, key)
            if now is None or now.record.stamp != entry.stamp:  # evicted or replaced just now
                raise EntryGone(str(error)) from None
            folder.trouble.found_corrupt(str(error))
            folder.scan_due = True
            await self._change(partial(Database.drop, key=key), None, [key])
            raise EntryGone(str(error)) from None
        except OSError as error:
            folder.trouble.failed(error.strerror or str(error))
            raise EntryGone(str(error)) from None

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
    ) -> DiskWriter:
        """Begin to write an entry."""
        self._folder_of_process()
        labels = Labels(url, tuple(tags), namespace)
        may = self._writing < self._writing_max and not self._threads.closed
        return DiskWriter(self, key, head, keep, labels, open=may, since=since)

    async def replace_head(self, key: bytes, entry: Entry, head: bytes, keep: float) -> bool:
        """Give an entry another head."""
        work = partial(Database.replace_head, key=key, stamp=entry.stamp, head=head, keep=keep)
        return await self._change(work, False, [key])

    # Removing

    async def remove(self, key: bytes) -> bool:
        """Remove the entry of a key."""
        return await self._change(partial(Database.remove, key=key), False, [key], removes=True)

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
        at = await self._change(partial(Database.remember, purge=purge), 0.0, removes=True)
        first = schema.encoded(prefix)
        where: dict[str, Any] = {"first": first, "last": schema.after(first)}
        if tag is not None:
            within = None if namespace is None else schema.encoded(namespace)
            where |= {"tag": schema.encoded(tag), "namespace": within}
            return await self._purge(purge, schema.BY_TAG, where, at)
        names = [] if namespace is None else [schema.encoded(namespace)]
        count = 0
        for name in names or await self._change(Database.namespaces, [], removes=True):
            count += await self._purge(purge, schema.BY_URL, {**where, "namespace": name}, at)
        return count

    async def _purge(self, purge: Purge, query: str, where: dict[str, Any], at: float) -> int:
        """Purge in batches, between which others can write."""
        where |= {"entry": -1, "url": where["first"]}
        nothing: tuple[int, list[bytes]] = (0, [])
        total, keys = 0, [b""]
        while keys:
            work = partial(Database.purge_some, purge=purge, query=query, where=where, until=at)
            count, keys = await self._change(work, nothing, removes=True)
            await self._tell(keys)
            total += count
        return total

    async def entries(
        self, *, prefix: str = "", namespace: str | None = None, limit: int = 100
    ) -> list[Listed]:
        """List entries."""
        work = partial(Database.listed, prefix=prefix, namespace=namespace, limit=limit)
        folder = self._folder_of_process()
        nothing: list[Listed] = []
        if self._threads.closed:
            return nothing
        return await self._threads.run("finding", folder.use, work, nothing)

    # The rest

    def figures(self) -> StoreFigures:
        """Return the numbers of the store: entries and bytes are those of the folder."""
        return StoreFigures(
            entries=self._upkeep.entries,
            bytes=self._upkeep.volume,
            limit=self._upkeep.size_limit,
            evictions=self._upkeep.evictions,
            reads=self._reads,
            writes=self._writes,
            read_seconds=self._read_seconds,
            write_seconds=self._write_seconds,
            corrupt=self._folder.trouble.corrupt,
            failures=self._folder.trouble.failures,
            reading=self._reading,
            writing=self._writing,
        )

    async def maintain(self) -> None:
        """Remove what is not needed, every few seconds; runs until it is cancelled."""
        while True:
            await self.tend()
            await anyio.sleep(TEND_SECONDS)

    async def tend(self) -> None:
        """Remove what is not needed: dead, unused, too much, left behind by processes that were killed."""
        folder = self._folder_of_process()
        if not self._threads.closed:
            await self._threads.run("tending", self._upkeep.tend, folder)

    async def aclose(self) -> None:
        """Close the folder."""
        self._upkeep.stop()
        await self._threads.close(self._folder.close_mine)
        self._folder.close()

    def in_memory(self, keys: Callable[[], Iterable[bytes]]) -> None:
        """Say what is asked for without the disk; called in a thread, from time to time."""
        self._upkeep.in_memory = keys
        self._before_memory = True

    # For writers

    def begin(self) -> None:
        """Count an entry that is being written."""
        self._writing += 1

    def end(self, seconds: float, *, stored: bool) -> None:
        """Count it as no longer written."""
        self._writing -= 1
        self._writes += stored
        self._write_seconds += seconds

    async def append(self, file: NewFile | None, blocks: Sequence[bytes]) -> NewFile | None:
        """Write blocks to a file, a new one at first; None if that cannot be done."""
        if self._threads.closed:
            return None
        return await self._threads.run("bodies", self._append, file, blocks)

    def _append(self, file: NewFile | None, blocks: Sequence[bytes]) -> NewFile | None:
        made = file
        try:
            made = made or NewFile(self.path, self.levels)
            made.write(blocks)
        except OSError as error:
            self._folder.trouble.failed(error.strerror or str(error))
            if made is not None:
                made.close()
            return None
        return made

    async def keep(
        self,
        key: bytes,
        record: Record,
        file: NewFile | None,
        keep: float,
        labels: Labels,
        began: float,
    ) -> Stored:
        """Make an entry visible."""
        folder = self._folder_of_process()

        def work(database: Database) -> bool:
            name = None if file is None else file.name
            stored = database.keep(key, record, name, keep, labels, began)
            if file is not None:
                file.kept = stored
                file.close()
            return stored

        def work_and_tell() -> Stored:
            if not folder.use(work, False):
                return Stored(False)
            folder.tell([key])
            self._upkeep.fit(folder)
            if not self._before_memory:
                return Stored(True)
            token = None if folder.changes is None else folder.changes.number(key)
            newest = partial(Database.is_newest, key=key, stamp=record.stamp)
            return Stored(True, token if folder.use(newest, False) else None)

        if self._threads.closed:
            return Stored(False)
        return await self._threads.run("changing", work_and_tell)

    def forget(self, file: NewFile) -> None:
        """Remove a file that was being written, unless it was kept; after all that it was meant for."""
        self._threads.start_last("changing", file.close)

    # In threads

    async def _change(
        self,
        work: Callable[[Database], T],
        default: T,
        keys: Sequence[bytes] = (),
        *,
        removes: bool = False,
    ) -> T:
        folder = self._folder_of_process()

        def change() -> T:
            result = folder.use(work, default, or_empty=removes)
            folder.tell(keys)
            return result

        return default if self._threads.closed else await self._threads.run("changing", change)

    async def _tell(self, keys: Sequence[bytes]) -> None:
        if keys and not self._threads.closed:
            await self._threads.run("changing", self._folder_of_process().tell, keys)

    async def _read(self, kind: Kind, call: Callable[..., T], *arguments: Any) -> T:
        began = time.perf_counter()
        self._reading += 1
        try:
            return await self._threads.run(kind, call, *arguments)
        finally:
            self._reading -= 1
            self._reads += 1
            self._read_seconds += time.perf_counter() - began

    def _folder_of_process(self) -> Folder:
        """Return the folder; after a fork, another one, since threads and locks stayed behind."""
        if self._threads.forked():
            self._folder = Folder(self.path)
        return self._folder
