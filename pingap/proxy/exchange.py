"""One request between a client and an upstream: who waits for whom, and who is told what.

An exchange holds the two sides together. Its lifecycle is a coroutine, but not a task: it is
stepped from the callbacks of the two connections, so that a request costs no task, future or lock.
Only what a plugin awaits runs in a task. Body bytes pass from side to side without waking it.

Nothing here knows a socket, a phase or a wire format.
"""

from __future__ import annotations

import logging
import math
import time
import types
from collections.abc import Awaitable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from pingap.http.context import RequestContext
from pingap.http.errors import ClientGone, HTTPError, PingapError
from pingap.http.headers import Headers
from pingap.http.messages import Request, Response
from pingap.http.ports import Sink, Source, Upstream
from pingap.observability.failures import REQUEST
from pingap.plugins.chains import NO_CHAINS, Chains
from pingap.proxy.body_relay import BodyRelay
from pingap.proxy.filter_chain import Filters
from pingap.proxy.filter_stages import Stage
from pingap.proxy.whole_request import read_whole

if TYPE_CHECKING:
    from pingap.plugins.file_body import FileBody
    from pingap.proxy.async_hooks import HookTasks, Outcome
    from pingap.proxy.runtime import LocationRuntime, ServerRuntime
    from pingap.upstream.peer import Peer

log = logging.getLogger("pingap")


class Downstream(Source, Sink, Protocol):
    """The client's side: takes a response, delivers the request body."""

    body_bytes_sent: int
    """Bytes of the response body that were handed over, without framing."""

    @property
    def tasks(self) -> HookTasks:
        """Where what plugins await is run."""

    def send_interim(self, response: Response) -> None:
        """Pass on a 1xx response."""

    def send_whole(self, response: Response, body: bytes) -> None:
        """Send a response with all of its body."""

    def send_head(self, response: Response, length: int | None) -> None:
        """Begin a response with so many bytes of body, None if that is not known."""

    def withdraw_head(self) -> bool:
        """Discard a buffered head, so that another one can be sent; return False if it was already sent."""

    def begin_tunnel(self, response: Response) -> None:
        """Send 101; from here on, bytes pass both ways as they come."""

    def watch_tunnel(self) -> None:
        """Set the time limit of a tunnel: its deadline may have changed, or something has passed."""

    def flush(self) -> None:
        """Send what was kept back in the hope of more: the head of a response."""

    def cut(self) -> None:
        """Break off, so that the client sees that the answer is not complete."""

    def exchange_ended(self) -> None:
        """Go on with the next request: this one is over."""


class Messages(Protocol):
    """What reads the messages of a WebSocket inside of a tunnel."""

    @property
    def client_filters(self) -> Filters:
        """What filters the bytes of the client."""

    @property
    def upstream_filters(self) -> Filters:
        """What filters the bytes of the upstream."""

    @property
    def is_over(self) -> bool:
        """Both sides were closed, and the tunnel is to end."""

    def begin(self) -> None:
        """Begin, before anything is sent to the client."""

    def go_on(self) -> None:
        """Know that the response head was sent."""

    def on_full(self) -> None:
        """Know that a side can, or cannot, take more."""

    def on_deadline(self, now: float) -> bool:
        """Act on ``tunnel_deadline``; return False if it has not passed."""


Connecting = TypeVar("Connecting", bound=Upstream)

_ENDED: Final = object()
_NO_FILTERS: Final[list[Stage]] = []  # (the first filter gets a list of its own)


def _close(connection: Upstream) -> None:
    connection.close()


@types.coroutine
def suspend() -> Generator[None, None, None]:
    """Return when a callback wakes the exchange."""
    yield


