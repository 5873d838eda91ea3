"""Passes a request to an origin, which answers it within the process."""

from __future__ import annotations

import time

from pingap.http.attempts import Retry
from pingap.http.context_ports import AnyOrigin
from pingap.http.errors import HTTPError, OriginError, UpstreamError
from pingap.http.headers import Headers
from pingap.http.plugin_heads import close_head
from pingap.http.response import Response
from pingap.plugins.origin_call import OriginCall
from pingap.proxy.attempt_headers import change_headers, headers_for, prepare_retry
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters, rewrites
from pingap.proxy.hook_runner import ask_filters, call_first
from pingap.proxy.runtime import LocationRuntime


async def ask_origin(x: Exchange, location: LocationRuntime, origin: AnyOrigin) -> Response:
    """Return the response of an origin, or that of a plugin if it fails.

    :raises HTTPError: there is none.
    """
    ctx = x.ctx
    ctx.upstream_name = ctx.upstream_addr = ctx.upstream_host = origin.name
    filters: Filters = ()
    if x.request_body is not None and (chain := x.chains.request_body):
        filters = await ask_filters(x, chain, "request_body", x.request, ctx)
    while True:
        try:
            return await _ask(x, location, origin, filters)
        except UpstreamError as error:
            chain = x.chains.upstream_error
            if not chain:
                raise
            x.forgive()  # otherwise nothing could be awaited
            answer = call_first(x, chain, "upstream_error", x.request, error, ctx)
            if answer is not None and not isinstance(answer, Response | Retry):
                answer = await answer
            if answer is None or (isinstance(answer, Retry) and x.request_body is not None):
                raise
            x.server.report(x, error)
            if isinstance(answer, Response):
                return answer
            await prepare_retry(x, answer)


async def _ask(
    x: Exchange, location: LocationRuntime, origin: AnyOrigin, filters: Filters
) -> Response:
    """Make one attempt."""
    ctx = x.ctx
    headers = headers_for(x, location)
    if x.chains.upstream_request:
        headers = await change_headers(x, headers, origin.peer)
    body, request = x.request_body, x.request
    length: int | None = None if request.chunked else request.content_length
    if body is not None and rewrites(filters, x.chains.rewriters):
        headers, length = _unframed(headers), None
    ctx.upstream_connected_at = time.monotonic()
    x.upstream = call = OriginCall(x, headers, origin.name)
    close_head(x.request)
    try:
        origin.answer(call)
    except HTTPError:
        call.abort()
        raise
    except Exception as error:
        call.abort()
        raise OriginError(origin.name, error) from error
    if body is not None:
        body.open(call, filters, length)
    response = await x.receive_head()
    ctx.upstream_head_at = time.monotonic()
    ctx.upstream_status = response.status
    return response


def _unframed(headers: Headers) -> Headers:
    """Return fields without the length of a body that filters will change."""
    headers = headers.copy()
    headers.discard(b"content-length")
    return headers
