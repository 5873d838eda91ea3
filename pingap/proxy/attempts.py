"""Sends a request to an upstream: attempts, one after the other, until a peer responds or none is left.

The lifecycle calls ``ask_upstream``; connections and pools are handled elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pingap.http.attempts import Retry, UpstreamAttempt
from pingap.http.errors import BadRequest, HTTPError, PingapError, UpstreamError
from pingap.http.headers import Headers
from pingap.http.plugin_heads import close_head
from pingap.http.response import Response
from pingap.protocol.own_fields import drop_owned
from pingap.proxy.attempt_headers import (
    change_headers,
    headers_for,
    prepare_retry,
    with_peer_host,
)
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters, rewrites
from pingap.proxy.hook_runner import ask_filters, call_all, call_first
from pingap.proxy.origin_attempt import ask_origin
from pingap.proxy.runtime import LocationRuntime
from pingap.upstream.circuit_breaking.breakers import says_nothing
from pingap.upstream.connections.http1_connection import UpstreamConnection
from pingap.upstream.connections.pinned import PinnedConnections, home_for
from pingap.upstream.peer import Peer
from pingap.upstream.retrying.retries import IDEMPOTENT, Attempts
from pingap.upstream.timeouts import Timeouts
from pingap.upstream.upstream import UpstreamRuntime

if TYPE_CHECKING:
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream

_NO_PEER: Final = 503
"""The status if no peer is available."""


async def ask_upstream(x: Exchange, location: LocationRuntime) -> Response:
    """Send the request to a peer of the upstream; return the response whose head arrives.

    :raises HTTPError: no peer responded, and no plugin answered instead.
    :raises BadRequest: no peer may get the request.
    """
    if x.request.path_danger:  # not before, because guards answer such requests like others
        raise BadRequest(f"Bad request: {x.request.path_danger}")
    if x.ctx.origin is not None and not x.ctx.upstream_name:
        return await ask_origin(x, location, x.ctx.origin)
    upstream = location.choose_upstream(x.ctx)
    if location.upstream_chains and upstream.name in location.upstream_chains:
        _add_plugins_of(x, location, upstream.name)
    filters: Filters = ()
    if x.request_body is not None and (chain := x.chains.request_body):
        filters = await ask_filters(x, chain, "request_body", x.request, x.ctx)
    if location.repeats_sent:
        upstream.retry_budget.count_request(x.ctx.began_at)
    if not x.chains.upstream_error:
        response = await _try_peers(x, location, upstream, filters)
    else:
        response = await _try_or_replace(x, location, upstream, filters)
    if x.request_body is not None:
        x.request_body.keep_nothing()
    return response


async def ask_again(x: Exchange, location: LocationRuntime, retry: Retry) -> Response:
    """Send a request without a body again, because a plugin does not want the response.

    :raises HTTPError: no peer responded, and no plugin answered instead.
    """
    x.discard_answer(failed=False)
    await prepare_retry(x, retry)
    if x.ctx.origin is not None and x.ctx.upstream_name == x.ctx.origin.name:
        return await ask_origin(x, location, x.ctx.origin)
    upstream = location.choose_upstream(x.ctx)
    if not x.chains.upstream_error:
        return await _try_peers(x, location, upstream, ())
    return await _try_or_replace(x, location, upstream, ())


def _add_plugins_of(x: Exchange, location: LocationRuntime, upstream: str) -> None:
    """Let the plugins of an upstream take part from now on, after those of the location."""
    of_location = x.chains.owned_headers  # plugins of the location may have set some of these
    owned = location.upstream_chains[upstream].owned_headers
    drop_owned(x.request.headers, [key for key in owned if key not in of_location])
    x.chains = location.chains_at(upstream, x.chains)


async def _try_or_replace(
    x: Exchange, location: LocationRuntime, upstream: UpstreamRuntime, filters: Filters
) -> Response:
    """Try peers; if none is left, let plugins answer instead, or request another try."""
    while True:
        try:
            return await _try_peers(x, location, upstream, filters)
        except HTTPError as error:
            if not isinstance(error, UpstreamError) and error.status != _NO_PEER:
                raise  # the client or a plugin caused it
            x.forgive()  # otherwise nothing could be awaited
            chain = x.chains.upstream_error
            answer: Any = call_first(x, chain, "upstream_error", x.request, error, x.ctx)
            if answer is not None and not isinstance(answer, Response | Retry):
                answer = await answer
            if isinstance(answer, Response):
                x.server.report(x, error)
                return answer
            if answer is None or not (x.request_body is None or x.request_body.replayable):
                raise
            x.server.report(x, error)
            await prepare_retry(x, answer)


async def _try_peers(
    x: Exchange, location: LocationRuntime, upstream: UpstreamRuntime, filters: Filters
) -> Response:
    """Return the response of the first peer that responds.

    :raises HTTPError: there are no more attempts.
    """
    attempts: Attempts | None = None  # the failed ones
    tried: Sequence[Peer] = ()
    fresh = False
    while True:
        peer: Peer | None = None
        try:
            if upstream.finds_peers:
                peer = await x.in_task(upstream.find_peer(x.request, x.ctx.connection))
            elif (pins := x.ctx.connection.pins) is None or (
                peer := pins.choose(upstream, tried)
            ) is None:
                choose_peer = upstream.choose_peer
                peer = choose_peer(x.request, x.ctx, tried)
            if upstream.observers or x.chains.upstream_attempt:
                response = await _observed_attempt(x, location, upstream, peer, filters, fresh)
            else:
                response = await _attempt(x, location, upstream, peer, filters, fresh)
        except UpstreamError as error:
            x.leave_peer(failed=not says_nothing(error, x.ctx))
            attempts = attempts or Attempts(x, location.retry, upstream)
            if not attempts.again_after_error(error, peer):
                raise
            x.server.report(x, error)
            x.forgive()
        else:
            if response.status not in location.retry.statuses:
                return response
            attempts = attempts or Attempts(x, location.retry, upstream)
            if not attempts.again_after_answer(response.status, peer):
                return response
            text = f"{upstream.name}({peer.text}) answered {response.status}"
            x.server.report(x, UpstreamError(text, error_type="HTTPStatus"))
            x.discard_answer()
        tried, fresh = attempts.tried, attempts.fresh


async def _observed_attempt(
    x: Exchange,
    location: LocationRuntime,
    upstream: UpstreamRuntime,
    peer: Peer,
    filters: Filters,
    fresh: bool,
) -> Response:
    """Make an attempt, and notify the observers of the upstream and the plugins of its result."""
    if upstream.breakers is not None and x.request_body is not None:
        upstream.breakers.watch_body(peer, x.ctx, x.request_body)
    began_at = time.monotonic()
    try:
        response = await _attempt(x, location, upstream, peer, filters, fresh)
    except UpstreamError as error:
        for observer in upstream.observers:
            observer.attempted(peer, x.ctx, error, 0)
        await _tell_plugins(x, upstream, peer, began_at, 0, error)
        raise
    except (
        BaseException
    ) as error:  # also if this coroutine is closed: for observers, an attempt must end
        for observer in upstream.observers:
            observer.abandoned(peer)
        if isinstance(error, PingapError):
            await _tell_plugins(x, upstream, peer, began_at, 0, error)
        raise
    else:
        for observer in upstream.observers:
            observer.attempted(peer, x.ctx, None, response.status)
        await _tell_plugins(x, upstream, peer, began_at, response.status, None)
        return response
    finally:
        if (breakers := upstream.breakers) is not None:
            breakers.release(peer, x.ctx)  # admitted when the peer was chosen


async def _tell_plugins(
    x: Exchange,
    upstream: UpstreamRuntime,
    peer: Peer,
    began_at: float,
    status: int,
    error: PingapError | None,
) -> None:
    """Run ``upstream_attempt``."""
    if not (chain := x.chains.upstream_attempt):
        return
    x.forgive()  # otherwise nothing could be awaited; the error is raised in any case
    ctx = x.ctx
    x.attempts += 1
    attempt = UpstreamAttempt(
        number=x.attempts,
        upstream=upstream.name,
        peer=peer.text,
        began_at=began_at,
        sent_at=ctx.upstream_connected_at if ctx.upstream_connected_at >= began_at else 0.0,
        ended_at=ctx.upstream_head_at if error is None else time.monotonic(),
        reused=ctx.upstream_reused,
        status=status,
        error=error,
    )
    pending = call_all(x, chain, "upstream_attempt", x.request, attempt, ctx)
    if pending is not None:
        await pending


async def _attempt(
    x: Exchange,
    location: LocationRuntime,
    upstream: UpstreamRuntime,
    peer: Peer,
    filters: Filters,
    fresh: bool,
) -> Response:
    """Send the request on a connection to the peer, kept or new; return the head of the response.

    :param fresh: whether the connection must be new.
    """
    ctx = x.ctx
    ctx.upstream_name = upstream.name
    ctx.upstream_addr = peer.text
    ctx.upstream_host = peer.host
    x.peer = peer
    peer.in_flight += 1
    headers = headers_for(x, location)
    if location.sends_peer_host:
        headers = with_peer_host(x, headers, upstream, peer)
    if x.chains.upstream_request:
        headers = await change_headers(x, headers, peer)
    upgrades = upstream.may_choose and x.request.upgrade != ""
    home: Peer | PinnedConnections = peer
    if (
        ctx.connection.pins is not None
        or ctx.pins_upstream
        or b"authorization" in x.request.headers.keys
    ):
        home = home_for(x.request, ctx, peer)
    timeouts = upstream.timeouts
    if location.timeout_changes is not None:
        timeouts = location.timeouts_at(upstream)
    connection = None if fresh or upgrades else home.take()
    if connection is not None:
        ctx.upstream_reused = True
        ctx.upstream_connected_at = time.monotonic()
    else:
        connection = await _connect(x, upstream, peer, home, timeouts, upgrades=upgrades)
    ctx.upstream_connection_began = connection.began_at
    _send_request(x, location, connection, headers, filters, timeouts)
    response = await x.receive_head()
    ctx.upstream_head_at = connection.read_at
    ctx.upstream_status = response.status
    return response


async def _connect(
    x: Exchange,
    upstream: UpstreamRuntime,
    peer: Peer,
    home: Peer | PinnedConnections,
    timeouts: Timeouts,
    *,
    upgrades: bool,
) -> UpstreamConnection | Http2UpstreamStream:
    """Return a new connection, or a stream of one; record how long that took."""
    ctx = x.ctx
    ctx.upstream_reused = False
    began = time.monotonic()
    repeatable = x.request_body is None and x.request.method in IDEMPOTENT
    connection = await x.connect(
        upstream.connect(
            peer, ctx.connection, home, timeouts, upgrades=upgrades, repeatable=repeatable
        )
    )
    ctx.upstream_connected_at = time.monotonic()
    ctx.upstream_connect_time = ctx.upstream_connected_at - began
    if connection.began_at >= began:  # not a stream of an existing connection
        ctx.upstream_tcp_connect_time = connection.tcp_seconds
        ctx.upstream_tls_handshake_time = connection.tls_seconds
        ctx.connection.stats.upstream_times[upstream.name].connected(
            connection.tcp_seconds, connection.tls_seconds
        )
    return connection


def _send_request(
    x: Exchange,
    location: LocationRuntime,
    connection: UpstreamConnection | Http2UpstreamStream,
    headers: Headers,
    filters: Filters,
    timeouts: Timeouts,
) -> None:
    request, body = x.request, x.request_body
    x.upstream = connection
    if body is None:
        connection.send_request(x, request, headers, 0, timeouts)
        if location.has_plugins:
            close_head(request)
        return
    length: int | None = request.content_length
    if request.chunked or rewrites(filters, x.chains.rewriters):
        length = None
    connection.send_request(x, request, headers, length, timeouts)
    if location.has_plugins:
        close_head(request)
    idempotent = request.method in IDEMPOTENT
    if location.repeats_sent and idempotent:
        body.keep(location.retry_buffer_size)
    elif connection.may_refuse or (x.ctx.upstream_reused and idempotent):
        body.keep()
    body.open(connection, filters, length)
    if x.upstream_full:  # known before the body was opened
        body.set_full(True)
