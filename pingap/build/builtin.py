"""Plugins and locations that exist without being configured."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from pingap.hookspecs import hookimpl
from pingap.host.threads import in_thread
from pingap.http.context import RequestContext
from pingap.http.headers import Headers, field
from pingap.http.messages import Request, Response
from pingap.http.paths import as_matched
from pingap.observability.sums import no_figures
from pingap.plugins.base import Plugin, PluginSettings
from pingap.proxy.exposition import ServerMetrics

INSTANCES: Final[dict[str, dict[str, Any]]] = {
    "pingap:ping": {"category": "ping", "path": "/ping"},
    "pingap:stats": {"category": "stats", "path": "/stats"},
    "pingap:requestId": {"category": "request_id"},
}
"""Plugin instances that every configuration has (config.md, section 7)."""

METRICS: Final = "pingap:metrics"
"""Name of what serves ``servers.*.prometheus_metrics``, in front of all locations."""


class MetricsPage(Plugin):
    """Answers with the metrics of a server, on one path.

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
        ask_others = ctx.connection.stats.ask_others
        figures = no_figures() if ask_others is None else await ask_others()
        page = await in_thread(self._metrics.plus(figures).page)
        content_type = field("Content-Type", "text/plain; charset=utf-8")
        return Response(200, page, Headers([content_type]))
