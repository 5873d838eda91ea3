"""Runs a body filter with all ways of cutting a body into chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeAlias

from anyio.from_thread import start_blocking_portal

from pingap.http.body_filters import AsyncBodyFilter, BodyFilter
from pingap.http.headers import Headers

_SHORT: Final = 10
"""Maximum size for trying every way of cutting; each additional byte doubles their number."""


_Run: TypeAlias = Callable[[Sequence[bytes], Headers], bytes]
"""Filters the pieces of a body, and may change its trailers."""


def filter_every_cut(
    make_filter: Callable[[], BodyFilter | AsyncBodyFilter],
    body: bytes,
    *,
    trailers: Headers | None = None,
) -> bytes:
    """Run a filter over a body with different cuts, and return its output.

    The network cuts bodies anywhere, so the output must not depend on it. A body of up to 10 bytes is cut in
    every possible way. A longer one is passed whole, cut once at every position, and in pieces of every size.

    :param make_filter: called for each run, since a filter belongs to one body.
    :param trailers: passed to ``end``; the filter's changes are applied to this object.
    :raises AssertionError: two cuts lead to different bytes or trailers; it shows both.
    """
    before = Headers() if trailers is None else trailers
    with ExitStack() as loops:
        call = lru_cache(lambda: loops.enter_context(start_blocking_portal("asyncio")).call)

        def run(pieces: Sequence[bytes], trailers: Headers) -> bytes:
            one = make_filter()
            if isinstance(one, AsyncBodyFilter):
                return call()(_run_async, one, pieces, trailers)
            return b"".join([*map(one.feed, pieces), one.end(trailers)])

        return _compare(run, body, before)


def _compare(run: _Run, body: bytes, before: Headers) -> bytes:
    pristine = before.copy()
    expected = run([body] if body else [], before)
    for pieces in _every_cut(body):
        copy = pristine.copy()
        found = run(pieces, copy)
        cut = _show(pieces)
        if found != expected:
            raise AssertionError(f"uncut: {expected!r}\ncut:   {found!r}\nfrom:  {cut}")
        if copy != before:
            raise AssertionError(f"trailers uncut: {before}\ntrailers cut:   {copy}\nfrom: {cut}")
    return expected


async def _run_async(one: AsyncBodyFilter, pieces: Sequence[bytes], trailers: Headers) -> bytes:
    found = [await one.feed(piece) for piece in pieces]
    return b"".join([*found, await one.end(trailers)])


def _every_cut(body: bytes) -> Iterator[list[bytes]]:
    if len(body) <= _SHORT:
        for choice in range(1 << max(len(body) - 1, 0)):
            yield _at(body, [place for place in range(1, len(body)) if choice >> place - 1 & 1])
        return
    for place in range(1, len(body)):
        yield _at(body, [place])
    for size in range(1, len(body)):
        yield _at(body, range(size, len(body), size))


def _at(body: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *places, len(body)]
    pieces = [body[start:end] for start, end in pairwise(edges)]
    return [piece for piece in pieces if piece]


def _show(pieces: Sequence[bytes]) -> str:
    text = " | ".join(repr(piece)[2:-1] for piece in pieces)
    return text if len(text) <= 400 else f"{text[:400]} ..."
