"""Body filters with long computations, run in threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

import anyio

from pingap.http.body_filters import AsyncBodyFilter, BodyFilter
from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome
from pingap.plugins.worker_threads import SharedLimiter, in_thread

log = logging.getLogger("pingap")

GATHERED: Final = 64 * 1024
"""Chunks are joined up to this many bytes for a call in a thread: switching costs as much as processing a few
KiB."""
FILTER_THREADS: Final = 4
"""Threads of a worker that run body filters at the same time, without a limiter of their own."""

_threads: Final = SharedLimiter("filter_threads", FILTER_THREADS)


class ThreadedBodyFilter(AsyncBodyFilter):
    """Runs a body filter in worker threads, so that its computations do not block the event loop.

    This is for work that takes longer than about 0.1 ms for a chunk and releases the GIL: compression,
    images, cryptography. One call runs at a time, but not all in the same thread. Override
    ``needs_thread`` if some of them are quick.

    :param inner: the filter.
    :param limiter: limits the threads; by default all filters of a worker share 4.
    """

    gather = GATHERED

    def __init__(self, inner: BodyFilter, limiter: anyio.CapacityLimiter | None = None) -> None:
        self._inner = self._wrapped = inner
        self._limiter = limiter
        self._lock = threading.Lock()
        self._runs = False
        self._ended = False  # ``end`` of the filter has been called
        self._outcome: RequestOutcome | None = None  # of an abandoned body
        self.hold_head = inner.hold_head

    def needs_thread(self, method: str, size: int) -> bool:
        """Return whether the next call is to be made in a thread; if not, it is made in the event loop.

        A thread costs about 0.1 ms of processor time; without one, the call blocks the event loop.

        :param method: of the filter: ``feed``, ``flush`` or ``end``.
        :param size: bytes of the chunk; 0 for the other methods.

        .. versionadded:: 1.1
        """
        return True

    async def feed(self, chunk: bytes) -> bytes:
        """Run ``feed`` of the filter."""
        return await self._run(partial(self._inner.feed, chunk))

    async def flush(self) -> bytes:
        """Run ``flush`` of the filter."""
        return await self._run(self._inner.flush)

    async def end(self, trailers: Headers) -> bytes:
        """Run ``end`` of the filter."""
        return await self._run(partial(self._end_inner, trailers))

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Call ``abandoned`` of the filter: here, or in the thread of a running call."""
        with self._lock:
            self._outcome = outcome
            if self._runs or self._ended:
                return
        self._inner.abandoned(outcome)

    _end_cancelled = abandoned

    def _at_once(self, method: str, *arguments: bytes | Headers) -> bytes | None:
        size = len(arguments[0]) if method == "feed" else 0
        if self.needs_thread(method, size):
            return None
        if method == "end":
            self._ended = True
        call: Callable[..., bytes] = getattr(self._inner, method)
        return call(*arguments)

    async def _run(self, call: Callable[[], bytes]) -> bytes:
        return await in_thread(self._limiter or _threads.get(), partial(self._in_thread, call))

    def _in_thread(self, call: Callable[[], bytes]) -> bytes:
        with self._lock:
            if self._outcome is not None:
                return b""
            self._runs = True
        try:
            return call()
        finally:
            with self._lock:
                self._runs = False
                outcome = None if self._ended else self._outcome
            if outcome is not None:
                self._abandon_late(outcome)

    def _end_inner(self, trailers: Headers) -> bytes:
        self._ended = True
        return self._inner.end(trailers)

    def _abandon_late(self, outcome: RequestOutcome) -> None:
        try:
            self._inner.abandoned(outcome)
        except Exception:
            name = type(self._inner).__qualname__
            log.exception("body filter %s failed in abandoned", name)
