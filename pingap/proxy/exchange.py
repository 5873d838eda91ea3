"""One request between a client and an upstream: connects the two sides.

The callbacks of both sides step the lifecycle of the exchange (``stepping``). Body bytes pass from side to
side without waking it.

This module knows no sockets, phases or wire formats.
"""

from __future__ import annotations

import math
import time
import types
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Final

from pingap.http.context import RequestContext
from pingap.http.errors import ClientGone, HTTPError
from pingap.http.headers import Headers
from pingap.http.ports import Upstream
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.plugins.chains import NO_CHAINS, Chains
from pingap.proxy.body_relay import BodyRelay
from pingap.proxy.filter_stages import Stage
from pingap.proxy.sides import Downstream, Messages
from pingap.proxy.stepping import Stepping
from pingap.proxy.suspending import suspend
from pingap.proxy.unattended import bound_body, can_go_on, go_on
from pingap.proxy.whole_request import read_whole
from pingap.proxy.whole_upstream_response import take_whole

if TYPE_CHECKING:
    from pingap.plugins.file_body import FileBody
    from pingap.proxy.runtime import LocationRuntime, ServerRuntime
    from pingap.upstream.peer import Peer

_NO_FILTERS: Final[list[Stage]] = []  # replaced by a new list for the first filter


