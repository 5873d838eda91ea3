"""Putting responses into the store, with body filters that see them on their way to the client.

What can be kept in memory is stored in the filter itself; a small body for a disk is collected, and
written in the background; any other one is written as it comes, and the client waits for the disk.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol, TypeGuard

import anyio
import anyio.lowlevel

from pingap import AsyncBodyFilter, BodyFilter, Headers, RequestOutcome, Response
from pingap_cache.fills import State
from pingap_cache.http.vary import GENERATION_SIZE, Variants
from pingap_cache.parts import Parts
from pingap_cache.purging import END
from pingap_cache.stores.interface import Writer
from pingap_cache.visits import Visit

COLLECTED: Final = 256 * 1024
"""Bytes of a body that is collected before it is written to a disk."""
GATHERED: Final = 256 * 1024
"""Bytes that are joined for a write."""
HELD: Final = 64 * 1024
"""Bytes of a body that wait with the head, where the client may have all of it already."""
FINISH_SECONDS: Final = 2.0
"""How long a cache that is shut down waits for what is being stored."""
MARKER_SECONDS: Final = 30 * 86400.0
"""How long it is remembered by what a URL varies, at least."""

_NOT_IN_304: Final = ("Content-Encoding", "Content-Language", "Content-Range", "Content-Type")


class DirectWriter(Writer, Protocol):
    """A writer that never waits: to memory."""

    def add(self, chunk: bytes) -> bool:
        """Add bytes to the body; return whether the entry is still being written."""

    def commit_now(self) -> bool:
        """Do what ``commit`` does."""


def is_direct(writer: Writer) -> TypeGuard[DirectWriter]:
    """Return whether a writer never waits; asking the protocol would take longer."""
    return hasattr(writer, "commit_now")


class Saving:
    """Puts responses into the store.

    :param parts: the parts of the cache.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._committing = 0
        self._idle: anyio.Event | None = None

    def new_marker(self, visit: Visit, known: Variants | None, names: Sequence[bytes]) -> Variants:
        """Return a marker for a URL that varies by these names, and by those that are known."""
        generation = secrets.token_bytes(GENERATION_SIZE)
        if known is not None:
            marker = known.widened(names, generation)
        else:
            # (A URL that differs by other things than header fields needs some name; this one never
            # differs.)
            marker = Variants(tuple(names) or (b"host",), generation)
        visit.new_marker = True
        return marker

    def writer(self, visit: Visit) -> Writer:
        """Begin to write what a visit stores."""
        storing = visit.storing
        assert storing is not None
        assert storing.response is not None
        return self._store.write(
            visit.variant,
            storing.response.encode(),
            keep=storing.keep,
            url=visit.url + END,
            tags=storing.response.tags,
            namespace=self._parts.rules.namespace,
            since=visit.began,
        )

    def filter(
        self, visit: Visit, response: Response, *, unchanged: bool
    ) -> BodyFilter | AsyncBodyFilter:
        """Return the filter that stores a body.

        :param unchanged: the client has it already.
        """
        length = response.content_length
        self._announce(visit)
        made = self._filter(visit, length)
        if unchanged and (length is None or length <= HELD):
            made.unchanged, made.hold_head = Unchanged(response), HELD
        return made

    def _filter(self, visit: Visit, length: int | None) -> Direct | Collected | Streamed:
        if not self._parts.deep:
            writer = self.writer(visit)
            if is_direct(writer):
                return Direct(self, visit, writer)
            return Streamed(self, visit, writer)
        if length is not None and length <= COLLECTED:
            return Collected(self, visit)
        return Streamed(self, visit, self.writer(visit))

    def save_empty(self, visit: Visit) -> Awaitable[None] | None:
        """Store a response that has no body."""
        self._announce(visit)
        writer = self.writer(visit)
        if is_direct(writer):
            self.commit_now(visit, writer)
            return None
        return self.commit(visit, writer)

    def _announce(self, visit: Visit) -> None:
        """Let other requests of this worker know of a new marker, before it is stored."""
        if visit.new_marker and visit.marker is not None:
            self._parts.markers[visit.primary] = visit.marker

    def fits(self, visit: Visit, size: int) -> bool:
        """Return whether a body is not larger than may be stored; record it if it is."""
        largest = self._parts.largest
        if not largest or size <= largest:
            return True
        self._parts.predictions.note(visit.key, "larger than max_file_size")
        if visit.fill is not None:
            visit.fill.close()
        return False

    def commit_now(self, visit: Visit, writer: DirectWriter) -> None:
        """Make visible what was written to memory."""
        stored = writer.commit_now()
        if visit.new_marker:
            marker = self._marker_writer(visit)
            if is_direct(marker):
                marker.commit_now()
        self.done(visit, State.STORED if stored else State.DECLINED)

    async def commit(self, visit: Visit, writer: Writer, chunks: Sequence[bytes] = ()) -> None:
        """Write what is left, and make it visible."""
        began = time.perf_counter()
        stored = False
        self._committing += 1
        try:
            for chunk in chunks:
                await writer.write(chunk)
            if visit.new_marker:
                await self._marker_writer(visit).commit()
            stored = await writer.commit()
        finally:
            writer.discard()
            self._parts.numbers.write.observe(time.perf_counter() - began)
            self.done(visit, State.STORED if stored else State.DECLINED)
            self._committing -= 1
            if not self._committing and self._idle is not None:
                self._idle.set()

    async def finish(self) -> None:
        """Return when all that was to be stored is stored, or ``FINISH_SECONDS`` have passed."""
        # (A commit that was begun as a task may not have counted itself yet.)
        await anyio.lowlevel.checkpoint()
        if self._committing:
            self._idle = anyio.Event()
            with anyio.move_on_after(FINISH_SECONDS):
                await self._idle.wait()

    def commit_later(self, visit: Visit, writer: Writer, chunks: Sequence[bytes]) -> None:
        """Do what ``commit`` does in the background."""
        try:
            self._parts.tasks.start_soon(self.commit, visit, writer, chunks)
        except RuntimeError:  # the plugin was shut down
            writer.discard()
            self.done(visit, State.DECLINED)

    def done(self, visit: Visit, state: State) -> None:
        """Let those who wait know what has become of it."""
        if visit.new_marker and self._parts.markers.get(visit.primary) is visit.marker:
            del self._parts.markers[visit.primary]
        if visit.fill is not None:
            self._parts.turns.end(visit.fill, state)

    def _marker_writer(self, visit: Visit) -> Writer:
        assert visit.marker is not None
        assert visit.storing is not None
        return self._store.write(
            visit.primary,
            visit.marker.encode(),
            keep=max(visit.storing.keep, MARKER_SECONDS),
            url=visit.url + END,
            tags=(),
            namespace=self._parts.rules.namespace,
            since=visit.began,
        )


