"""A configuration from several storages: ``-c`` given several times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import anyio.to_thread

from pingap.config.editing.documents import Layout, items_in
from pingap.config.editing.toml_text import EditError, Items
from pingap.config.problem import KeyPath, quoted
from pingap.config.snapshot import Snapshot
from pingap.config.storage.errors import StorageConflict, StorageError
from pingap.config.storage.files import FileStorage
from pingap.config.storage.history import ConfigHistory
from pingap.config.storage.interface import ConfigStorage


@dataclass(frozen=True, slots=True)
class Part:
    """One of the storages.

    :param place: its location as messages show it, without passwords.
    """

    place: str
    storage: ConfigStorage


class JoinedStorage(ConfigStorage):
    """The documents of several storages.

    Relative paths in all documents are relative to the first one that consists of files.

    :param parts: in the order in which they were given.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)
        writable = (at for at, part in enumerate(parts) if part.storage.is_writable)
        self._main = next(writable, 0)

    @property
    def is_writable(self) -> bool:  # type: ignore[override]
        """Whether one of them can be written."""
        return self._parts[self._main].storage.is_writable

    @property
    def layout(self) -> Layout:
        """That of the first storage that can be written."""
        return self._parts[self._main].storage.layout

    @property
    def history(self) -> ConfigHistory | None:
        """That of the first storage that can be written; documents of the others are in no version."""
        return self._parts[self._main].storage.history

    async def read(self) -> Snapshot:
        """Return the documents of all storages.

        :raises StorageError: one of them cannot be read.
        """
        return self._joined([await _read(part) for part in self._parts])

    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> str:
        """Write documents to the storage that has them; unknown ones to the first that can be written.

        :raises StorageConflict: a document was changed in the meantime.
        :raises StorageError: the documents are in several storages, or cannot be written.
        """
        read = await self._unchanged(expected)
        owners = {name: at for at, one in enumerate(read) for name, _ in one.files}
        at = self._only_one({owners.get(name, self._main) for name in documents}, "documents")
        await self._parts[at].storage.write(documents, expected=read[at].version)
        return (await self.read()).version

    async def write_items(self, items: Items, *, expected: str) -> str:
        """Change items in the storage that has them; new ones in the first that can be written.

        :raises StorageConflict: a document was changed in the meantime.
        :raises StorageError: the items are in several storages, or cannot be written.
        """
        read = await self._unchanged(expected)
        owners: dict[KeyPath, int] = {}
        try:
            for at, one in enumerate(read):
                find = partial(items_in, one, items, self._parts[at].storage.formats)
                owners |= dict.fromkeys(await anyio.to_thread.run_sync(find), at)
        except EditError as error:
            raise StorageError(str(error)) from None
        at = self._only_one({owners.get(path, self._main) for path in items}, "items")
        await self._parts[at].storage.write_items(items, expected=read[at].version)
        return (await self.read()).version

    async def watch(self) -> AsyncIterator[None]:
        """Yield an item after each change in one of the storages."""
        changed = asyncio.Event()
        # Not a task group: a generator may be closed by another task than the one that iterates.
        tasks = [asyncio.create_task(_follow(part.storage, changed)) for part in self._parts]
        for task in tasks:
            task.add_done_callback(lambda _: changed.set())
        try:
            while True:
                await changed.wait()
                changed.clear()
                for task in tasks:
                    if task.done():
                        task.result()
                        raise StorageError("a storage ended its watch")
                yield
        finally:
            for task in tasks:
                task.cancel()

    async def _unchanged(self, expected: str) -> list[Snapshot]:
        read = [await _read(part) for part in self._parts]
        if self._joined(read).version != expected:
            raise StorageConflict("the documents were changed meanwhile")
        return read

    def _only_one(self, used: set[int], what: str) -> int:
        if len(used) > 1:
            places = " and ".join(self._parts[at].place for at in sorted(used))
            raise StorageError(f"these {what} are in {places}: write to one of them at a time")
        return next(iter(used), self._main)

    def _joined(self, read: Sequence[Snapshot]) -> Snapshot:
        of_files = (part.storage for part in self._parts)
        first = next((at for at, one in enumerate(of_files) if isinstance(one, FileStorage)), 0)
        return Snapshot(
            directory=read[first].directory,
            files=tuple(file for one in read for file in one.files),
            problems=tuple(problem for one in read for problem in one.problems),
            warnings=tuple(warning for one in read for warning in one.warnings),
            optional={name: keys for one in read for name, keys in one.optional.items()},
            elsewhere=frozenset(
                name for at, one in enumerate(read) for name, _ in one.files if at != self._main
            ),
        )


async def _read(part: Part) -> Snapshot:
    if isinstance(part.storage, FileStorage):
        return part.storage.snapshot()  # without a thread: the process may fork
    try:
        return await part.storage.read()
    except StorageError as error:
        raise StorageError(f"{quoted(part.place)}: {error}") from None


async def _follow(storage: ConfigStorage, changed: asyncio.Event) -> None:
    async for _ in storage.watch():
        changed.set()
