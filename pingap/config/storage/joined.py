"""A configuration from several storages: ``-c`` given several times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from pingap.config.problem import quoted
from pingap.config.snapshot import Snapshot
from pingap.config.storage.errors import StorageConflict, StorageError
from pingap.config.storage.files import FileStorage
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

    async def read(self) -> Snapshot:
        """Return the documents of all storages.

        :raises StorageError: one of them cannot be read.
        """
        return self._joined([await _read(part) for part in self._parts])

    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> str:
        """Write documents to the storage that has them; unknown ones to the first storage.

        :raises StorageConflict: a document was changed in the meantime.
        :raises StorageError: the documents are in several storages, or cannot be written.
        """
        read = [await _read(part) for part in self._parts]
        if self._joined(read).version != expected:
            raise StorageConflict("the documents were changed meanwhile")
        owners = {name: at for at, one in enumerate(read) for name, _ in one.files}
        used = sorted({owners.get(name, 0) for name in documents})
        if len(used) > 1:
            places = " and ".join(self._parts[at].place for at in used)
            raise StorageError(f"these documents are in {places}: write to one of them at a time")
        for at in used:
            await self._parts[at].storage.write(documents, expected=read[at].version)
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

    def _joined(self, read: Sequence[Snapshot]) -> Snapshot:
        of_files = (part.storage for part in self._parts)
        first = next((at for at, one in enumerate(of_files) if isinstance(one, FileStorage)), 0)
        return Snapshot(
            directory=read[first].directory,
            files=tuple(file for one in read for file in one.files),
            problems=tuple(problem for one in read for problem in one.problems),
            warnings=tuple(warning for one in read for warning in one.warnings),
            optional={name: keys for one in read for name, keys in one.optional.items()},
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
