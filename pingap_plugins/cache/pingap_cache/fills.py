"""Responses on their way into the store, and the requests of this worker that share them.

The first request for something is the one that fetches it. Others wait for what becomes of that, and
may read its body while it comes. Nothing here does IO or knows HTTP.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from pingap_cache.http.stored import StoredResponse
    from pingap_cache.http.vary import Variants

SHARED_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a body that are kept for those who join, and bytes by which a reader may lag behind."""


class State(enum.Enum):
    """What has become of a fill."""

    ASKING = "the head has not come"
    FLOWING = "the body comes"
    STORED = "all of it is stored"
    DECLINED = "the response cannot be shared"
    FAILED = "the response did not come, or not all of it"


class BrokenFillError(Exception):
    """The body that was shared did not come to its end."""


class Fill:
    """One response on its way into the store.

    :param key: under which others look for it.
    """

    __slots__ = (
        "_changed",
        "_chunks",
        "_readers",
        "head",
        "hurry",
        "key",
        "length",
        "marker",
        "primary",
        "size",
        "state",
        "url",
        "variant",
    )

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.primary = key
        """The key of the URL."""
        self.url = ""
        self.hurry: Callable[[bool], None] | None = None
        """Lets the body come as fast as it can, or as its client takes it."""
        self.state = State.ASKING
        self.head: StoredResponse | None = None
        """What is being stored, once its head has come."""
        self.variant = b""
        """The key that it will be stored under."""
        self.marker: Variants | None = None
        """What that key is made of, if the URL has variants."""
        self.length: int | None = None
        """Bytes of the body, if they were announced."""
        self.size = 0
        """Bytes that have come."""
        self._changed: anyio.Event | None = None
        self._chunks: list[bytes] | None = []
        self._readers: list[Reader] = []

    def begin(
        self, head: StoredResponse, variant: bytes, marker: Variants | None, length: int | None
    ) -> None:
        """Take the head: others may read from now on."""
        self.head, self.variant, self.marker, self.length = head, variant, marker, length
        self._change(State.FLOWING)

    def feed(self, chunk: bytes) -> None:
        """Take bytes of the body."""
        self.size += len(chunk)
        if self.size > SHARED_BYTES and self.hurry is not None:
            self.hurry(False)
        if self._chunks is not None:
            if self.size <= SHARED_BYTES:
                self._chunks.append(chunk)
            else:
                self._chunks = None
        for reader in self._readers:
            reader.take(chunk)

    def close(self) -> None:
        """Let nobody join any more."""
        self._chunks = None

    def end(self, state: State) -> None:
        """Record the outcome; only the first call counts."""
        if self.state in (State.ASKING, State.FLOWING):
            self._change(state)
            for reader in self._readers:
                reader.wake()
            self._chunks = self.hurry = None

    def _change(self, state: State) -> None:
        self.state = state
        if self._changed is not None:
            changed, self._changed = self._changed, None
            changed.set()

    async def changed(self) -> None:
        """Return when the state has changed."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    @property
    def is_joinable(self) -> bool:
        """Whether all of the body that has come is still here, and more of it is to come.

        A body that is known to be large could only come as its client takes it.
        """
        small = self.length is None or self.length <= SHARED_BYTES
        return self.state is State.FLOWING and self._chunks is not None and small

    def join(self) -> Reader:
        """Return a reader of the whole body."""
        assert self._chunks is not None
        reader = Reader(self, self._chunks)
        self._readers.append(reader)
        if self.hurry is not None:
            self.hurry(True)
        return reader

    def go_on(self, hurry: Callable[[bool], None]) -> None:
        """Take what lets the body come faster; it is used while others read it.

        :param hurry: called with True or False.
        """
        self.hurry = hurry
        if self._readers:
            hurry(True)

    def leave(self, reader: Reader) -> None:
        """Forget a reader."""
        if reader in self._readers:
            self._readers.remove(reader)


class Reader:
    """Reads the body of a fill as it comes.

    :param chunks: what has come already.
    """

    __slots__ = ("_chunks", "_fill", "_waiting", "_woken", "lost", "position")

    def __init__(self, fill: Fill, chunks: list[bytes]) -> None:
        self._fill = fill
        self._chunks = deque(chunks)
        self._waiting = fill.size
        self._woken: anyio.Event | None = None
        self.position = 0
        """Bytes that were read."""
        self.lost = False
        """The reader lagged too far behind: the rest is to be read from the store."""

    def take(self, chunk: bytes) -> None:
        """Take bytes of the body."""
        if not self.lost:
            self._waiting += len(chunk)
            if self._waiting > SHARED_BYTES:
                self.lost = True
            else:
                self._chunks.append(chunk)
            self.wake()

    def wake(self) -> None:
        """Let the reader look again."""
        if self._woken is not None:
            woken, self._woken = self._woken, None
            woken.set()

    async def read(self) -> AsyncIterator[bytes]:
        """Yield what is here; return at the end of the body, or when the reader is lost and it has ended.

        :raises BrokenFillError: the body stays incomplete.
        """
        fill = self._fill
        try:
            while True:
                while self._chunks:
                    chunk = self._chunks.popleft()
                    self._waiting -= len(chunk)
                    self.position += len(chunk)
                    yield chunk
                if fill.state is not State.FLOWING:
                    break
                self._woken = anyio.Event()
                await self._woken.wait()
        finally:
            fill.leave(self)
        if fill.state is State.FAILED:
            raise BrokenFillError

    @property
    def is_complete(self) -> bool:
        """Whether all of the body was read."""
        return not self.lost


class Fills:
    """The fills of a worker, by key."""

    def __init__(self) -> None:
        self._running: dict[bytes, Fill] = {}

    def find(self, key: bytes) -> Fill | None:
        """Return the fill of a key that others may wait for."""
        return self._running.get(key)

    def begin(self, key: bytes) -> Fill:
        """Begin a fill; from now on it is the one that others find."""
        fill = self._running[key] = Fill(key)
        return fill

    def found_at(self, fill: Fill, variant: bytes) -> None:
        """Let those find a fill, too, who know the key of the variant that it stores."""
        self._running.setdefault(variant, fill)

    def end(self, fill: Fill, state: State) -> None:
        """Record the outcome of a fill."""
        for key in (fill.key, fill.variant):
            if self._running.get(key) is fill:
                del self._running[key]
        fill.end(state)

    def forget(self, is_meant: Callable[[Fill], bool]) -> list[Fill]:
        """Let nobody find some fills any more; return them."""
        found = [(key, fill) for key, fill in self._running.items() if is_meant(fill)]
        for key, _ in found:
            del self._running[key]
        return [fill for _, fill in found]

    def __len__(self) -> int:
        return len(self._running)
