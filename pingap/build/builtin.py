"""Plugins and locations that exist without being configured."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final

from pingap.hookspecs import hookimpl
from pingap.http.context import RequestContext
from pingap.http.headers import Headers, field
from pingap.http.paths import as_matched
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.plugins.base import Plugin, PluginSettings
from pingap.proxy.exposition import ServerMetrics

INSTANCES: Final[dict[str, dict[str, Any]]] = {
    "pingap:ping": {"category": "ping", "path": "/ping"},
    "pingap:stats": {"category": "stats", "path": "/stats"},
    "pingap:requestId": {"category": "request_id"},
}
"""Plugin instances that every configuration has (config.md, section 7)."""


@hookimpl(trylast=True)
def pingap_instances() -> Mapping[str, Mapping[str, object]]:
    """Return pingap's own instances; distributions may replace them."""
    return INSTANCES


METRICS: Final = "pingap:metrics"
"""Name of the plugin that serves ``servers.*.prometheus_metrics``, before all locations."""


class MetricsPage(Plugin):
    """Responds with the metrics of a server, at one path.

    :param path: as configured.
    """

    category = METRICS
    answers = "internal"

    def __init__(self, path: str, metrics: ServerMetrics) -> None:
        super().__init__(PluginSettings())
        self._path = as_matched(path)
        self._metrics = metrics

    @hookimpl
    def server_request(self, request: Request, ctx: RequestContext) -> Awaitable[Response] | None:
        """Answer requests for the page."""
        return self._page(ctx) if request.path == self._path else None

    async def _page(self, ctx: RequestContext) -> Response:
        """Return the text exposition format: the sum of all workers."""
        page = await self._metrics.page_of_all(ctx.connection.stats)
        content_type = field("Content-Type", "text/plain; charset=utf-8")
        return Response(200, page, Headers([content_type]))
