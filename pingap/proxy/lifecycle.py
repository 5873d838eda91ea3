"""The path of one request, step by step. Read this first.

Everything here is a plain call unless it is awaited. Apart from async plugins and new upstream connections,
an await only waits for the next callback of a connection (``exchange``). Sockets, wire formats and pools are
elsewhere.
"""

from __future__ import annotations

import time

from pingap.http.date_field import add_date
from pingap.http.errors import (
    ClientGone,
    HTTPError,
    PingapError,
    PluginError,
    Source,
    forget_frames,
)
from pingap.http.hops import COUNTED, pass_hop
from pingap.http.outcome import RequestOutcome
from pingap.http.plugin_heads import PluginRequest, close_head
from pingap.http.response import NO_ANSWER, InternalRedirect, Response
from pingap.plugins.chains import Chains
from pingap.protocol.own_fields import drop_owned
from pingap.protocol.websocket import check_upgrade, is_websocket, limit_extensions
from pingap.proxy import unattended
from pingap.proxy.attempts import ask_upstream
from pingap.proxy.background import begin_background
from pingap.proxy.body_source import produce
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters
from pingap.proxy.held_head import HeldHead, bytes_to_hold
from pingap.proxy.hook_runner import abandon_filters, call_all, call_first
from pingap.proxy.internal_redirect import enter, leave
from pingap.proxy.response_phases import ask_for_filters, change_upstream_response
from pingap.proxy.runtime import LocationRuntime
from pingap.proxy.tunnel import run_tunnel
from pingap.proxy.websocket_session import begin_session
from pingap.proxy.whole_response import is_whole, send_filtered


async def handle(x: Exchange, refusal: HTTPError | None = None) -> None:
    """Take one request through all its phases.

    :param refusal: the error, if its head could not be read.
    """
    response: Response | None = None
    filters: Filters = ()
    try:
        try:
            if refusal is not None:
                raise refusal
            response = await _find_response(x)
            while type(response) is InternalRedirect:
                response = await _redirect(x, response)
            if x.request.upgrade:
                check_upgrade(x.request, response)
            chains = x.chains
            if chains.response:
                pending = call_all(x, chains.response, "response", x.request, response, x.ctx)
                if pending is not None:
                    await pending
            if chains.filters_response:
                filters = await ask_for_filters(x, chains, response)
            if chains.websocket:
                await begin_session(x, response)
        except HTTPError as error:
            response = await _error_response(x, error)
        if not _send_at_once(x, response, filters):
            await _send(x, response, filters)
        if x.unattended:
            unattended.end()
    except ClientGone as gone:
        x.ctx.status = x.status_when_left or x.ctx.status or 499
        x.ctx.fail(RequestOutcome.CLIENT_GONE, gone)
        gone.__traceback__ = None  # see ``ServerRuntime.report``
    except PingapError as error:
        # The head has been sent: only a cut connection shows the client that the response is incomplete.
        x.ctx.fail(RequestOutcome.BROKEN_OFF, error)
        x.server.report(x, error)
        x.downstream.cut()
    finally:
        _end(x)
        if x.filters:
            await abandon_filters(x)
        location = x.location
        if x.server.looks_back or (location is not None and location.looks_back) or x.redirects:
            await _look_back(x, response)
        if (access_log := x.server.access_log) is not None:
            record = access_log.record
            record(x.request, response, x.ctx)
        if x.ctx.error is not None:
            forget_frames(x.ctx.error)
        x.ctx._exchange = None  # a reference cycle


async def _redirect(x: Exchange, redirect: InternalRedirect) -> Response:
    """Let an internal location answer."""
    request, chains = x.request, x.chains
    location = enter(x, redirect)
    try:
        return await _find_response(x, location)
    finally:
        leave(x, request, chains)


async def _find_response(x: Exchange, location: LocationRuntime | None = None) -> Response:
    """Match the location; let plugins answer, or ask the upstream.

    :param location: an internal location, which has been found.
    """
    if location is None:
        if x.server.chains.server_request:
            at_once = await _ask_server_plugins(x)
            if at_once is not None:
                return at_once
        location = _match(x)
    chains, request, ctx = x.chains, x.request, x.ctx
    if chains.prepares:
        await _prepare(x, chains)
    if chains.request:
        answer = call_first(x, chains.request, "request", request, ctx)
        if answer is not None and not isinstance(answer, Response):
            answer = await answer
        if answer is not None:
            if ctx._background is not None:
                begin_background(x, location)
            return answer
    if chains.proxy_upstream:
        answer = call_first(x, chains.proxy_upstream, "proxy_upstream", request, ctx)
        if answer is not None and not isinstance(answer, Response):
            answer = await answer
        if answer is not None:
            return answer
    if (x.server.via is not None and not x.redirects) or request.method in COUNTED:
        answer = pass_hop(request, x.server.via)
        if answer is not None:
            return answer
    response = await ask_upstream(x, location)
    if x.chains.upstream_response:  # now includes those of the upstream
        response = await change_upstream_response(x, location, response)
    if ctx.choice_fields:  # after ``upstream_response``, in which a cache may store the response
        for prepared in ctx.choice_fields:
            response.headers.append(prepared)
    return response


async def _ask_server_plugins(x: Exchange) -> Response | None:
    """Run ``server_request``."""
    x.ctx.told(x.request)  # before plugins can change the headers it is read from
    x.request.__class__ = PluginRequest
    if owned := x.server.chains.owned_headers:
        drop_owned(x.request.headers, owned)
    chain = x.server.chains.server_request
    answer = call_first(x, chain, "server_request", x.request, x.ctx)
    if answer is not None and not isinstance(answer, Response):
        answer = await answer
    return answer


