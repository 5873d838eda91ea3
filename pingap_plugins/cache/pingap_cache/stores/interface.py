"""What a store is: bytes under keys, found quickly, in memory or on disk.

A store knows nothing of HTTP. It keeps a ``head``, which it does not look into, and a body, and finds
entries by key, or by URL, namespace and tags for a purge. It never raises because of its medium: if a
disk is full or gone, ``get`` finds nothing, and what is written is not stored. Whoever implements this
can use it in place of the stores here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from typing import Final, Protocol

CHUNK: Final = 64 * 1024
"""The most bytes of a body that ``read`` yields at once."""


class EntryGone(Exception):
    """The body of an entry cannot be read (to its end): it was removed, or is corrupt."""


class Entry:
    """What was stored under a key.

    :param head: opaque to the store, and small.
    :param body: the whole body, if it is in memory; None: ``Store.read`` yields it.
    :param size: bytes of the body.
    :param stale: a soft purge has marked the entry since it was stored, or since its head was replaced.
    :param stamp: differs for everything that was ever written, and stays when a head is replaced.
    :ivar view: what a user of the store has made of ``head``; the store does not look at it.
    """

    __slots__ = ("body", "head", "size", "stale", "stamp", "view")

    def __init__(
        self, head: bytes, body: bytes | None, size: int, *, stale: bool, stamp: int
    ) -> None:
        self.head = head
        self.body = body
        self.size = size
        self.stale = stale
        self.stamp = stamp
        self.view: object = None


@dataclass(frozen=True, slots=True)
class Labels:
    """What an entry is found by, other than its key."""

    url: str = ""
    tags: Sequence[str] = ()
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry, as ``Store.entries`` lists it.

    Times are seconds since 1970. ``keep_until`` is when the entry is removed at the latest.
    """

    key: bytes
    url: str
    namespace: str
    size: int
    stored: float
    keep_until: float
    stale: bool


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """Numbers of a store. Those that count do so since this process opened it.

    :param entries: entries that are stored now.
    :param bytes: what they take, with everything that comes with them.
    :param limit: the most that they may take; None: there is no limit.
    :param evictions: entries that were removed to make room.
    :param reads: calls of ``get`` and chunks of bodies that went to the medium; 0 in memory.
    :param writes: entries that were stored.
    :param read_seconds: what the reads took.
    :param write_seconds: what the writes took, from the first chunk to the commit, waiting excluded.
    :param corrupt: entries that were found damaged, and were removed.
    :param failures: calls that failed because of the medium: full, gone, read-only.
    :param reading: reads in progress.
    :param writing: entries being written.
    """

    entries: int = 0
    bytes: int = 0
    limit: int | None = None
    evictions: int = 0
    reads: int = 0
    writes: int = 0
    read_seconds: float = 0.0
    write_seconds: float = 0.0
    corrupt: int = 0
    failures: int = 0
    reading: int = 0
    writing: int = 0

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all figures."""
        return tuple(field.name for field in fields(cls))


class Writer(Protocol):
    """An entry that is being written. Nothing is visible before ``commit``.

    One task uses it at a time. A writer that is neither committed nor discarded is discarded when it is
    no longer used.
    """

    async def write(self, chunk: bytes) -> None:
        """Add bytes to the body. If the store cannot take them, it gives the entry up silently."""

    async def commit(self) -> bool:
        """Make the entry visible, in place of one with the same key.

        :returns: whether it was stored. It is not if it is too large, if the medium failed, or if the
            entry was removed or purged while it was being written. Softly purged, it is stored as stale.
        """

    def discard(self) -> None:
        """Forget what was written. After ``commit``, and a second time, this does nothing."""


class Store(Protocol):
    """Where entries are kept. All methods are called in the event loop, and none blocks it."""

    def get_now(self, key: bytes) -> Entry | None:
        """Return the entry of a key if it is in memory and known to be the newest; takes about 1 us."""

    async def get(self, key: bytes) -> Entry | None:
        """Return the entry of a key; it may be on disk."""

    def read(self, key: bytes, entry: Entry, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` of a body, in chunks of at most ``CHUNK`` bytes.

        :raises EntryGone: they cannot be read. It is mostly raised before the first chunk.
        """

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
    ) -> Writer:
        """Begin to write an entry.

        :param keep: seconds for which it may be useful at all. It is removed afterwards.
        :param url: by which ``purge`` finds it.
        :param tags: the same.
        :param namespace: the same.
        :param since: a time of ``monotonic``: what was removed or purged later counts as done while it
            is being written. By default that is now.
        """

    async def replace_head(self, key: bytes, entry: Entry, head: bytes, keep: float) -> bool:
        """Give an entry another head; it is not stale any more.

        :param entry: as ``get`` or ``get_now`` returned it.
        :param keep: as for ``write``, from now on.
        :returns: False if what is stored under the key is not this entry any more.
        """

    async def remove(self, key: bytes) -> bool:
        """Remove the entry of a key, and one that is being written; return whether there was one."""

    async def purge(
        self,
        *,
        prefix: str = "",
        namespace: str | None = None,
        tag: str | None = None,
        soft: bool = False,
    ) -> int:
        """Remove all entries that match every condition; or mark them as stale.

        Entries that are being written are included, but not counted.

        :param prefix: of the URL.
        :param soft: mark them, and keep them.
        :returns: how many there were. With several processes on one folder, what one of them removes
            is gone for all.
        """

    async def entries(
        self, *, prefix: str = "", namespace: str | None = None, limit: int = 100
    ) -> list[Listed]:
        """List entries, at most so many, in no certain order."""

    def figures(self) -> StoreFigures:
        """Return the numbers of the store. Those of a disk may be some seconds old."""

    async def maintain(self) -> None:
        """Do in the background what is due from time to time; runs until it is cancelled."""

    async def aclose(self) -> None:
        """Close the store; it cannot be used afterwards."""
