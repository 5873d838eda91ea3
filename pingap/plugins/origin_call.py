"""A request that an origin answers: the upstream side of an exchange, without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from pingap.http.errors import OriginError, UpstreamError
from pingap.http.headers import Headers, set_unchecked
from pingap.http.request import Request
from pingap.http.response import Response, has_no_body, make_response
from pingap.plugins.origin_head import response_head
from pingap.protocol.fields import keep_trailers
from pingap.protocol.websocket_frames import INTERNAL_ERROR

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.ports import Asker
    from pingap.plugins.origin_websocket import OriginWebSocket

MOST_WAITING: Final = 64 * 1024
"""Bytes of a request that wait for the origin before the client is paused."""

_PIECE_COST: Final = 256  # small pieces take time, too


class OriginCall:
    """One request to an :class:`Origin`, and the way to answer it.

    Use it in the event loop of the worker. Two tasks may wait at the same time.

    :param asker: the exchange.
    :param headers: the fields of the request as they would be sent to an upstream.
    :param origin: its name is in errors.

    .. versionadded:: 1.1
    """

    __slots__ = (
        "_asker",
        "_begun",
        "_bodyless",
        "_burst",
        "_context",
        "_ended",
        "_full",
        "_input_ended",
        "_inside",
        "_left",
        "_must_continue",
        "_pieces",
        "_released",
        "_size",
        "_switched",
        "_waiters",
        "_websocket",
        "headers",
        "is_gone",
        "is_over",
        "is_paused",
        "name",
        "request",
        "request_trailers",
    )

    def __init__(self, asker: Asker, headers: Headers, origin: str) -> None:
        self._asker = asker
        self.name = origin
        """That of the origin."""
        self.request: Request = asker.request
        """The head of the request; it can no longer be changed."""
        self.headers = headers
        """Its fields, with the changes that the location and plugins make for an upstream."""
        self.is_over = False
        """Whether the response is complete, or nobody needs it any more."""
        self.is_gone = False
        """Whether the client has disconnected, or the response is not needed for another reason."""
        self._input_ended = not self.request.has_body
        self.request_trailers: Headers | None = None
        """The trailers of the request; known when it has ended."""
        self._must_continue = self.request.expects_continue
        self._begun = self._bodyless = self._switched = self._ended = False
        self.is_paused = False
        """Whether the client accepts no more for now."""
        self._full = False
        self._pieces: list[bytes] = []  # of the request, not read yet
        self._size = 0
        self._burst = 0  # bytes sent without giving others a turn
        self._left: int | None = None  # announced bytes of the response that are not sent yet
        self._waiters: list[asyncio.Future[None]] = []
        self._websocket: OriginWebSocket | None = None
        # The code of the origin runs in contexts of its own, which must not be those of other requests.
        self._context = copy_context()
        self._released = False
        self._inside = False  # the exchange was called, and may call back

    def __repr__(self) -> str:
        state = "over" if self.is_over else "begun" if self._begun else "waiting"
        return f"<OriginCall {self.name} {state}>"

    @property
    def ctx(self) -> RequestContext:
        """The state of the request."""
        return self._asker.ctx

    @property
    def is_read(self) -> bool:
        """Whether the whole body of the request has been read."""
        return self._input_ended and not self._pieces

    # The request.

    async def read(self) -> bytes | None:
        """Return the next piece of the request body, as soon as there is one.

        :returns: ``b""`` at the end, None if the call is over.
        """
        while not self._pieces:
            if self.is_over:
                return None
            if self._input_ended:
                return b""
            if self._must_continue:
                self._must_continue = False
                self.interim(100, Headers())
            await self.change()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self.set_full(False)
        return data

    async def wait_over(self) -> None:
        """Return when the call is over, in particular when the client has disconnected."""
        while not self.is_over:
            await self.change()

    # The response.

    def interim(self, status: int, headers: Headers) -> None:
        """Send an interim response (RFC 9110, 15.2), such as 103; not after the head.

        :param status: 100 to 199, except 101.
        """
        if not (self.is_over or self._begun):
            response = make_response(status, None, headers, None, b"", True)
            self._run(self._asker.on_upstream_head, response)

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole response. Does nothing if the call is over.

        :param status: 200 to 599.
        :param headers: framing fields are dropped, but a ``Content-Length`` has to be correct. The headers
            belong to the response from now on.
        :raises ValueError: another status, or an invalid field or length.
        """
        if self.is_over:
            return
        response = self._head(status, headers)
        self._check_length(response.content_length, len(body))
        set_unchecked(response, "content_length", len(body))
        self._begun = self.is_over = True
        self._release()
        if has_no_body(self.request, response):
            self._run(self._deliver_bodyless, response)
        else:
            set_unchecked(response, "body", body)
            self._run(self._asker.on_upstream_whole, response)

    def begin(self, status: int, headers: Headers, chunk: bytes = b"") -> None:
        """Send the head of a response; ``send`` and ``end`` follow.

        :param status: 200 to 599. After 101, ``read`` and ``send`` are for the bytes of the new protocol.
        :param chunk: the first piece of the body, if there already is one.
        :raises ValueError: as ``answer``, or as ``send``.
        """
        if self.is_over:
            return
        response = self._head(status, headers)
        self._begun = True
        self._bodyless = has_no_body(self.request, response)
        self._left = None if self._bodyless else response.content_length
        if status == 101:
            self._switched, self._input_ended = True, False
        self._run(self._deliver, self._counted(chunk), response)

    async def send(self, chunk: bytes) -> bool:
        """Send a piece of the body; wait until the client can accept more.

        :returns: False if the call is over: nothing was sent.
        :raises ValueError: the body exceeds its ``Content-Length``.
        """
        if self.is_over:
            return False
        chunk = self._counted(chunk)
        if chunk:
            self._run(self._deliver, chunk, None)
        self._burst += len(chunk) + _PIECE_COST
        if self._burst > MOST_WAITING:  # only a turn of the loop shows whether the client is slow
            self._burst = 0
            await asyncio.sleep(0)
        while self.is_paused and not self.is_over:
            await self.change()
        return not self.is_over

    def end(self, trailers: Headers | None = None) -> None:
        """End the body (after 101, our side).

        :raises ValueError: the body is shorter than its ``Content-Length``.
        """
        if self.is_over or self._ended:
            return
        if self._left:
            raise ValueError(f"the body is {self._left} bytes shorter than its content-length")
        self._ended = True
        if self._switched:
            self._run(self._asker.on_upstream_half_closed)
            return
        self.is_over = True
        self._release()
        trailers = keep_trailers(trailers) if trailers is not None else None
        self._run(self._asker.on_upstream_end, trailers)

    def fail(self, error: BaseException) -> None:
        """End because the origin has failed: 502, or an incomplete response if it has begun.

        A WebSocket is closed with 1011. The error is logged with its traceback, also if the call is over.
        """
        failure = OriginError(self.name, error)
        if self._websocket is not None:
            self._websocket.close(INTERNAL_ERROR)
        if self.is_over or self._websocket is not None:
            self._asker.report(failure)
            return
        self.is_over = True
        self._release()
        self._run(self._asker.on_upstream_lost, failure)

    def time_out(self) -> None:
        """End because the origin takes too long: 504, or an incomplete response if it has begun."""
        if not self.is_over:
            self.is_over = self.is_gone = True
            self._release()
            error = UpstreamError("did not answer in time", error_type="ReadTimedout", status=504)
            self._run(self._asker.on_upstream_lost, error)

    def accept_websocket(
        self, headers: Headers, *, message_limit: int, compression: bool = True
    ) -> OriginWebSocket:
        """Accept a WebSocket; its messages are then read and sent with the returned object.

        :param headers: additional fields, such as ``Sec-WebSocket-Protocol``.
        :param message_limit: maximum size of a message of the client in bytes.
        :param compression: use permessage-deflate if the client offers it.
        :raises ValueError: the request does not ask for a WebSocket, or an invalid field.
        """
        from pingap.plugins.origin_websocket import accept  # which imports this module

        return accept(self, headers, message_limit, compression)

    def open_websocket(self, websocket: OriginWebSocket, headers: Headers) -> None:
        """Send 101; the bytes of the client then go to a WebSocket."""
        self._websocket = websocket  # first: some may come with the request
        self.begin(101, headers)

    # Inside.

    def _check_length(self, announced: int | None, size: int) -> None:
        if announced not in (None, size) and (size or self.request.method != "HEAD"):
            raise ValueError(f"content-length is {announced}, but the body has {size} bytes")

    def _head(self, status: int, headers: Headers) -> Response:
        if self._begun:
            raise ValueError("there already is a response")
        return response_head(status, headers, upgrade=self.request.upgrade)

    def send_now(self, data: bytes) -> None:
        """Send data of a WebSocket without waiting."""
        if data and not (self.is_over or self._ended):
            self._run(self._deliver, data, None)

    def release(self) -> None:
        """Let go of the request: the last thing that an origin does with a call."""
        if self._websocket is None and not (self.is_over or self._ended):
            self.fail(RuntimeError("it ended without a complete response"))
        self._released = True
        if self.is_over:
            del self._asker

    def _counted(self, chunk: bytes) -> bytes:
        """Return what is sent of a piece of the body."""
        if self._bodyless:
            return b""
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise ValueError("the body is longer than its content-length")
        return chunk

    def _run(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call the exchange, in a context without the variables of the origin."""
        if self._inside:
            call(*arguments)
            return
        self._inside = True
        try:
            self._context.run(call, *arguments)
        finally:
            self._inside = False

    def _deliver(self, chunk: bytes, head: Response | None) -> None:
        asker = self._asker
        asker.delivering = True
        if head is not None:
            asker.on_upstream_head(head)
        if chunk and not self.is_over:
            asker.on_upstream_chunk(chunk)
        if not self.is_over:
            asker.on_upstream_waiting()

    def _deliver_bodyless(self, head: Response) -> None:
        asker = self._asker
        asker.delivering = True
        asker.on_upstream_head(head)
        if not self.is_gone:  # otherwise a plugin has replaced the response
            asker.on_upstream_end(None)

    async def change(self) -> None:
        """Return when anything has changed."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def wake(self) -> None:
        """Let everyone who waits look again."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def set_full(self, full: bool) -> None:
        """Let the client wait, or go on."""
        if full is not self._full:
            self._full = full
            if not (self.is_over or self._ended):
                self._run(self._asker.on_upstream_full, full)

    def _release(self) -> None:
        """Drop what is not needed any more, and wake everyone who waits."""
        self._pieces.clear()
        self.wake()

    # The upstream side of an exchange (``http.ports.Upstream``).

    def send_chunk(self, chunk: bytes) -> None:
        """Receive a piece of the request."""
        if self.is_over:
            return
        if self._websocket is not None:
            self._websocket.feed(chunk)
            return
        self._pieces.append(chunk)
        self._size += len(chunk)
        if self._size > MOST_WAITING:
            self.set_full(True)
        self.wake()

    def send_end(self, trailers: Headers | None) -> None:
        """Receive the end of the request."""
        self._input_ended = True
        self.request_trailers = trailers
        if self._websocket is not None and not self.is_over:
            self._websocket.feed_end()
        self.wake()

    def pause_body(self) -> None:
        """Let ``send`` wait."""
        self.is_paused = True

    def resume_body(self) -> None:
        """Let ``send`` return."""
        self.is_paused = False
        if self._websocket is not None:
            self._websocket.go_on()
        self.wake()

    def begin_tunnel(self) -> None:
        """Do nothing: it has no time limit."""

    def read_pieces(self) -> None:
        """Do nothing: pieces are as large as the origin made them."""

    def abort(self) -> None:
        """End the call: the response is not needed."""
        self.is_over = self.is_gone = True
        self._release()
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            websocket.feed_end()
        if self._released:
            del self._asker

    leave = close = abort
