"""The way of one request, in the order in which it happens. Read this first.

Everything here is a plain call unless it says ``await``; and what it awaits is, but for async
plugins and new upstream connections, only the next callback of a connection (``exchange``).
Sockets, wire formats and pools are elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pingap.http.date_field import add_date
from pingap.http.errors import (
    BadRequest,
    ClientGone,
    HTTPError,
    PingapError,
    PluginError,
    Source,
    UpstreamError,
    forget_frames,
)
from pingap.http.hops import COUNTED, pass_hop, without_credentials
from pingap.http.messages import Response
from pingap.http.outcome import RequestOutcome
from pingap.http.plugin_heads import PluginRequest, close_head
from pingap.plugins.chains import Chain, Chains
from pingap.protocol.own_fields import drop_twins
from pingap.protocol.websocket import check_upgrade
from pingap.proxy.body_source import produce
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters, rewrites
from pingap.proxy.held_head import HeldHead, bytes_to_hold
from pingap.proxy.hook_runner import abandon_filters, ask_filters, call_all, call_first
from pingap.proxy.runtime import LocationRuntime
from pingap.upstream.circuit_breaking.breakers import says_nothing
from pingap.upstream.connections.http1_connection import UpstreamConnection
from pingap.upstream.connections.pinned import PinnedConnections, home_for
from pingap.upstream.peer import Peer
from pingap.upstream.retrying.retries import IDEMPOTENT, Attempts
from pingap.upstream.upstream import UpstreamRuntime

if TYPE_CHECKING:
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream

_NO_BODY = frozenset((101, 204, 304))
RETRY_HEADER = "X-Retry-Attempt"
"""Tells an upstream which attempt after the first a request is; clients cannot send it."""


async def handle(x: Exchange, refusal: HTTPError | None = None) -> None:
    """Take one request through all its phases.

    :param refusal: what is wrong with the request, if its head could not be read.
    """
    response: Response | None = None
    filters: Filters = ()
    try:
        try:
            if refusal is not None:
                raise refusal
            response = await _find_response(x)
            if x.request.upgrade:
                check_upgrade(x.request, response)
            chains = x.chains
            if chains.response:
                pending = call_all(x, chains.response, "response", x.request, response, x.ctx)
                if pending is not None:
                    await pending
            if chains.filters_response:
                filters = await _ask_for_filters(x, chains, response)
        except HTTPError as error:
            response = await _error_response(x, error)
        if not _send_at_once(x, response, filters):
            await _send(x, response, filters)
    except ClientGone as gone:
        x.ctx.status = x.ctx.status or 499
        x.ctx.fail(RequestOutcome.CLIENT_GONE, gone)
        gone.__traceback__ = None  # (see ``ServerRuntime.report``)
    except PingapError as error:
        # The head is gone: only a cut connection tells the client that this is not the whole.
        x.ctx.fail(RequestOutcome.BROKEN_OFF, error)
        x.server.report(x, error)
        x.downstream.cut()
    finally:
        _end(x)
        if x.filters:
            await abandon_filters(x)
        if (location := x.location) is not None and location.looks_back:
            await _look_back(x, location, response)
        if (access_log := x.server.access_log) is not None:
            record = access_log.record
            record(x.request, response, x.ctx)
        if x.ctx.error is not None:
            forget_frames(x.ctx.error)


async def _find_response(x: Exchange) -> Response:
    """Match the location; let plugins answer, or ask the upstream."""
    location = _match(x)
    chains, request, ctx = x.chains, x.request, x.ctx
    if chains.prepares:
        await _prepare(x, chains)
    if chains.request:
        answer = call_first(x, chains.request, "request", request, ctx)
        if answer is not None and not isinstance(answer, Response):
            answer = await answer
        if answer is not None:
            return answer
    if chains.proxy_upstream:
        answer = call_first(x, chains.proxy_upstream, "proxy_upstream", request, ctx)
        if answer is not None and not isinstance(answer, Response):
            answer = await answer
        if answer is not None:
            return answer
    if x.server.via is not None or request.method in COUNTED:
        answer = pass_hop(request, x.server.via)
        if answer is not None:
            return answer
    response = await _ask_upstream(x, location)
    if chains.upstream_response:
        response = await _change_upstream_response(x, chains.upstream_response, response)
    if ctx.choice_fields:  # (not before: a cache may have stored what it got)
        for prepared in ctx.choice_fields:
            response.headers.append(prepared)
    return response


async def _prepare(x: Exchange, chains: Chains) -> None:
    """Do what comes before the phase ``request``."""
    request = x.request
    if chains.owned_headers:
        for key in chains.owned_headers:
            request.headers.discard(key)
        drop_twins(request.headers, chains.owned_headers)
    if chains.early_request:
        pending = call_all(x, chains.early_request, "early_request", request, x.ctx)
        if pending is not None:
            await pending
    if chains.whole_body:
        if x.request_body is not None:
            await x.in_task(x.ctx.read_body(chains.whole_body))
        else:
            request.body = b""


def _match(x: Exchange) -> LocationRuntime:
    """Find the location and check its limits (config.md 5.5, 5.9).

    :raises HTTPError: 404, 413 or 429.
    """
    request, ctx = x.request, x.ctx
    found = x.server.router.match(request.host, request.path, request)
    if found is None:
        raise HTTPError(404, "No location serves this host and path")
    location, captures = found
    x.location = location
    x.chains = location.chains
    if location.may_take_time:  # or there are trusted proxies
        ctx.told(request)  # before plugins may change what it is read from
        if location.times_plugins(request, ctx):
            x.chains = location.timed_chains
            ctx.plugin_times = {}
    if location.has_plugins:
        request.__class__ = PluginRequest
    if captures:
        ctx.captures = captures
    ctx.location = location.name
    stats = location.stats
    stats.processing = ctx.processing = stats.processing + 1
    if location.has_limits:
        _check_limits(x, location)
    return location


def _check_limits(x: Exchange, location: LocationRuntime) -> None:
    if (limit := location.client_max_body_size) and x.request_body is not None:
        if x.request.content_length > limit:
            raise HTTPError(413, f"Request Entity Too Large, max:{limit}")
        x.request_body.limit = limit
    if location.max_processing and x.ctx.processing > location.max_processing:
        raise HTTPError(429, f"Too Many Requests, max:{location.max_processing}")


async def _ask_upstream(x: Exchange, location: LocationRuntime) -> Response:
    """Send the request to a peer of the upstream; return the response whose head arrives.

    :raises UpstreamError: no peer answered.
    :raises BadRequest: no peer may get it.
    """
    if x.request.path_danger:  # (Not before: a guard answers it as it does any request.)
        raise BadRequest(f"Bad request: {x.request.path_danger}")
    upstream = location.choose_upstream(x.ctx)
    filters: Filters = ()
    if x.request_body is not None and (chain := x.chains.request_body):
        filters = await ask_filters(x, chain, "request_body", x.request, x.ctx)
    attempts: Attempts | None = None  # those that failed
    tried: Sequence[Peer] = ()
    fresh = False
    if location.repeats_sent:
        upstream.retry_budget.count_request(x.ctx.began_at)
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
            if upstream.observers:
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
                break
            attempts = attempts or Attempts(x, location.retry, upstream)
            if not attempts.again_after_answer(response.status, peer):
                break
            text = f"{upstream.name}({peer.text}) answered {response.status}"
            x.server.report(x, UpstreamError(text, error_type="HTTPStatus"))
            x.discard_answer()
        tried, fresh = attempts.tried, attempts.fresh
    if x.request_body is not None:
        x.request_body.keep_nothing()
    return response


async def _observed_attempt(
    x: Exchange,
    location: LocationRuntime,
    upstream: UpstreamRuntime,
    peer: Peer,
    filters: Filters,
    fresh: bool,
) -> Response:
    """Make an attempt, and tell the observers of the upstream how it ended."""
    if upstream.breakers is not None and x.request_body is not None:
        upstream.breakers.watch_body(peer, x.ctx, x.request_body)
    try:
        response = await _attempt(x, location, upstream, peer, filters, fresh)
    except UpstreamError as error:
        for observer in upstream.observers:
            observer.attempted(peer, x.ctx, error, 0)
        raise
    except BaseException:  # also if this coroutine is closed: an attempt has to end for observers
        for observer in upstream.observers:
            observer.abandoned(peer)
        raise
    else:
        for observer in upstream.observers:
            observer.attempted(peer, x.ctx, None, response.status)
        return response
    finally:
        if (breakers := upstream.breakers) is not None:
            breakers.release(peer, x.ctx)  # admitted when the peer was chosen


async def _attempt(
    x: Exchange,
    location: LocationRuntime,
    upstream: UpstreamRuntime,
    peer: Peer,
    filters: Filters,
    fresh: bool,
) -> Response:
    """Send the request on a connection to the peer, kept or new; return the answer's head.

    :param fresh: the connection has to be a new one.
    """
    ctx = x.ctx
    ctx.upstream_name = upstream.name
    ctx.upstream_addr = peer.text
    x.peer = peer
    peer.in_flight += 1
    upgrades = upstream.may_choose and x.request.upgrade != ""
    home: Peer | PinnedConnections = peer
    if (
        ctx.connection.pins is not None
        or ctx.pins_upstream
        or b"authorization" in x.request.headers.keys
    ):
        home = home_for(x.request, ctx, peer)
    connection = None if fresh or upgrades else home.take()
    if connection is not None:
        ctx.upstream_reused = True
        ctx.upstream_connected_at = time.monotonic()
    else:
        ctx.upstream_reused = False
        began = time.monotonic()
        repeatable = x.request_body is None and x.request.method in IDEMPOTENT
        connection = await x.connect(
            upstream.connect(peer, ctx.connection, home, upgrades=upgrades, repeatable=repeatable)
        )
        ctx.upstream_connected_at = time.monotonic()
        ctx.upstream_connect_time = ctx.upstream_connected_at - began
        if connection.began_at >= began:  # (not a stream of a connection that was there)
            ctx.upstream_tcp_connect_time = connection.tcp_seconds
            ctx.upstream_tls_handshake_time = connection.tls_seconds
            ctx.connection.stats.upstream_times[upstream.name].connected(
                connection.tcp_seconds, connection.tls_seconds
            )
    ctx.upstream_connection_began = connection.began_at
    _send_request(x, location, connection, filters)
    response = await x.receive_head()
    ctx.upstream_head_at = connection.read_at
    ctx.upstream_status = response.status
    return response


def _send_request(
    x: Exchange,
    location: LocationRuntime,
    connection: UpstreamConnection | Http2UpstreamStream,
    filters: Filters,
) -> None:
    request, body = x.request, x.request_body
    headers = request.headers
    if location.upstream_headers:
        headers = headers.copy()
        for apply in location.upstream_headers:
            apply(headers, request, x.ctx)
        if request.method == "TRACE":
            headers = without_credentials(headers)  # (ours would come back to the client, too)
    if x.ctx.upstream_retries:
        headers = headers.copy()
        headers.set(RETRY_HEADER, str(x.ctx.upstream_retries))
    x.upstream = connection
    if body is None:
        connection.send_request(x, request, headers, 0)
        if location.has_plugins:
            close_head(request)
        return
    length: int | None = request.content_length
    if request.chunked or rewrites(filters, x.chains.rewriters):
        length = None
    connection.send_request(x, request, headers, length)
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


async def _change_upstream_response(x: Exchange, chain: Chain, response: Response) -> Response:
    """Run ``upstream_response``; a response that a plugin puts in its place drops the upstream's."""
    for step in chain:
        answer = call_first(x, (step,), "upstream_response", x.request, response, x.ctx)
        if answer is not None and not isinstance(answer, Response):
            answer = await answer
        if answer is not None and answer is not response:
            x.drop_upstream()
            x.leave_peer()
            response = answer
    return response