async def _prepare(x: Exchange, chains: Chains) -> None:
    """Do the work before the phase ``request``."""
    request = x.request
    if chains.websocket and request.upgrade and is_websocket(request.upgrade):
        limit_extensions(request)
    if chains.owned_headers:
        drop_owned(request.headers, chains.owned_headers)
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
    found = x.server.router.match(request.host, request.path, request, ctx)
    if found is None:
        raise HTTPError(404, "No location serves this host and path")
    location, captures = found
    x.location = location
    x.chains = location.chains
    if location.may_take_time:  # or there are trusted proxies
        ctx.told(request)  # before plugins can change the headers it is read from
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
        if x.request.content_length > limit or x.request_body.received > limit:
            raise HTTPError(413, f"Request Entity Too Large, max:{limit}")
        x.request_body.limit = limit
    if location.body_timeout is not None and x.request_body is not None:
        x.body_timeout = location.body_timeout
        x.downstream.watch_body()
    if location.max_processing and x.ctx.processing > location.max_processing:
        raise HTTPError(429, f"Too Many Requests, max:{location.max_processing}")


async def _error_response(x: Exchange, error: HTTPError) -> Response:
    """Make the page for an error. ``response`` runs for it as well, unless that has failed."""
    x.drop_upstream()
    x.forgive()
    x.ctx.error = error
    x.server.report(x, error)
    response = await _error_page(x, error)
    if not x.chains.response:
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
        return await _error_page(x, second)
    return response


async def _error_page(x: Exchange, error: HTTPError) -> Response:
    """Run ``error_page``: for the plugins of the location, those of the server, and pingap's own."""
    for chain in (x.chains.error_page, x.server.chains.error_page):
        try:
            page = call_first(x, chain, "error_page", x.request, error, x.ctx)
            if page is not None and not isinstance(page, Response):
                page = await page
        except HTTPError as failure:
            x.server.report(x, failure)
            break
        if page is not None:
            return page
    return x.server.error_page.error_page(x.request, error, x.ctx)


def _send_at_once(x: Exchange, response: Response, filters: Filters) -> bool:
    """Send a response whose body is complete and unfiltered; False if it is not."""
    if x.failure is not None:
        raise x.failure
    ctx = x.ctx
    ctx.status = response.status
    if response.reason is not None and response.status != ctx.upstream_status:
        response.reason = None  # it belonged to the status of the upstream
    tells_time = x.server.enable_server_timing or ctx.plugin_times
    if tells_time and not (filters and bytes_to_hold(filters)):  # (otherwise when the head is sent)
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
    if not x.unattended:
        x.downstream.send_whole(response, body)
    return True


async def _send(
    x: Exchange, response: Response, filters: Filters, *, replaceable: bool = True
) -> None:
    """Send a response whose body is incomplete or filtered.

    :param replaceable: whether an error page may replace it.
    """
    if x.unattended and (response.status == 101 or not response.upstream):
        unattended.end()
    if response.body is NO_ANSWER:
        x.downstream.cut()
        return
    if response.status == 101:
        close_head(response)
        await run_tunnel(x, response)
        return
    held: HeldHead | None = None
    limit = bytes_to_hold(filters) if filters else 0
    whole = bool(filters) and is_whole(x, response, filters, limit)
    if limit:
        held = HeldHead(x, response, limit)
    else:
        close_head(response)
        if not whole:
            x.downstream.send_head(response, response.content_length)
    try:
        if whole:
            send_filtered(x, response, filters, held)
        elif response.upstream and x.response_body is not None:
            x.response_body.open(held or x.downstream, filters, response.content_length)
            await x.relay_response()
        else:
            await produce(x, response, filters, held or x.downstream)
    except HTTPError as error:
        if not (replaceable and (whole or _withdraw(x, held, error))):
            raise
        if x.response_body is not None:
            x.response_body.stop()
        x.head_sent, x.response_body = False, None
        page = await _error_response(x, error)
        if not _send_at_once(x, page, ()):
            await _send(x, page, (), replaceable=False)


def _withdraw(x: Exchange, held: HeldHead | None, error: HTTPError) -> bool:
    """Withdraw a failed response; False if a part of it was sent.

    If a plugin fails with the first piece of a body, an error page can be sent, because the head is still
    held.
    """
    if held is not None and held.withdraw():
        return True
    return error.source is not Source.UPSTREAM and x.downstream.withdraw_head()


def _end(x: Exchange) -> None:
    """Release the upstream and record the outcome of the request."""
    ctx = x.ctx
    if x.upstream is not None:
        x.drop_upstream()
    if (peer := x.peer) is not None:  # same as ``leave_peer``, but without a call
        peer.in_flight -= 1
        if peer.bookkeeper is not None:
            peer.bookkeeper.ended(peer, ctx, failed=False)
    ctx.ended_at = time.monotonic()
    ctx.body_bytes_sent = x.downstream.body_bytes_sent
    if x.request_body is not None:
        ctx.body_bytes_received = x.request_body.received
    if x.files:
        for file in x.files:
            file.close()
    if ctx.upstream_head_at:
        ctx.connection.stats.upstream_times[ctx.upstream_name].end(ctx)
    if x.location is not None:
        x.location.stats.end(ctx)


async def _look_back(x: Exchange, response: Response | None) -> None:
    """Run ``logging`` of all plugins, even if one fails. Record plugin times."""
    chain = x.chains.logging + x.server.chains.logging
    if chain:
        x.close_book()
        if response is not None:
            close_head(response)
    for step in chain:
        try:
            pending = call_all(x, (step,), "logging", x.request, response, x.ctx)
            if pending is not None:
                await pending
        except PingapError as error:  # also ClientGone: the worker ends
            x.server.report(x, error)
    if x.location is not None:
        x.location.stats.observe_plugins(x.ctx.plugin_times)