class Exchange:
    """One request and its answer.

    :param server: the server whose listener took the request.
    :param downstream: the client's side.
    :param request: the head.
    :param ctx: the state shown to plugins.
    """

    # What most exchanges never change costs them nothing: it is kept by the class.
    lifecycle: Generator[None, None, None]
    """What ``step`` goes on with."""
    location: LocationRuntime | None = None
    chains: Chains
    """Those of the location, or the same ones with their time taken; empty before it is found."""
    attempts = 0
    """Attempts to get a response from an upstream that plugins were shown."""
    peer: Peer | None = None
    """Where an attempt was begun that has not ended."""
    upstream: Upstream | None = None
    delivering = False
    """The upstream has more events at hand, so what is sent need not leave yet."""
    head: Response | None = None
    head_sent = False
    response_body: BodyRelay | None = None
    filters: list[Stage]
    """Body filters that have not got the end of their body yet."""
    files: tuple[FileBody, ...] = ()
    """Files that plugins answered with, to be closed at the end if they were not before."""
    answered_by = ""
    """The plugin instance whose response is sent."""
    tunnelling = False
    """Both sides speak another protocol."""
    messages: Messages | None = None
    """What reads the messages of a WebSocket, if a plugin asked for them."""
    tunnel_deadline = math.inf
    """When a tunnel ends or changes; monotonic seconds."""
    client_full = False
    """The client's write buffer is full. It may be set before the response body begins."""
    upstream_full = False
    """The same for the upstream connection."""
    awaits_request_end = False
    """A tunnel waits for the rest of the request body."""
    holding = False
    """The client's connection is full of other responses: see ``hold_answer``."""
    _book_closed = False
    _running = False

    def __init__(
        self, server: ServerRuntime, downstream: Downstream, request: Request, ctx: RequestContext
    ) -> None:
        self.server = server
        self.downstream = downstream
        self.request = request
        self.ctx = ctx
        ctx._received = (request, request.method, request.target, request.host)
        # (What every exchange asks for is found sooner in the object than in its class.)
        self.upstream = self.peer = self.response_body = None
        self.filters = _NO_FILTERS
        self.chains = NO_CHAINS
        self.holding = False
        self.failure: PingapError | None = None
        """What ends the exchange; see ``raise_failure``."""
        self.request_body: BodyRelay | None = None
        if request.chunked or request.content_length:
            self.request_body = body = BodyRelay(downstream)
            ctx._read_body = partial(read_whole, downstream, request, body)

    # Stepping the lifecycle.

    def step(self) -> None:
        """Go on with the lifecycle; returns when it waits, or has ended."""
        self._running = True
        try:
            # (Unlike ``send``, this makes no exception of the end.)
            ended = next(self.lifecycle, _ENDED) is not None
        except Exception:
            seen = {REQUEST: (self.request, self.ctx)}
            log.exception("request ended by a defect of pingap: %r", self.request, extra=seen)
            self.downstream.cut()
            ended = True
        if ended:
            self.downstream.exchange_ended()
        else:
            self._running = False

    def wake(self) -> None:
        """Let the lifecycle look again at what it waits for."""
        # Called from within the lifecycle there is nothing to wake: it looks before it waits.
        if not self._running:
            self.step()

    def fail(self, failure: PingapError) -> None:
        """Let the lifecycle end for a reason; the first one counts, or that the client left."""
        if self._book_closed:
            return
        if self.failure is None or isinstance(failure, ClientGone):
            self.failure = failure
            self.wake()

    # What the lifecycle waits for.

    @types.coroutine
    def receive_head(self) -> Generator[None, None, Response]:
        """Return the head of the upstream's final response.

        :raises PingapError: it will not come.
        """
        if self.holding:
            self._pause_answer(True)
        while self.head is None:
            if self.failure is not None:
                raise self.failure
            yield
        return self.head

    async def relay_response(self) -> None:
        """Return when the upstream's body went to the client.

        :raises PingapError: it cannot be completed.
        """
        relay = self.response_body
        assert relay is not None
        if not relay.finished:
            self.raise_failure()  # (before the head leaves, in place of which an error may be sent)
        if not self.delivering:
            self.downstream.flush()
        while not relay.finished:
            self.raise_failure()
            await suspend()

    @property
    def half_ended(self) -> bool:
        """Whether the upstream's side of a tunnel has ended."""
        return self.response_body is not None and self.response_body.finished

    @property
    def tasks(self) -> HookTasks:
        """Where what plugins await is run."""
        return self.downstream.tasks

    async def in_task(self, awaitable: Awaitable[Any], limit: float | None = None) -> Any:
        """Run something that awaits in a task, and return its result.

        :param limit: seconds it may take; after them it is cancelled.
        :raises PingapError: the client left; what was awaited is cancelled.
        :raises TimeoutError: it took longer than the limit.
        :raises Exception: whatever the awaitable raises.
        """
        return await self.finish(self.begin(awaitable, limit))

    def begin(self, awaitable: Awaitable[Any], limit: float | None = None) -> Outcome:
        """Begin what ``in_task`` does; most outcomes are done when this returns.

        :param limit: seconds it may take.
        """
        return self.downstream.tasks.start(awaitable, self.wake, limit)

    async def finish(self, outcome: Outcome) -> Any:
        """Return the result of what was begun; raises as ``in_task``."""
        while not outcome.done:
            if self.failure is not None:
                outcome.cancel(self.failure)
            await suspend()
        self.raise_failure()
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    async def woken(self) -> None:
        """Return when something has happened, for callers that look whether it was theirs.

        :raises PingapError: the exchange failed.
        """
        self.raise_failure()
        await suspend()
        self.raise_failure()

    async def outlast(self, outcome: Outcome) -> None:
        """Return when something has ended, however that was."""
        while not outcome.done:
            await suspend()

    async def connect(self, connecting: Awaitable[Connecting]) -> Connecting:
        """Return a new upstream connection; close it if the exchange no longer needs it.

        :raises PingapError: connecting failed, or the exchange failed meanwhile.
        """
        outcome = self.begin(connecting)
        outcome.discard = _close
        try:
            connection: Connecting = await self.finish(outcome)
        except PingapError:
            if outcome.value is not None:
                outcome.value.close()
            raise
        return connection

    def raise_failure(self) -> None:
        """Raise what ended the exchange, if something did."""
        if self.failure is not None:
            raise self.failure

    def forgive(self) -> None:
        """Forget a failure that was dealt with. That the client left is not forgotten."""
        if not isinstance(self.failure, ClientGone):
            self.failure = None

    def close_book(self) -> None:
        """Forget every failure: what is still awaited is of no concern to the client."""
        self.failure = None
        self._book_closed = True

    # What the client's side reports.

    def on_request_chunk(self, chunk: bytes) -> None:
        """Take body bytes of the request."""
        assert self.request_body is not None
        try:
            self.request_body.feed(chunk)
        except HTTPError as error:
            self.fail(error)

    def on_request_end(self, trailers: Headers | None) -> None:
        """Take the end of the request body."""
        assert self.request_body is not None
        try:
            self.request_body.end(trailers)
        except HTTPError as error:
            self.fail(error)
        if self.tunnelling or self.awaits_request_end:
            self.wake()

    def on_request_broken(self, error: HTTPError) -> None:
        """Take note that the rest of the request cannot be read."""
        self.fail(error)

    def on_client_gone(self) -> None:
        """Take note that nobody waits for the answer any more."""
        self.fail(ClientGone())

    def on_client_full(self, full: bool) -> None:
        """Take note that the client can, or cannot, take more."""
        self.client_full = full
        if self.tunnelling and self.messages is not None:
            self.messages.on_full()
        elif self.response_body is not None:
            self.response_body.set_full(full)

    def on_tunnel_deadline(self) -> bool:
        """Act on ``tunnel_deadline``; return False if it has not passed."""
        if self.messages is None or not self.messages.on_deadline(time.monotonic()):
            return False
        self.wake()
        return True

    def hold_answer(self, hold: bool) -> None:
        """Pause or resume reading a response that has not begun.

        :param hold: pause, because the client's connection is full of other responses.
        """
        self.holding = hold
        self._pause_answer(hold)

    def _pause_answer(self, pause: bool) -> None:
        if self.upstream is None:
            return
        if pause and self.head is None:
            self.upstream.pause_body()
        elif not pause and not (self.response_body is not None and self.response_body.is_paused):
            self.upstream.resume_body()

    # What the upstream's side reports.

    def on_upstream_head(self, response: Response) -> None:
        """Take a response head; interim ones are passed on (RFC 9110, 15.2)."""
        if response.status < 200 and response.status != 101:
            if not self.head_sent:
                self.downstream.send_interim(response)
            return
        assert self.upstream is not None
        self.head = response
        self.response_body = BodyRelay(self.upstream)
        if self.client_full:
            self.response_body.set_full(True)
        self.wake()

    def on_upstream_whole(self, response: Response) -> None:
        """Take a response that came in one piece, with its body; the upstream's side has let go."""
        self.upstream = None
        self.head = response
        if not self._running:
            self.step()

    def on_upstream_chunk(self, chunk: bytes) -> None:
        """Take body bytes of the response."""
        assert self.response_body is not None
        try:
            self.response_body.feed(chunk)
        except HTTPError as error:
            self.fail(error)

    def on_upstream_end(self, trailers: Headers | None) -> None:
        """Take the end of the response; the upstream's side has let go of the exchange."""
        assert self.response_body is not None
        self.upstream = None
        try:
            self.response_body.end(trailers)
        except HTTPError as error:
            self.fail(error)
        else:
            self.wake()

    def on_upstream_half_closed(self) -> None:
        """Take note that the upstream's side of a tunnel has ended, and only that."""
        assert self.response_body is not None
        self.response_body.end(None)
        self.wake()

    def on_upstream_waiting(self) -> None:
        """Take note that no more of the response is here for now."""
        self.delivering = False
        if self.head_sent:
            self.downstream.flush()

    def on_upstream_lost(self, error: HTTPError) -> None:
        """Take note that there is no upstream connection any more."""
        self.upstream = None
        self.upstream_full = False
        if self.request_body is not None:
            self.request_body.detach()
        self.fail(error)

    def on_upstream_full(self, full: bool) -> None:
        """Take note that the upstream can, or cannot, take more."""
        self.upstream_full = full
        if self.tunnelling and self.messages is not None:
            self.messages.on_full()
        elif self.request_body is not None:
            self.request_body.set_full(full)

    # Letting go.

    def leave_peer(self, *, failed: bool = False) -> None:
        """Take note that the attempt is over, unless that was done.

        :param failed: the peer could not answer.
        """
        if (peer := self.peer) is not None:
            self.peer = None
            peer.in_flight -= 1
            if peer.bookkeeper is not None:
                peer.bookkeeper.ended(peer, self.ctx, failed=failed)

    def drop_upstream(self) -> None:
        """Give up the upstream connection, if there still is one."""
        if self.upstream is not None:
            upstream, self.upstream = self.upstream, None
            if self.delivering:
                upstream.leave()
            else:
                upstream.abort()

    def discard_answer(self) -> None:
        """Forget an answer whose head came, so that another upstream may be asked."""
        self.drop_upstream()
        self.leave_peer(failed=True)
        if self.request_body is not None:
            self.request_body.detach()
        self.head = self.response_body = None
        self.delivering = self.upstream_full = False
        self.ctx.upstream_status, self.ctx.upstream_head_at = 0, 0.0