async def _ask_for_filters(x: Exchange, chains: Chains, response: Response) -> Filters:
    """Run the phases that filter the body of a response."""
    if x.request.method == "HEAD" or response.status in _NO_BODY:
        if chains.rewriters:
            response.content_length = None  # what a GET would bring cannot be known
        return ()
    filters: Filters = ()
    args = (x.request, response, x.ctx)
    if chains.upstream_response_body and response.upstream:
        chain = chains.upstream_response_body
        filters = await ask_filters(x, chain, "upstream_response_body", *args)
    if chains.response_body:
        filters = (*filters, *await ask_filters(x, chains.response_body, "response_body", *args))
    if rewrites(filters, chains.rewriters):
        response.content_length = None
    return filters


async def _error_response(x: Exchange, error: HTTPError) -> Response:
    """Make the page for an error. ``response`` runs for it as well, unless that is what failed."""
    x.drop_upstream()
    x.forgive()
    x.ctx.error = error
    x.server.report(x, error)
    response = x.server.error_page.render(x.request, x.ctx, error)
    if x.location is None or not x.chains.response:
        return response
    if isinstance(error, PluginError) and error.hook == "response":
        return response
    try:
        pending = call_all(x, x.chains.response, "response", x.request, response, x.ctx)
        if pending is not None:
            await pending
    except HTTPError as second:
        x.ctx.error = second
        x.server.report(x, second)
        return x.server.error_page.render(x.request, x.ctx, second)
    return response


