"""The header fields of one attempt to send a request, to an upstream or to an origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from pingap.http.attempts import Retry
from pingap.http.headers import Headers, set_unchecked
from pingap.http.hops import without_credentials
from pingap.http.plugin_heads import close_head
from pingap.plugins.peer import Peer
from pingap.proxy.exchange import Exchange
from pingap.proxy.hook_runner import call_all
from pingap.proxy.runtime import LocationRuntime
from pingap.proxy.upstream_headers import set_host

if TYPE_CHECKING:
    from pingap.upstream.upstream import UpstreamRuntime

RETRY_HEADER: Final = "X-Retry-Attempt"
"""Tells an upstream the number of a retry; clients cannot send it."""


async def prepare_retry(x: Exchange, retry: Retry) -> None:
    """Change the header fields of the request as a plugin wants, and wait."""
    if retry.headers is not None:
        set_unchecked(x.request, "headers", retry.headers)
    if retry.after:
        await x.in_task(anyio.sleep(retry.after))


def headers_for(x: Exchange, location: LocationRuntime) -> Headers:
    """Return the header fields of the next attempt: those of the request, unless they are changed."""
    request = x.request
    headers = request.headers
    if location.upstream_headers:
        headers = headers.copy()
        for apply in location.upstream_headers:
            apply(headers, request, x.ctx)
        if request.method == "TRACE":
            headers = without_credentials(headers)  # ours would be returned to the client, too
    if x.ctx.upstream_retries:
        headers = headers.copy()
        headers.set(RETRY_HEADER, str(x.ctx.upstream_retries))
    return headers


def with_peer_host(x: Exchange, headers: Headers, upstream: UpstreamRuntime, peer: Peer) -> Headers:
    """Return header fields with the name or address of the peer as ``Host``."""
    if headers is x.request.headers:
        headers = headers.copy()
    set_host(headers, x.request, x.ctx, upstream.host_of(peer))
    return headers


async def change_headers(x: Exchange, headers: Headers, peer: Peer) -> Headers:
    """Run ``upstream_request``; its changes do not affect other attempts."""
    if headers is x.request.headers:
        headers = headers.copy()
    close_head(x.request)
    arguments = (x.request, headers, peer, x.ctx)
    pending = call_all(x, x.chains.upstream_request, "upstream_request", *arguments)
    if pending is not None:
        await pending
    return headers
