"""Body filters: what a plugin returns to look at a body, or to rewrite it, on its way through."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome


class BodyFilter:
    """Looks at or rewrites one body, chunk by chunk, in order.

    A filter belongs to one request. Its methods are called in the event loop, so they must be quick
    (:class:`AsyncBodyFilter` and :class:`ThreadedBodyFilter` are for other work), and what it keeps is
    memory of the proxy.

    Exactly one of ``end`` and ``abandoned`` is called, once.
    """

    _work: ClassVar[str] = ""
    """The method that authors override in the place of ``feed`` and ``end``."""
    hold_head: int = 0
    """Bytes of a response that wait with its head, so that ``end`` may still change status and headers.

    The head is sent when the body is complete, or as soon as the filters let out more than this;
    ``response.sent`` is true from then on. 0 holds nothing. Request bodies have no use for it.
    """

    _wrapped: AnyBodyFilter | None = None
    """The filter that does the work, if this one only passes calls on."""

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk (never empty); return what may be sent on now, possibly ``b""``."""
        return chunk

    def flush(self) -> bytes:
        """Return what can be sent of what was kept: no more of the body is at hand for now.

        Called when nothing came for a turn of the event loop, never twice without a chunk in between,
        and not at the end. What it returns goes to the filters behind, which are then flushed, too.
        """
        return b""

    def end(self, trailers: Headers) -> bytes:
        """Take the end of the body; return what is left to send.

        :param trailers: the trailer fields, empty if there are none; may be changed.
        """
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Release what was kept for a body that stays incomplete.

        Called when the request is over, before ``logging``, even if the body never began. An
        exception is logged.

        :param outcome: how the request ended; ``complete`` if only this body was not needed, because an
            error page replaced it or the response came before the whole request.
        """


class AsyncBodyFilter:
    """Looks at or rewrites one body with methods that await something.

    One call runs at a time, and results keep their order. Meanwhile chunks wait, and the sender of the
    body is paused if there are more than a few. Each call has the time limit of the plugin
    (``plugins.*.timeout``), and is cancelled if the client leaves or the request fails.

    Exactly one of ``end`` and ``abandoned`` is called, once; ``end`` may be cancelled.
    """

    hold_head: int = 0
    """As for :class:`BodyFilter`. Without it, the head is sent while the first chunk is in work."""

    gather: int = 0
    """Bytes up to which chunks are joined for a call of ``feed``, if they are there; 0 joins none."""

    _wrapped: AnyBodyFilter | None = None

    async def feed(self, chunk: bytes) -> bytes:
        """Take a chunk (never empty); return what may be sent on now, possibly ``b""``."""
        return chunk

    async def flush(self) -> bytes:
        """Return what can be sent of what was kept: no more of the body is at hand for now.

        Called as that of :class:`BodyFilter`, when no chunk waits.
        """
        return b""

    async def end(self, trailers: Headers) -> bytes:
        """Take the end of the body; return what is left to send.

        :param trailers: the trailer fields, empty if there are none; may be changed.
        """
        return b""

    def abandoned(self, outcome: RequestOutcome) -> None:
        """Release what was kept for a body that stays incomplete.

        Called as that of :class:`BodyFilter`, after a call that was under way has ended. (A call that
        ignores its cancellation for a second is not waited for.)
        """

    def _at_once(self, method: str, *arguments: bytes | Headers) -> bytes | None:
        """Return the result of a call that need not wait, which is not made then; None: make it."""
        return None

    def _end_cancelled(self, outcome: RequestOutcome) -> None:
        """Take note that ``end`` was called, and cancelled: for filters that pass calls on."""


AnyBodyFilter: TypeAlias = BodyFilter | AsyncBodyFilter


def innermost(body_filter: AnyBodyFilter) -> AnyBodyFilter:
    """Return the filter that does the work, below those that only pass calls on."""
    while (wrapped := body_filter._wrapped) is not None:
        body_filter = wrapped
    return body_filter


def overrides_flush(body_filter: AnyBodyFilter) -> bool:
    """Return whether a filter does anything when it is flushed."""
    flush = type(innermost(body_filter)).flush
    return flush is not BodyFilter.flush and flush is not AsyncBodyFilter.flush


class WholeBodyFilter(BodyFilter):
    """Hands over a body in one piece, if it is not too large; otherwise lets it pass unchanged.

    Override ``change``. (A whole *request* body that must not be too large is asked for by
    ``Plugin.whole_request_body``, or read by :meth:`RequestContext.read_body`.)

    :param limit: bytes that are kept at most.
    """

    _work = "change"

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0

    def change(self, body: bytes) -> bytes:
        """Return what is sent instead of a body that was no larger than the limit."""
        return body

    def feed(self, chunk: bytes) -> bytes:
        """Keep the chunk; let everything pass once it is too much."""
        self._size += len(chunk)
        if self._size <= self._limit:
            self._kept.append(chunk)
            return b""
        kept, self._kept = self._kept, []
        return b"".join([*kept, chunk])

    def end(self, trailers: Headers) -> bytes:
        """Hand over what was kept."""
        return self.change(b"".join(self._kept)) if self._size <= self._limit else b""
