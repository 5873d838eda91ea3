"""Passes the messages of a WebSocket through the filters of plugins.

A tunnel is two relays of bytes. A session is the filter of both: it reads frames, passes whole messages
through the chain, and writes frames. So back-pressure, half-closed sides and time limits are those of every
tunnel. Without a plugin that needs messages there is no session.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from pingap.http.errors import BadRequest, HTTPError, PluginError, UpstreamError
from pingap.http.outcome import RequestOutcome
from pingap.http.response import Response
from pingap.plugins.checks import place_of_function
from pingap.plugins.websocket_filter import WebSocketFilter, as_message
from pingap.protocol.websocket import is_websocket
from pingap.protocol.websocket_deflate import Deflate, agreed
from pingap.protocol.websocket_frames import (
    ABNORMAL,
    BAD_GATEWAY,
    GOING_AWAY,
    INTERNAL_ERROR,
    POLICY_VIOLATION,
    Close,
    WebSocketError,
    WebSocketMessage,
)
from pingap.proxy.filter_chain import Filters
from pingap.proxy.hook_runner import ask_plugins
from pingap.proxy.websocket_direction import Direction
from pingap.wire.deadlines import NEVER

if TYPE_CHECKING:
    from pingap.plugins.chains import Owner
    from pingap.proxy.exchange import Exchange

CLOSE_SECONDS: Final = 5.0
"""How long the upstream may take to close the connection after both sides were closed."""

Chain: TypeAlias = "Sequence[tuple[WebSocketFilter, Owner]]"


async def begin_session(x: Exchange, response: Response) -> None:
    """Ask the plugins for filters of a WebSocket that an upstream has accepted.

    :raises PluginError: a plugin failed, or returned something other than a filter.
    :raises UpstreamError: messages could not be read: the upstream chose an unknown extension.
    """
    if response.status != 101 or not is_websocket(response.headers.get("upgrade", "")):
        return
    try:
        deflate = agreed(response.headers.get("sec-websocket-extensions", ""))
    except ValueError as error:
        raise UpstreamError(f"{_peer(x)} chose {error}") from None
    chain: list[tuple[WebSocketFilter, Owner]] = []

    def keep(one: WebSocketFilter, owner: Owner) -> None:
        chain.append((one, owner))

    arguments = (x.request, response, x.ctx)
    try:
        await ask_plugins(x, x.chains.websocket, "websocket", (WebSocketFilter,), keep, *arguments)
    finally:  # filters returned before a failure must be closed
        if chain:
            x.messages = WebSocketSession(x, chain, deflate)


def _peer(x: Exchange) -> str:
    return f"{x.ctx.upstream_name}({x.ctx.upstream_addr})"


class WebSocketSession:
    """One WebSocket and its chain of filters.

    :param chain: the filters with their plugins; the first one is next to the client.
    :param deflate: the compression of messages, if the two ends have agreed on one.
    """

    def __init__(self, x: Exchange, chain: Chain, deflate: Deflate | None) -> None:
        self._x = x
        self._chain = chain
        self._stall = min(one.stall_timeout for one, _ in chain)
        self._first_close = Close(ABNORMAL, "")
        self._give_up_at = NEVER  # when to stop waiting for the upstream to close the connection
        self._gave_up = False
        limit = min(one.message_limit for one, _ in chain)
        owner = chain[0][1]
        backlog = x.downstream.backlog
        self._from_client = Direction(self, x, owner, limit, deflate, backlog, from_client=True)
        self._from_upstream = Direction(self, x, owner, limit, deflate, backlog, from_client=False)
        self.client_filters: Filters = (self._from_client,)
        self.upstream_filters: Filters = (self._from_upstream,)
        x.filters = [*x.filters, self._from_upstream]  # so that it is notified of the end

    # Called by the exchange.

    def begin(self) -> None:
        """Start the filters; data they send to the client follows the response head."""
        self._from_upstream.collected = []
        for place, (one, owner) in enumerate(self._chain):
            one._join(self, place)
            try:
                one.opened()
            except BaseException as error:
                self._on_failure(one, owner, "opened", error)
                return

    def go_on(self) -> None:
        """Send the first data for the client: the head has been sent."""
        collected, self._from_upstream.collected = self._from_upstream.collected, None
        self._from_upstream.write(b"".join(collected or ()))
        self.settle()

    def on_full(self) -> None:
        """Called when one of the sides can, or cannot, accept more data.

        Data that a filter sends back to the side that its message came from makes that side wait,
        too; so do its unprocessed messages.
        """
        x, forth, back = self._x, self._from_client, self._from_upstream
        forth.is_crossed = forth.is_crossed and x.upstream_full
        back.is_crossed = back.is_crossed and x.client_full
        forth_waits = forth.hold(x.upstream_full or back.is_crossed)
        back_waits = back.hold(x.client_full or forth.is_crossed)
        if x.request_body is not None:
            x.request_body.set_full(forth_waits)
        if x.response_body is not None:
            x.response_body.set_full(back_waits)

    def on_upstream_lost(self) -> None:
        """Pass on what the upstream had sent before."""
        self._from_upstream.hurry()

    def on_deadline(self, now: float) -> bool:
        """Handle a time limit of the session; return False if none has passed."""
        if now < self._deadline:
            return False
        if self.is_closing:
            self._gave_up = True
            return True
        x = self._x
        for direction in (self._from_client, self._from_upstream):
            relay = x.request_body if direction.from_client else x.response_body
            if now < direction.began + self._stall:
                continue
            if direction.is_behind or (relay is not None and relay.is_paused):
                direction.began = now  # the proxy itself has paused reading
            else:
                reason = "a message did not become complete in time"
                self.on_violation(WebSocketError(POLICY_VIOLATION, reason), direction)
                break
        self.settle()
        return True

    @property
    def is_over(self) -> bool:
        """Whether both sides were closed, and nothing more is expected."""
        x, answer = self._x, self._x.response_body
        ended = self._gave_up or x.failure is not None or (answer is not None and answer.finished)
        return self.is_closing and ended

    # Called by the directions.

    @property
    def is_closing(self) -> bool:
        """Whether both sides were closed, and further data is dropped."""
        return self._give_up_at < NEVER

    def on_chunk(self, direction: Direction) -> None:
        """Record a chunk, which may or may not cause data in the other direction."""
        x = self._x
        if direction.from_client and not x.client_full:
            self._from_upstream.is_crossed = False
        elif not direction.from_client and not x.upstream_full:
            self._from_client.is_crossed = False

    def pass_on(
        self, message: WebSocketMessage, direction: Direction, place: int | None = None
    ) -> None:
        """Pass a message through the filters, and send the result.

        :param place: of the filter that has sent it; None if it came from outside.
        """
        for one, owner in self._ahead(direction, place):
            method = one.from_client if direction.from_client else one.from_upstream
            try:
                result = method(message)
                if result is None:
                    return
                if result is not message:
                    message = as_message(result)
            except BaseException as error:
                self._on_failure(one, owner, method.__name__, error)
                return
        direction.write(direction.encoder.message(message))

    def _ahead(
        self, direction: Direction, place: int | None
    ) -> Iterator[tuple[WebSocketFilter, Owner]]:
        """Return the filters that a message still has to pass."""
        if direction.from_client:
            return iter(self._chain[0 if place is None else place + 1 :])
        return reversed(self._chain[:place])

    def on_close(self, close: Close, direction: Direction) -> None:
        """Pass on a close frame. After one in each direction, only the connections have to end."""
        self._note_close(close)
        direction.write(direction.encoder.close(close))
        if self._from_client.encoder.closed and self._from_upstream.encoder.closed:
            self._give_up_at = time.monotonic() + CLOSE_SECONDS

    def on_violation(self, error: WebSocketError, direction: Direction) -> None:
        """Close both sides, because one of them broke the protocol or a limit."""
        close = Close(error.code, error.reason)
        if direction.from_client:
            self._shut(close, Close(GOING_AWAY, ""), close)
            self._fail(BadRequest(f"WebSocket: {error.reason}"))
        else:
            self._shut(Close(BAD_GATEWAY, ""), close, close)
            detail = f"{_peer(self._x)} broke the protocol of WebSocket: {error.reason}"
            self._fail(UpstreamError(detail, error_type="InvalidMessage"))

    def _on_failure(
        self, one: WebSocketFilter, owner: Owner, method: str, error: BaseException
    ) -> None:
        """Close both sides, because a plugin failed."""
        place = place_of_function(getattr(type(one), method))
        failure = PluginError(owner.name, "websocket", place)
        failure.__cause__ = error
        close = Close(INTERNAL_ERROR, "")
        self._shut(close, close, close)
        self._fail(failure)

    def settle(self) -> None:
        """Set the time limit, and make a side wait that sends more than the other accepts."""
        x = self._x
        x.tunnel_deadline = self._deadline
        x.downstream.watch_tunnel()
        is_behind = self._from_client.is_behind or self._from_upstream.is_behind
        if is_behind or x.client_full or x.upstream_full:
            self.on_full()

    @property
    def _deadline(self) -> float:
        if self.is_closing:
            return self._give_up_at
        return min(self._from_client.began, self._from_upstream.began) + self._stall

    def send_now(self, data: bytes, direction: Direction) -> None:
        """Send bytes in a direction, unless it has ended."""
        x = self._x
        relay = x.request_body if direction.from_client else x.response_body
        sink = x.upstream if direction.from_client else x.downstream
        if relay is not None and not relay.finished and sink is not None:
            sink.send_chunk(data)
            direction.is_crossed = True

    # Called by the filters.

    def send(self, place: int, message: WebSocketMessage, *, to_client: bool) -> bool:
        """Send a message of a filter (see ``Tunnel``)."""
        x = self._x
        direction = self._from_upstream if to_client else self._from_client
        relay = x.response_body if to_client else x.request_body
        is_full = x.client_full if to_client else x.upstream_full
        if self.is_closing or direction.encoder.closed or relay is None or relay.finished:
            return False
        if is_full and not self._is_passing:
            return False
        self.pass_on(message, direction, place)
        return True

    @property
    def _is_passing(self) -> bool:
        """Whether a message is being passed on: its sender is then made to wait if necessary."""
        return self._from_client.collected is not None or self._from_upstream.collected is not None

    def close(self, close: Close) -> None:
        """Close both sides at the request of a filter."""
        if not self.is_closing:
            self._shut(close, close, close)
            self.settle()

    # The end.

    def _shut(self, to_client: Close, to_upstream: Close, close: Close) -> None:
        """Close both sides, as far as they are open.

        :param close: the close that the filters get.
        """
        self._note_close(close)
        self._from_upstream.write(self._from_upstream.encoder.close(to_client))
        self._from_client.write(self._from_client.encoder.close(to_upstream))
        self._give_up_at = time.monotonic() + CLOSE_SECONDS

    def _note_close(self, close: Close) -> None:
        if self._first_close.code == ABNORMAL:
            self._first_close = close

    def _fail(self, failure: HTTPError) -> None:
        self._x.ctx.fail(RequestOutcome.BROKEN_OFF, failure)
        self._x.server.report(self._x, failure)

    def end(self) -> None:
        """Notify the filters of the end; release everything, in an order that leaves no cycle."""
        self._from_client.session = self._from_upstream.session = None
        self._x.messages = None
        for one, owner in self._chain:
            one._join(None, 0)
            try:
                one.closed(*self._first_close)
            except BaseException as error:
                failure = PluginError(owner.name, "websocket", place_of_function(type(one).closed))
                failure.__cause__ = error
                self._x.server.report(self._x, failure)
        self._chain = ()
