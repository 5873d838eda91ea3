"""Body filters: objects that a plugin returns to read or rewrite a body that passes through."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome


class BodyFilter:
    """Reads or rewrites one body, chunk by chunk, in order.

    A filter belongs to one request. Its methods are called in the event loop, so they must be quick
    (:class:`AsyncBodyFilter` and :class:`ThreadedBodyFilter` are for other work), and the data it keeps uses
    memory of the proxy.

    Exactly one of ``end`` and ``abandoned`` is called, once.
    """

    _work: ClassVar[str] = ""
    """The method that authors override instead of ``feed`` and ``end``."""
    hold_head: int = 0
    """Bytes of a response that wait with its head, so that ``end`` can still change status and headers.

    The head is sent when the body is complete, or as soon as the output of the filters exceeds this number;
    ``response.sent`` is true from then on. 0 holds nothing. It has no effect on request bodies.
    """

    _wrapped: AnyBodyFilter | None = None
    """The filter that does the work, if this one only passes calls on."""

    def feed(self, chunk: bytes) -> bytes:
        """Handle a chunk (never empty); return data that can be sent on now, possibly ``b""``."""
        return chunk

    def flush(self) -> bytes:
        """Return kept data that can be sent: no more of the body is available for now.

        Called when no data arrived for a turn of the event loop, never twice without a chunk in between, and
        not at the end. The result goes to the next filters, which are then flushed, too.
        """
        return b""

    def end(self, trailers: Headers) -> bytes:
        """Handle the end of the body; return the remaining data to send.

        :param trailers: the trailer fields, empty if there are none; may be changed.
        """
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Release resources of a body that stays incomplete.

        Called when the request is over, before ``logging``, even if the body never began. An exception is
        logged.

        :param outcome: how the request ended; ``complete`` if only this body was not needed, because an error
            page replaced it or the response came before the whole request.
        """


class AsyncBodyFilter:
    """Reads or rewrites one body with methods that await.

    One call runs at a time, and results keep their order. Chunks wait in the meantime, and the sender of the
    body is paused if there are more than a few. Each call has the time limit of the plugin
    (``plugins.*.timeout``), and is cancelled if the client disconnects or the request fails.

    Exactly one of ``end`` and ``abandoned`` is called, once; ``end`` may be cancelled.
    """

    hold_head: int = 0
    """As for :class:`BodyFilter`. Without it, the head is sent while the first chunk is being processed."""

    gather: int = 0
    """Available chunks are joined up to this many bytes for a call of ``feed``; 0 joins none."""

    _wrapped: AnyBodyFilter | None = None

    async def feed(self, chunk: bytes) -> bytes:
        """Handle a chunk (never empty); return data that can be sent on now, possibly ``b""``."""
        return chunk

    async def flush(self) -> bytes:
        """Return kept data that can be sent: no more of the body is available for now.

        Called like that of :class:`BodyFilter`, when no chunk waits.
        """
        return b""

    async def end(self, trailers: Headers) -> bytes:
        """Handle the end of the body; return the remaining data to send.

        :param trailers: the trailer fields, empty if there are none; may be changed.
        """
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Release resources of a body that stays incomplete.

        Called like that of :class:`BodyFilter`, after a call in progress has ended. If a call ignores its
        cancellation for a second, it is not waited for.
        """

    def _at_once(self, method: str, *arguments: bytes | Headers) -> bytes | None:
        """Return the result of a call that need not wait, which is not made then; None: make it."""
        return None

    def _end_cancelled(self, outcome: RequestOutcome) -> None:
        """Record that ``end`` was called and cancelled: for filters that pass calls on."""


AnyBodyFilter: TypeAlias = BodyFilter | AsyncBodyFilter


def innermost(body_filter: AnyBodyFilter) -> AnyBodyFilter:
    """Return the filter that does the work, below filters that only pass calls on."""
    while (wrapped := body_filter._wrapped) is not None:
        body_filter = wrapped
    return body_filter


def overrides_flush(body_filter: AnyBodyFilter) -> bool:
    """Return whether a filter has its own ``flush``."""
    flush = type(innermost(body_filter)).flush
    return flush is not BodyFilter.flush and flush is not AsyncBodyFilter.flush


class WholeBodyFilter(BodyFilter):
    """Passes a body to ``change`` as a whole, if it is not too large; a larger one passes unchanged.

    Override ``change``. To limit the size of a whole *request* body, use ``Plugin.whole_request_body`` or
    :meth:`RequestContext.read_body` instead.

    :param limit: maximum number of bytes that are kept.
    """

    _work = "change"

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0

    def change(self, body: bytes) -> bytes:
        """Return the replacement of a body within the limit."""
        return body

    def feed(self, chunk: bytes) -> bytes:
        """Keep the chunk; pass everything on once the limit is exceeded."""
        self._size += len(chunk)
        if self._size <= self._limit:
            self._kept.append(chunk)
            return b""
        kept, self._kept = self._kept, []
        return b"".join([*kept, chunk])

    def end(self, trailers: Headers) -> bytes:
        """Pass the kept data to ``change``."""
        return self.change(b"".join(self._kept)) if self._size <= self._limit else b""
