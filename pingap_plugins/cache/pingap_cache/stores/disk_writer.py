"""An entry that is being written to disk."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from pingap_cache.stores.blocks import Blocks
from pingap_cache.stores.body_files import NewFile
from pingap_cache.stores.interface import CHUNK, Labels
from pingap_cache.stores.record import Record

if TYPE_CHECKING:
    from pingap_cache.stores.disk import DiskStore

T = TypeVar("T")


class DiskWriter:
    """Holds a block of the body in memory; what is more goes to a file.

    :param open: False: the entry is not stored, since too many others are being written.
    :param since: see ``Store.write``.
    """

    def __init__(
        self,
        store: DiskStore,
        key: bytes,
        head: bytes,
        keep: float,
        labels: Labels,
        *,
        open: bool,  # noqa: A002
        since: float | None = None,
    ) -> None:
        self.stamp = secrets.randbits(63)
        """That of the entry."""
        self.token: int | None = None
        """For ``tiered``, after ``commit``: see ``Stored``."""
        self._store = store
        self._key = key
        self._head = head
        self._keep = keep
        self._labels = labels
        # (Other processes do not share the monotonic clock.)
        self._began = time.time() - (0.0 if since is None else max(0.0, time.monotonic() - since))
        self._seconds = 0.0
        self._body = Blocks()
        self._full: list[bytes] = []
        self._file: NewFile | None = None
        self._open = open
        if open:
            store.begin()

    async def write(self, chunk: bytes) -> None:
        """Add bytes to the body."""
        if not self._open:
            return
        self._full += self._body.add(chunk)
        if self._full and self._body.size > CHUNK:
            await self._append()

    async def commit(self) -> bool:
        """Make the entry visible."""
        if not self._open:
            return False
        rest, size = self._body.rest(), self._body.size
        if rest:
            self._full.append(rest)
        try:
            if size > CHUNK and not await self._append():
                return False
            record = self._record(size)
            found = await self._timed(
                self._store.keep(
                    self._key, record, self._file, self._keep, self._labels, self._began
                )
            )
            self.token = found.token
            self._end(stored=found.stored)
        finally:
            self.discard()
        return found.stored

    def discard(self) -> None:
        """Forget what was written."""
        self._end(stored=False)

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self.discard()

    def _record(self, size: int) -> Record:
        if self._file is None:
            return Record(self.stamp, self._head, size, b"".join(self._full))
        file = self._file
        return Record(self.stamp, self._head, size, None, file.checksums, file.modified)

    async def _append(self) -> bool:
        """Write full blocks to the file; return whether the entry is still being written."""
        blocks, self._full = self._full, []
        if blocks:
            self._file = await self._timed(self._store.append(self._file, blocks))
            if self._file is None:
                self.discard()
        return self._open

    async def _timed(self, call: Awaitable[T]) -> T:
        began = time.perf_counter()
        try:
            return await call
        finally:
            self._seconds += time.perf_counter() - began

    def _end(self, *, stored: bool) -> None:
        if self._open:
            self._open = False
            self._full = []
            self._store.end(self._seconds, stored=stored)
            if self._file is not None:
                self._store.forget(self._file)
                self._file = None
