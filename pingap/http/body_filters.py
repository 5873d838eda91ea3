"""Body filters: what a plugin returns to look at a body, or to rewrite it, on its way through."""

from __future__ import annotations

from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome


class BodyFilter:
    """Looks at or rewrites one body, chunk by chunk, in order.

    A filter belongs to one request. It must not keep more of the body than it needs: what it
    keeps is memory of the proxy.

    Exactly one of ``end`` and ``abandoned`` is called, once.
    """

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk (never empty); return what may be sent on now, possibly ``b""``."""
        return chunk

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


class WholeBodyFilter(BodyFilter):
    """Hands over a body in one piece, if it is not too large; otherwise lets it pass unchanged.

    Override ``change``. (A whole *request* body that must not be too large is asked for by
    ``Plugin.whole_request_body``.)

    :param limit: bytes that are kept at most.
    """

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
