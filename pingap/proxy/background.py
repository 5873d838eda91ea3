"""Requests without a client that begin where a plugin has answered another one (``ctx.send_in_background``).

Such a request takes the rest of the path that the answered one would have taken, as far as the filters
of the upstream's response, which is read to its end (``unattended``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pingap.http.errors import ClientGone, PingapError, forget_frames
from pingap.http.hops import COUNTED, pass_hop
from pingap.http.outcome import RequestOutcome
from pingap.http.plugin_heads import PluginRequest, close_head
from pingap.http.response import Response
from pingap.plugins.chains import Chain
from pingap.proxy.attempts import ask_upstream
from pingap.proxy.body_source import produce
from pingap.proxy.exchange import Exchange
from pingap.proxy.hook_runner import abandon_filters, call_all, call_first
from pingap.proxy.nobody import Nobody
from pingap.proxy.response_phases import ask_for_filters, change_upstream_response
from pingap.proxy.runtime import LocationRuntime


def begin_background(x: Exchange, location: LocationRuntime) -> None:
    """Send the request that the plugin has left which has just answered."""
    assert x.ctx._background is not None
    request, ctx = x.ctx._background
    x.ctx._background = None
    if ctx.pins_upstream or ctx.connection.pins is not None:
        return  # its upstream connection is the client's
    request.__class__ = PluginRequest
    side = x.downstream
    nobody = Nobody(side.tasks, side.backlog, side.leavers)
    received = ctx._received
    y = nobody.exchange = Exchange(x.server, nobody, request, ctx)
    ctx._received = received
    y.location, y.chains, y.unattended = location, x.chains, True
    owners = [owner.name for _, owner in x.chains.request]
    y.lifecycle = _run(y, location, owners[: owners.index(x.answered_by) + 1]).__await__()
    side.leavers.keep(y)
    if nobody.exchange is not None:  # otherwise there were too many, and it is over
        y.step()


async def _run(x: Exchange, location: LocationRuntime, ahead: Sequence[str]) -> None:
    """Take the request through the rest of its phases: the lifecycle of such an exchange.

    :param ahead: names of the plugin that answered, and of those before it in ``request``.
    """
    try:
        x.raise_failure()
        response = await _find_response(x, location, x.chains.request[len(ahead) :])
        await _read(x, response)
    except ClientGone as gone:  # there are too many, or the worker ends
        x.ctx.fail(RequestOutcome.CLIENT_GONE, gone)
        gone.__traceback__ = None
    except PingapError as error:
        x.ctx.fail(RequestOutcome.BROKEN_OFF, error)
        x.server.report(x, error)
    finally:
        _end(x)
        if x.filters:
            await abandon_filters(x)
        await _look_back(x, ahead)
        if x.ctx.error is not None:
            forget_frames(x.ctx.error)


async def _find_response(x: Exchange, location: LocationRuntime, behind: Chain) -> Response:
    """Ask the plugins behind, and the upstream."""
    request, ctx = x.request, x.ctx
    for chain, phase in ((behind, "request"), (x.chains.proxy_upstream, "proxy_upstream")):
        answer = call_first(x, chain, phase, request, ctx)
        if answer is not None and not isinstance(answer, Response):
            answer = await answer
        if answer is not None:
            return answer
    if x.server.via is not None or request.method in COUNTED:
        answer = pass_hop(request, x.server.via)
        if answer is not None:
            return answer
    response = await ask_upstream(x, location)
    if x.chains.upstream_response:
        response = await change_upstream_response(x, location, response)
    return response


async def _read(x: Exchange, response: Response) -> None:
    """Read the body of the upstream's response, for the filters."""
    x.ctx.status = response.status
    x.head_sent = True
    if not response.upstream or response.status == 101:
        return
    filters = await ask_for_filters(x, x.chains, response)
    close_head(response)
    if x.response_body is not None:
        x.response_body.open(x.downstream, filters, response.content_length)
        await x.relay_response()
    elif filters:
        await produce(x, response, filters, x.downstream)


def _end(x: Exchange) -> None:
    """Release the upstream."""
    ctx = x.ctx
    x.drop_upstream()
    x.leave_peer()
    ctx.ended_at = time.monotonic()
    for file in x.files:
        file.close()
    if ctx.upstream_head_at:
        ctx.connection.stats.upstream_times[ctx.upstream_name].end(ctx)


async def _look_back(x: Exchange, ahead: Sequence[str]) -> None:
    """Run ``logging`` of the plugins behind, even if one fails."""
    x.close_book()
    for step in x.chains.logging:
        if step[1].name in ahead:
            continue
        try:
            pending = call_all(x, (step,), "logging", x.request, None, x.ctx)
            if pending is not None:
                await pending
        except PingapError as error:
            x.server.report(x, error)