def _send_at_once(x: Exchange, response: Response, filters: Filters) -> bool:
    """Send a response whose body is whole and of no concern to filters; False if it is not."""
    if x.failure is not None:
        raise x.failure
    ctx = x.ctx
    ctx.status = response.status
    if response.reason is not None and response.status != ctx.upstream_status:
        response.reason = None  # it belonged to the status of the upstream
    if x.server.enable_server_timing or ctx.plugin_times:
        x.server.add_timing(response, ctx)
    if b"date" not in response.headers.keys and response.status != 101:
        add_date(response.headers)
    x.head_sent = True
    body = response.body
    if (
        filters
        or not isinstance(body, bytes)
        or (x.response_body is not None and response.upstream)
    ):
        return False
    x.downstream.send_whole(response, body)
    return True


async def _send(x: Exchange, response: Response, filters: Filters) -> None:
    """Send a response whose body is still to come, or passes filters."""
    if response.status == 101:
        close_head(response)
        await x.tunnel(response)
        return
    held: HeldHead | None = None
    if filters and (limit := bytes_to_hold(filters)):
        held = HeldHead(x, response, limit)
    else:
        close_head(response)
        x.downstream.send_head(response, response.content_length)
    try:
        if response.upstream and x.response_body is not None:
            x.response_body.open(held or x.downstream, filters, response.content_length)
            await x.relay_response()
        else:
            await produce(x, response, filters, held or x.downstream)
    except HTTPError as error:
        if not _withdraw(x, held, error):
            raise
        if x.response_body is not None:
            x.response_body.stop()
        x.head_sent, x.response_body = False, None
        _send_at_once(x, await _error_response(x, error), ())


