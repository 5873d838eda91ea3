"""Hands a request to an internal location, because a plugin has answered with an internal redirect.

The client sees one request and one response. The second location handles a GET (or HEAD) request for another
path; the response then passes the response phases of both locations, those of the internal one first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pingap.http.errors import BadRequest, UpstreamError
from pingap.http.headers import Headers
from pingap.http.paths import PathRules
from pingap.http.plugin_heads import PluginRequest
from pingap.http.request import Request, is_target
from pingap.http.response import InternalRedirect
from pingap.plugins.chains import Chains
from pingap.protocol.targets import read_path
from pingap.proxy.exchange import Exchange
from pingap.proxy.routing import Router
from pingap.proxy.runtime import LocationRuntime

MOST_REDIRECTS: Final = 10
"""Maximum number of internal redirects of a request."""
_OF_BODY: Final = (
    *(b"content-encoding", b"content-language", b"content-length", b"content-type"),
    *(b"expect", b"transfer-encoding", b"upgrade"),
)
_TYPE: Final = "InternalRedirect"


@dataclass(frozen=True, slots=True)
class InternalRoutes:
    """The internal locations of a server.

    :param rules: how paths are read: those of the server.
    """

    router: Router[LocationRuntime]
    rules: PathRules


def enter(x: Exchange, redirect: InternalRedirect) -> LocationRuntime:
    """Replace the request, and let the plugins of the internal location handle it.

    :raises UpstreamError: no location serves the path, or there were too many redirects.
    """
    x.drop_upstream()
    x.leave_peer()
    _drop_body(x)
    x.head = x.response_body = None
    x.delivering = x.upstream_full = False
    ctx = x.ctx
    x.redirects += 1
    if x.redirects > MOST_REDIRECTS:
        raise UpstreamError(f"redirects more than {MOST_REDIRECTS} times", error_type=_TYPE)
    target = redirect.target
    request = _request(x.request, target)
    location = _found(x, request, target)
    ctx.upstream_name, ctx.origin, ctx.choice_fields = "", None, ()
    ctx.upstream_status, ctx.upstream_head_at, ctx.upstream_connected_at = 0, 0.0, 0.0
    if location.has_plugins:
        request.__class__ = PluginRequest
    x.request = request
    is_timed = location.may_take_time and isinstance(ctx.plugin_times, dict)
    x.chains = location.timed_chains if is_timed else location.chains
    return location


def leave(x: Exchange, request: Request, outer: Chains) -> None:
    """Return to the request of the client, and to the plugins of its location for the response.

    :param outer: the chains of that location.
    """
    x.request = request
    inner = x.chains
    x.chains = replace(
        inner,
        error_page=inner.error_page + outer.error_page,
        response=inner.response + outer.response,
        response_body=inner.response_body + outer.response_body,
        websocket=(),
        logging=inner.logging + outer.logging,
        rewriters=inner.rewriters | outer.rewriters,
        filters_response=inner.filters_response or bool(outer.response_body),
    )


def _found(x: Exchange, request: Request, target: str) -> LocationRuntime:
    """Return the internal location of a path.

    :raises UpstreamError: there is none, or the path is invalid.
    """
    shown = f"redirects to {target!r:.200}"
    routes = x.server.internal
    if routes is None:
        text = f"{shown}, but the server has no internal location"
        raise UpstreamError(text, status=404, error_type=_TYPE)
    if not target.startswith("/") or target.startswith("//") or not is_target(target):
        raise UpstreamError(f"{shown}, which is not a path", error_type=_TYPE)
    try:
        read_path(request, routes.rules)
    except BadRequest as error:
        raise UpstreamError(f"{shown}: {error}", error_type=_TYPE) from None
    if request.path_danger:
        raise UpstreamError(f"{shown}: {request.path_danger}", error_type=_TYPE)
    found = routes.router.match(request.host, request.path, request, x.ctx)
    if found is None:
        text = f"{shown}, which no internal location serves"
        raise UpstreamError(text, status=404, error_type=_TYPE)
    location, x.ctx.captures = found
    return location


def _request(request: Request, target: str) -> Request:
    """Return the request for the internal location: without a body, and with the fields of the client."""
    method = "HEAD" if request.method == "HEAD" else "GET"
    fields = [one for one in request.headers.fields if one[0] not in _OF_BODY]
    made = Request(method, target, Headers(fields), request.host, request.http_version)
    made.keep_alive = request.keep_alive
    made.asks_timing = request.asks_timing
    return made


def _drop_body(x: Exchange) -> None:
    """Drop the body of the request; what is still to come is dropped, too (``on_request_chunk``)."""
    body = x.request_body
    if body is None:
        return
    x.ctx._read_body = None
    x.ctx.body_bytes_received = body.received
    body.stop()
    body.detach()
    body.keep_nothing()
    body.open(_Nowhere())
    x.request_body = None


class _Nowhere:
    """Takes a body that nobody needs."""

    def send_chunk(self, chunk: bytes) -> None:
        """Drop it."""

    def send_end(self, trailers: Headers | None) -> None:
        """Drop it."""
