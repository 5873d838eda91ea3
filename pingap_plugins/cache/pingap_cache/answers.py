"""Responses made of what is stored."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pingap import Field, Headers, HTTPError, Request, Response, field
from pingap_cache.fills import BrokenFillError, Fill, Reader
from pingap_cache.http.answer import Answer, answer
from pingap_cache.http.conditional import not_modified
from pingap_cache.http.lookup import PLAIN, Lookup
from pingap_cache.http.status import CacheStatus
from pingap_cache.http.stored import StoredResponse
from pingap_cache.stores.interface import Entry, EntryGone, Store

if TYPE_CHECKING:
    from pingap_cache.views import View

NAME: Final = "pingap"
"""How this cache is called in ``Cache-Status``."""
MOST_LINES: Final = 512
"""Fields of ``Cache-Status`` that are kept."""
_STATUS: Final = "x-cache-status"
STATUSES: Final = (
    *("hit", "miss", "stale", "stale-updating", "expired", "revalidated"),
    "revalidated-nocache",
)
"""The values of ``x-cache-status``."""
FIELDS: Final[dict[str, Field]] = {status: field(_STATUS, status) for status in STATUSES}
"""``x-cache-status``, prepared."""


class Answers:
    """Makes responses.

    :param store: where the bodies are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.status = CacheStatus(NAME)
        self.forwarded = lru_cache(MOST_LINES)(self.status.forwarded)
        """Makes ``Cache-Status``, or finds the field that was made before."""

    def hit(self, view: View, entry: Entry, now: float) -> Response:
        """Return the answer to a plain GET request from a fresh entry whose body is in memory."""
        stored = view.stored
        assert stored is not None
        age = int(stored.age(now))
        if view.age != age:
            body = entry.body
            assert body is not None
            response = _made(stored.status, body, answer(stored, PLAIN, _NONE, 0, now).headers)
            _settle(response, "hit", self.status.hit(stored.expires - now))
            view.hit, view.age = response, age
        hit = view.hit
        assert hit is not None
        return hit.copy()

    def stored(
        self,
        request: Request,
        wish: Lookup,
        headers: Headers,
        found: Found,
        status: str,
        line: Field,
    ) -> Response | Awaitable[Response]:
        """Return the answer to any GET or HEAD request from an entry.

        :param wish: what the request wants.
        :param headers: those of the client.
        :param status: for ``x-cache-status``.
        :param line: ``Cache-Status``.
        :raises EntryGone: when awaited: the body cannot be read.
        """
        entry, size = found.entry, found.entry.size
        boundary = secrets.token_hex(12).encode() if wish.ranged else b""
        made = answer(found.stored, wish, headers, size, found.now, boundary=boundary)
        if made.parts == [] or not size:
            return _whole(made, b"", status, line)
        if entry.body is not None:  # (to HEAD, only its length is sent)
            return _whole(made, _cut(entry.body, made), status, line)
        if request.method == "HEAD":
            return _whole(made, b"", status, line, size)
        return self._read(made, found, status, line)

    async def _read(self, made: Answer, found: Found, status: str, line: Field) -> Response:
        """Return a response whose body is read from the store; its first bytes are here already."""
        entry = found.entry
        parts = made.parts or [(0, entry.size)]
        chunks = self._chunks(found.key, entry, parts, made.part_heads)
        first = await anext(chunks)
        body = _Body(first, chunks)
        response = _made(made.status, body, made.headers)
        length = sum(stop - start for start, stop in parts) + sum(map(len, made.part_heads))
        response.content_length = length
        _settle(response, status, line)
        return response

    async def _chunks(
        self, key: bytes, entry: Entry, parts: list[tuple[int, int]], heads: Sequence[bytes]
    ) -> AsyncIterator[bytes]:
        for number, (start, stop) in enumerate(parts):
            if heads:
                yield heads[number]
            async for chunk in self._store.read(key, entry, start, stop):
                yield chunk
        if heads:
            yield heads[-1]

    def joined(
        self, request: Request, wish: Lookup, headers: Headers, fill: Fill, now: float
    ) -> Response:
        """Return the answer from a body that comes at this moment.

        Its length is not announced: the upstream has said how long its own body is, and body filters of
        other plugins (compression, say) may have changed what is stored and shared.
        """
        head = fill.head
        assert head is not None
        line = self.forwarded("uri-miss", collapsed=True)
        if wish.conditional and not_modified(head, headers, now):
            return _whole(answer(head, wish, headers, 0, now), b"", "hit", line)
        made = answer(head, PLAIN, headers, 0, now)
        if request.method == "HEAD":
            return _whole(made, b"", "hit", line)
        response = _made(made.status, _Body(b"", self._joined(fill, fill.join())), made.headers)
        response.headers.discard(b"content-length")
        _settle(response, "hit", line)
        return response

    async def _joined(self, fill: Fill, reader: Reader) -> AsyncIterator[bytes]:
        try:
            async for chunk in reader.read():
                yield chunk
            if reader.lost:
                entry = await self._entry_of(fill)
                async for chunk in self._store.read(
                    fill.variant, entry, reader.position, entry.size
                ):
                    yield chunk
        except (BrokenFillError, EntryGone):
            raise HTTPError(502, "The response that is shared broke off") from None

    async def _entry_of(self, fill: Fill) -> Entry:
        """Return what a fill has stored.

        :raises EntryGone: it was not stored.
        """
        entry = await self._store.get(fill.variant)
        if entry is None or entry.size != fill.size:
            raise EntryGone("it was not stored")
        return entry


_NONE: Final = Headers()


class Found:
    """An entry that may answer a request.

    :param now: seconds since the epoch.
    """

    __slots__ = ("entry", "key", "now", "stored")

    def __init__(self, key: bytes, entry: Entry, stored: StoredResponse, now: float) -> None:
        self.key = key
        self.entry = entry
        self.stored = stored
        self.now = now


class _Body:
    """An iterable of which the first chunk is known.

    (No generator: one that was never begun would not run its ``finally``.)
    """

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        self._first = first
        self._rest = rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._first:
            yield self._first
        async for chunk in self._rest:
            yield chunk


def _made(status: int, body: bytes | AsyncIterable[bytes], headers: Headers) -> Response:
    """Return a response with these fields, and none that pingap would add to one of its own."""
    response = Response(status, body, headers)
    if b"cache-control" not in headers.keys:
        response.headers.discard(b"cache-control")
    return response


def _cut(body: bytes, made: Answer) -> bytes:
    """Return what is sent of a body."""
    if made.parts is None:
        return body
    pieces = [body[start:stop] for start, stop in made.parts]
    if not made.part_heads:
        return pieces[0]
    heads = made.part_heads
    parts = [part for pair in zip(heads, pieces, strict=False) for part in pair]
    return b"".join([*parts, heads[-1]])


def _whole(
    made: Answer, body: bytes, status: str, line: Field, length: int | None = None
) -> Response:
    """Return a response with a body of bytes.

    :param length: that a response to HEAD announces.
    """
    response = _made(made.status, body, made.headers)
    _settle(response, status, line)
    if length is not None and not body:
        response.body = _Nothing(length)
    return response


class _Nothing:
    """The body that is not sent, in response to HEAD, but whose length is announced."""

    def __init__(self, length: int) -> None:
        self.content_length = length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""


def _settle(response: Response, status: str, line: Field) -> None:
    headers = response.headers
    headers.discard(b"content-length")  # (which the proxy writes)
    if status:
        headers.replace(FIELDS[status])
    headers.append(line)