def _withdraw(x: Exchange, held: HeldHead | None, error: HTTPError) -> bool:
    """Take back a response that failed; False if some of it was sent.

    What plugins do wrong with the first piece of a body can be answered, as the head still waits.
    """
    if held is not None and held.withdraw():
        return True
    return error.source is not Source.UPSTREAM and x.downstream.withdraw_head()


def _end(x: Exchange) -> None:
    """Let go of the upstream and take note of what became of the request."""
    ctx = x.ctx
    if x.upstream is not None:
        x.drop_upstream()
    if (peer := x.peer) is not None:  # (As ``leave_peer`` does; a call costs more.)
        peer.in_flight -= 1
        if peer.bookkeeper is not None:
            peer.bookkeeper.ended(peer, ctx, failed=False)
    ctx.ended_at = time.monotonic()
    ctx.body_bytes_sent = x.downstream.body_bytes_sent
    if x.request_body is not None:
        ctx.body_bytes_received = x.request_body.received
    if ctx.upstream_head_at:
        ctx.connection.stats.upstream_times[ctx.upstream_name].end(ctx)
    if x.location is not None:
        x.location.stats.end(ctx)


async def _look_back(x: Exchange, location: LocationRuntime, response: Response | None) -> None:
    """Run ``logging``; a plugin that fails does not keep the others from it. Count what they took."""
    if x.chains.logging:
        x.close_book()
        if response is not None:
            close_head(response)
    for step in x.chains.logging:
        try:
            pending = call_all(x, (step,), "logging", x.request, response, x.ctx)
            if pending is not None:
                await pending
        except HTTPError as error:
            x.server.report(x, error)
    location.stats.observe_plugins(x.ctx.plugin_times)
