"""Storages in memory: for tests of plugins, and for a configuration that is not in files."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import NoReturn

from pingap.config.snapshot import Snapshot
from pingap.config.storage.errors import StorageConflict, StorageError
from pingap.config.storage.interface import ConfigStorage


class MemoryStorage(ConfigStorage):
    """Keeps documents in memory; unlike other storages, it can be used in several event loops.

    :param documents: name -> text.

    .. versionadded:: 1.1
    """

    def __init__(self, documents: Mapping[str, str] | None = None) -> None:
        self._documents = dict(documents or {})
        self._lock = threading.RLock()
        self._watchers: list[Callable[[], object]] = []

    @property
    def documents(self) -> dict[str, str]:
        """The current documents."""
        return dict(self._documents)

    async def read(self) -> Snapshot:
        """Return all documents."""
        return self._snapshot()

    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> str:
        """Write documents.

        :raises StorageConflict: they have been changed in the meantime.
        """
        with self._lock:
            if self._snapshot().version != expected:
                raise StorageConflict("the documents were changed meanwhile")
            self.change(documents)
            return self._snapshot().version

    def change(self, documents: Mapping[str, str | None]) -> None:
        """Change documents as another writer would; from any thread."""
        with self._lock:
            merged = {**self._documents, **documents}
            self._documents = {name: text for name, text in merged.items() if text is not None}
        for wake in list(self._watchers):
            wake()

    async def watch(self) -> AsyncIterator[None]:
        """Yield an item at once, and after each change."""
        changed = asyncio.Event()
        changed.set()
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, changed.set)
        self._watchers.append(wake)
        try:
            while True:
                await changed.wait()
                changed.clear()
                yield
        finally:
            self._watchers.remove(wake)

    def _snapshot(self) -> Snapshot:
        return Snapshot(files=tuple(sorted(self._documents.items())))


class TextStorage(MemoryStorage):
    """A configuration given on the command line: it cannot be written.

    :param text: TOML.
    :param name: shown in problems instead of a file.
    """

    is_writable = False

    def __init__(self, text: str, name: str) -> None:
        super().__init__({name: text})

    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> NoReturn:
        """Reject the change.

        :raises StorageError: always.
        """
        raise StorageError("this configuration is not in files and cannot be written: give -c PATH")