class Exchange(Stepping):
    """One request and its response.

    :param server: the server whose listener received the request.
    :param downstream: the client side.
    :param request: the head.
    :param ctx: the state for plugins.
    """

    # Attributes that most exchanges never change are kept by the class, at no cost.
    location: LocationRuntime | None = None
    chains: Chains
    """Those of the location, possibly with timing; empty before the location is found."""
    attempts = 0
    """Number of attempts that plugins were notified of."""
    peer: Peer | None = None
    """The peer of the attempt in progress."""
    upstream: Upstream | None = None
    delivering = False
    """Whether the upstream has more events available, so that sent data can be delayed."""
    head: Response | None = None
    head_sent = False
    response_body: BodyRelay | None = None
    filters: list[Stage]
    """Body filters that have not received the end of their body yet."""
    files: tuple[FileBody, ...] = ()
    """Files in responses of plugins, to be closed at the end at the latest."""
    answered_by = ""
    """The plugin instance whose response is sent."""
    tunnelling = False
    """Whether both sides use another protocol."""
    messages: Messages | None = None
    """Reads the messages of a WebSocket, if a plugin needs them."""
    tunnel_deadline = math.inf
    """When a tunnel ends or changes; monotonic seconds."""
    client_full = False
    """Whether the client's write buffer is full; possible before the response body begins."""
    upstream_full = False
    """The same for the upstream connection."""
    awaits_request_end = False
    """Whether a tunnel waits for the rest of the request body."""
    holding = False
    """Whether the client's connection is full of other responses: see ``hold_answer``."""
    body_timeout: float | None = None
    """How long the next bytes of the request body may take, in seconds; None: as long as the server allows."""
    unattended = False
    """Whether the client has disconnected and the upstream's response is still read to its end."""
    redirects = 0
    """Number of internal redirects."""
    status_when_left = 0
    """The status that was sent to the client before; 499 if none was."""

    def __init__(
        self, server: ServerRuntime, downstream: Downstream, request: Request, ctx: RequestContext
    ) -> None:
        self.server = server
        self.downstream = downstream
        self.request = request
        self.ctx = ctx
        self.failure = None
        ctx._received = (request, request.method, request.target, request.host)
        # Frequently used attributes are found faster in the object than in its class.
        self.upstream = self.peer = self.response_body = None
        self.filters = _NO_FILTERS
        self.chains = NO_CHAINS
        self.holding = False
        self.request_body: BodyRelay | None = None
        if request.chunked or request.content_length:
            self.request_body = body = BodyRelay(downstream)
            ctx._read_body = partial(read_whole, downstream, request, body)

    # Awaited by the lifecycle.

    @types.coroutine
    def receive_head(self) -> Generator[None, None, Response]:
        """Return the head of the upstream's final response.

        :raises PingapError: it will not arrive.
        """
        if self.holding:
            self._pause_answer(True)
        while self.head is None:
            if self.failure is not None:
                raise self.failure
            yield
        return self.head

    async def relay_response(self) -> None:
        """Return when the upstream's body has been sent to the client.

        :raises PingapError: it cannot be completed.
        """
        relay = self.response_body
        assert relay is not None
        if not relay.finished:
            self.raise_failure()  # before the head is sent, so that an error page can replace it
        if not self.delivering:
            self.downstream.flush()
        while not relay.finished:
            self.raise_failure()
            await suspend()

    @property
    def half_ended(self) -> bool:
        """Whether the upstream's side of a tunnel has ended."""
        return self.response_body is not None and self.response_body.finished

    # Called by plugins, in tasks of their own.

    async def read_response(self, response: Response, limit: int) -> bytes | None:
        """Return the whole body of a response, which may then be replaced (``ctx.read_response``).

        :raises RuntimeError: it is being sent.
        """
        relay = self.response_body
        if response.sent or self.head_sent or (relay is not None and relay.was_opened):
            raise RuntimeError(
                "the response is being sent: call read_response in upstream_response"
            )
        with self.downstream.tasks.without_limit():
            body = await take_whole(response, relay, limit)
        if body and response.upstream:
            self.response_body = None  # all of it is in the response now
        return body

    # Called by the client side.

    def on_request_chunk(self, chunk: bytes) -> None:
        """Handle body bytes of the request."""
        if self.request_body is None:  # dropped by an internal redirect
            return
        try:
            self.request_body.feed(chunk)
        except HTTPError as error:
            self.fail(error)

    def on_request_end(self, trailers: Headers | None) -> None:
        """Handle the end of the request body."""
        if self.request_body is None:
            return
        try:
            self.request_body.end(trailers)
        except HTTPError as error:
            self.fail(error)
        if self.tunnelling or self.awaits_request_end:
            self.wake()

    def on_request_broken(self, error: HTTPError) -> None:
        """Handle an error in the rest of the request."""
        self.fail(error)

    def on_client_gone(self) -> None:
        """Handle the disconnection of the client."""
        if self.ctx.finish_without_client and not self._book_closed:
            if self.unattended:
                return
            if can_go_on(self):
                go_on(self)
                return
        self.fail(ClientGone())

    def give_up(self) -> None:
        """End, although the response should have been read to its end."""
        self.fail(ClientGone())

    def on_client_full(self, full: bool) -> None:
        """Record whether the client can accept more data."""
        self.client_full = full
        if self.tunnelling and self.messages is not None:
            self.messages.on_full()
        elif self.response_body is not None:
            self.response_body.set_full(full and not self.ctx.reads_ahead)

    def on_tunnel_deadline(self) -> bool:
        """Handle ``tunnel_deadline``; return False if it has not passed."""
        if self.messages is None or not self.messages.on_deadline(time.monotonic()):
            return False
        self.wake()
        return True

    def hold_answer(self, hold: bool) -> None:
        """Pause or resume reading a response that has not begun.

        :param hold: pause, because the client's connection is full of other responses.
        """
        self.holding = hold = hold and not self.unattended
        self._pause_answer(hold)

    def _pause_answer(self, pause: bool) -> None:
        if self.upstream is None:
            return
        if pause and self.head is None:
            self.upstream.pause_body()
        elif not pause and not (self.response_body is not None and self.response_body.is_paused):
            self.upstream.resume_body()

    # Called by the upstream side.

    def on_upstream_head(self, response: Response) -> None:
        """Handle a response head; interim ones are passed on (RFC 9110, 15.2)."""
        if response.status < 200 and response.status != 101:
            if not self.head_sent:
                self.downstream.send_interim(response)
            return
        assert self.upstream is not None
        self.head = response
        self.response_body = BodyRelay(self.upstream)
        if self.unattended:
            bound_body(self)
        if self.client_full:
            self.response_body.set_full(True)
        self.wake()

    def on_upstream_whole(self, response: Response) -> None:
        """Handle a response that arrived as a whole; the upstream side is already detached."""
        self.upstream = None
        self.head = response
        if not self._running:
            self.step()

    def on_upstream_chunk(self, chunk: bytes) -> None:
        """Handle body bytes of the response."""
        assert self.response_body is not None
        try:
            self.response_body.feed(chunk)
        except HTTPError as error:
            if self.unattended and self.response_body.is_too_large:
                self.give_up()
            else:
                self.fail(error)

    def on_upstream_end(self, trailers: Headers | None) -> None:
        """Handle the end of the response; the upstream side is already detached."""
        assert self.response_body is not None
        self.upstream = None
        try:
            self.response_body.end(trailers)
        except HTTPError as error:
            self.fail(error)
        else:
            self.wake()

    def on_upstream_half_closed(self) -> None:
        """Handle the end of the upstream's side of a tunnel."""
        assert self.response_body is not None
        self.response_body.end(None)
        self.wake()

    def on_upstream_waiting(self) -> None:
        """Called when no more of the response is available for now."""
        self.delivering = False
        if self.head_sent:
            self.downstream.flush()

    def on_upstream_lost(self, error: HTTPError) -> None:
        """Handle the loss of the upstream connection."""
        self.upstream = None
        self.upstream_full = False
        if self.request_body is not None:
            self.request_body.detach()
        if self.messages is not None:
            self.messages.on_upstream_lost()
        self.fail(error)

    def on_upstream_full(self, full: bool) -> None:
        """Record whether the upstream can accept more data."""
        self.upstream_full = full
        if self.tunnelling and self.messages is not None:
            self.messages.on_full()
        elif self.request_body is not None:
            self.request_body.set_full(full)

    def report(self, error: HTTPError) -> None:
        """Log an error of an origin that came after its response."""
        self.server.report(self, error)

    # Releasing the upstream.

    def leave_peer(self, *, failed: bool = False) -> None:
        """End the attempt, unless it has already ended.

        :param failed: the peer could not answer.
        """
        if (peer := self.peer) is not None:
            self.peer = None
            peer.in_flight -= 1
            if peer.bookkeeper is not None:
                peer.bookkeeper.ended(peer, self.ctx, failed=failed)

    def drop_upstream(self) -> None:
        """Drop the upstream connection, if there still is one."""
        if self.upstream is not None:
            upstream, self.upstream = self.upstream, None
            if self.delivering:
                upstream.leave()
            else:
                upstream.abort()

    def discard_answer(self, *, failed: bool = True) -> None:
        """Discard a response whose head has arrived, so that the request can be sent again.

        :param failed: the peer could not answer.
        """
        self.drop_upstream()
        self.leave_peer(failed=failed)
        if self.request_body is not None:
            self.request_body.detach()
        self.head = self.response_body = None
        self.delivering = self.upstream_full = False
        self.ctx.upstream_status, self.ctx.upstream_head_at = 0, 0.0
