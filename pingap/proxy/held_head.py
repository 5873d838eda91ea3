"""A response whose head waits for its body, so that a body filter can still change it."""

from __future__ import annotations

from pingap.http.headers import Headers
from pingap.http.plugin_heads import close_head
from pingap.http.response import Response
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters


def bytes_to_hold(filters: Filters) -> int:
    """Return how many bytes of the body wait with the head; 0 if the head does not wait."""
    return max([stage.hold_head for stage in filters], default=0)


class HeldHead:
    """The client side, which gets head and body together.

    :param limit: bytes that may wait; beyond that, the head is sent before the rest of the body.
    """

    def __init__(self, x: Exchange, response: Response, limit: int) -> None:
        self._x = x
        self._response = response
        self._limit = limit
        self._held: list[bytes] = []
        self._size = 0
        self._waits = True
        x.head_sent = False
        x.ctx.status = 0

    def send_chunk(self, chunk: bytes) -> None:
        """Keep a piece of the body, or send it."""
        if not self._waits:
            self._x.downstream.send_chunk(chunk)
            return
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size > self._limit:
            self._send(self._response.content_length)

    def send_end(self, trailers: Headers | None) -> None:
        """Send the kept data, and the end; the body has a length, unless trailers follow it."""
        if self._waits:
            announced = self._response.content_length
            self._send(self._size if trailers is None else announced)
        self._x.downstream.send_end(trailers)

    def withdraw(self) -> bool:
        """Drop the response, if nothing of it was sent."""
        waited, self._waits = self._waits, False
        self._held.clear()
        return waited

    def release(self) -> None:
        """Complete the head, which the caller sends."""
        x, response = self._x, self._response
        self._waits = False
        x.head_sent = True
        x.ctx.status = response.status
        if response.reason is not None and response.status != x.ctx.upstream_status:
            response.reason = None  # as before: a filter may have changed the status
        if x.server.enable_server_timing or x.ctx.plugin_times:
            x.server.add_timing(response, x.ctx)
        close_head(response)

    def _send(self, length: int | None) -> None:
        x = self._x
        self.release()
        x.downstream.send_head(self._response, length)
        held, self._held = self._held, []
        for chunk in held:
            x.downstream.send_chunk(chunk)