class Direct(BodyFilter):
    """Stores a body in memory.

    :param writer: takes it.
    """

    unchanged: Unchanged | None = None

    def __init__(self, saving: Saving, visit: Visit, writer: DirectWriter) -> None:
        self._saving = saving
        self._visit = visit
        self._writer: DirectWriter | None = writer
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        """Keep a chunk."""
        self._size += len(chunk)
        writer = self._writer
        if writer is not None and not (
            self._saving.fits(self._visit, self._size) and writer.add(chunk)
        ):
            self._drop()
        if (fill := self._visit.fill) is not None:
            fill.feed(chunk)
        return chunk

    def end(self, trailers: Headers) -> bytes:
        """Store it."""
        if self._writer is None:
            self._saving.done(self._visit, State.DECLINED)
        else:
            self._saving.commit_now(self._visit, self._writer)
        if self.unchanged is not None:
            self.unchanged.end()
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Forget it."""
        self._drop()
        self._saving.done(self._visit, State.FAILED)

    def _drop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()


class Collected(BodyFilter):
    """Collects a small body, and has it written in the background."""

    unchanged: Unchanged | None = None

    def __init__(self, saving: Saving, visit: Visit) -> None:
        self._saving = saving
        self._visit = visit
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """Keep a chunk."""
        self._chunks.append(chunk)
        if (fill := self._visit.fill) is not None:
            fill.feed(chunk)
        return chunk

    def end(self, trailers: Headers) -> bytes:
        """Have it written."""
        saving, visit = self._saving, self._visit
        saving.commit_later(visit, saving.writer(visit), self._chunks)
        if self.unchanged is not None:
            self.unchanged.end()
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Forget it."""
        self._saving.done(self._visit, State.FAILED)


class Streamed(AsyncBodyFilter):
    """Writes a body as it comes."""

    gather = GATHERED

    unchanged: Unchanged | None = None

    def __init__(self, saving: Saving, visit: Visit, writer: Writer) -> None:
        self._saving = saving
        self._visit = visit
        self._writer: Writer | None = writer
        self._size = 0

    async def feed(self, chunk: bytes) -> bytes:
        """Write a chunk."""
        self._size += len(chunk)
        if (fill := self._visit.fill) is not None:
            fill.feed(chunk)
        if self._writer is not None:
            if self._saving.fits(self._visit, self._size):
                await self._writer.write(chunk)
            else:
                self._drop()
        return chunk

    async def end(self, trailers: Headers) -> bytes:
        """Have it made visible."""
        writer, self._writer = self._writer, None
        if writer is None:
            self._saving.done(self._visit, State.DECLINED)
        else:
            self._saving.commit_later(self._visit, writer, ())
        if self.unchanged is not None:
            self.unchanged.end()
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Forget it."""
        self._drop()
        self._saving.done(self._visit, State.FAILED)

    def _drop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()


class Unchanged:
    """Turns a response into 304 once its body was stored, for a client that has it already.

    The head waits for the end of a body of up to ``HELD`` bytes; a larger one is sent.
    """

    def __init__(self, response: Response) -> None:
        self._response = response

    def end(self) -> None:
        """Change the head, if it still waits."""
        response = self._response
        if not response.sent:
            response.status = 304
            for name in _NOT_IN_304:
                response.headers.remove(name)
