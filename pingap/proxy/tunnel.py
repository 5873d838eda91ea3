"""Tunnels: after 101, bytes pass both ways unchanged (RFC 9110, 7.8).

Each direction is a relay. If plugins read the messages of a WebSocket, both relays have the session as their
filter.
"""

from __future__ import annotations

from pingap.http.errors import UpstreamError
from pingap.http.headers import Headers
from pingap.http.ports import Upstream
from pingap.http.response import Response
from pingap.proxy.body_relay import BodyRelay
from pingap.proxy.exchange import Exchange
from pingap.proxy.sides import Messages
from pingap.proxy.suspending import suspend


async def run_tunnel(x: Exchange, response: Response) -> None:
    """Pass on the data of both sides, until both have ended.

    :param response: the head with status 101.
    :raises PingapError: one of them disconnected.
    """
    received = 0
    if x.request_body is not None:
        await _finish_request_body(x, x.request_body)
        received = x.request_body.received
    upstream, answer, messages = x.upstream, x.response_body, x.messages
    if upstream is None or answer is None:
        raise UpstreamError("disconnected right after it had switched protocols")
    x.tunnelling = True
    upstream.begin_tunnel()
    x.request_body = request = BodyRelay(x.downstream)
    request.received = received
    if messages is None:
        request.open(upstream)
        _begin(x, request, response)
        answer.open(x.downstream)
    else:
        _begin_messages(x, messages, request, upstream, response)
        answer.open(x.downstream, messages.upstream_filters)
    while not (answer.finished and request.finished):
        if messages is not None and messages.is_over:
            break
        x.raise_failure()
        await suspend()
    if not answer.finished:
        x.downstream.send_end(None)
    x.upstream = None
    upstream.close()


def _begin(x: Exchange, request: BodyRelay, response: Response) -> None:
    x.downstream.begin_tunnel(response)
    if x.upstream_full:  # not before, because a tunnel begins with reading
        request.set_full(True)


def _begin_messages(
    x: Exchange, messages: Messages, request: BodyRelay, upstream: Upstream, response: Response
) -> None:
    """Begin a tunnel whose messages are read; filters may send before any data has arrived."""
    upstream.read_pieces()
    request.open(upstream, messages.client_filters)
    messages.begin()
    _begin(x, request, response)
    messages.go_on()


async def _finish_request_body(x: Exchange, body: BodyRelay) -> None:
    """Wait until the whole request was sent to the upstream, since the new protocol begins after it.

    :raises PingapError: the rest of the request will not arrive.
    """
    if not body.finished and x.request.expects_continue:
        # The upstream may switch protocols without sending 100 Continue first (RFC 9110, 7.8).
        x.downstream.send_interim(Response.from_upstream(100, b"Continue", Headers(), None))
    x.awaits_request_end = True
    while not body.finished:
        x.raise_failure()
        await suspend()
    x.awaits_request_end = False
