"""The page for errors that the proxy itself answers."""

from __future__ import annotations

from typing import Final

from pingap.hookspecs import hookimpl
from pingap.http.context import RequestContext
from pingap.http.error_template import ErrorTemplate, error_as_json, prefers_json
from pingap.http.errors import HTTPError
from pingap.http.grpc_errors import grpc_error, is_grpc
from pingap.http.headers import Headers, field
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.plugins.base import Plugin, PluginSettings

_NO_STORE: Final = field("Cache-Control", "private, no-store")
_HTML: Final = field("Content-Type", "text/html; charset=utf-8")
_JSON: Final = field("Content-Type", "application/json; charset=utf-8")

DEFAULT_TEMPLATE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{status}} {{reason}}</title>
<style>
body { margin: 0; min-height: 100vh; display: grid; place-items: center;
  font: 16px/1.5 system-ui, sans-serif; color: #24292f; background: #f6f8fa; }
main { padding: 2rem; max-width: 36rem; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
small { color: #57606a; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; } small { color: #8b949e; } }
</style>
</head>
<body>
<main>
<h1>{{status}} {{reason}}</h1>
<p>{{content}}</p>
<p><small>{{request_id}}</small></p>
</main>
</body>
</html>
"""


class ErrorPage(Plugin):
    """The default page: renders errors as HTML, or as JSON for clients that prefer it.

    :param template: ``basic.error_template``; empty for the built-in page. A template that begins
        with ``{`` is JSON. Placeholders: ``{{status}}``, ``{{reason}}``, ``{{content}}``,
        ``{{error_type}}``, ``{{request_id}}``, ``{{version}}``. Values are escaped.
    """

    category = "pingap:error_page"

    def __init__(self, template: str = "") -> None:
        super().__init__(PluginSettings())
        self._template = ErrorTemplate(template or DEFAULT_TEMPLATE)
        self._is_default = not template

    @hookimpl(trylast=True)
    def error_page(self, request: Request, error: HTTPError, ctx: RequestContext) -> Response:
        """Return the response for an error."""
        if is_grpc(request):
            return _with_ids(grpc_error(error), ctx, error)
        as_json = self._template.is_json
        if self._is_default and prefers_json(request.headers.get("accept") or ""):
            as_json, body = True, error_as_json(error, ctx)
        else:
            body = self._template.fill(error, ctx)
        headers = Headers([_JSON if as_json else _HTML, _NO_STORE])
        return _with_ids(Response(error.status, body, headers), ctx, error)


def _with_ids(response: Response, ctx: RequestContext, error: HTTPError) -> Response:
    """Add IDs that help to find the error in the logs."""
    response.headers.append(field("X-Pingap-EType", error.error_type))
    for prepared in error.fields:
        response.headers.append(prepared)
    if ctx.request_id:
        response.headers.set("X-Request-Id", ctx.request_id)
    return response
