"""Plugins and locations that exist without being configured."""

from __future__ import annotations

from typing import Any, Final

from pingap.hookspecs import hookimpl
from pingap.host.threads import in_thread
from pingap.http.context import RequestContext
from pingap.http.headers import Headers, field
from pingap.http.messages import Response
from pingap.observability.sums import no_figures
from pingap.plugins.base import Plugin, PluginSettings
from pingap.proxy.exposition import ServerMetrics

INSTANCES: Final[dict[str, dict[str, Any]]] = {
    "pingap:ping": {"category": "ping", "path": "/ping"},
    "pingap:stats": {"category": "stats", "path": "/stats"},
    "pingap:requestId": {"category": "request_id"},
}
"""Plugin instances that every configuration has (config.md, section 7)."""

METRICS_LOCATION: Final = "pingap:metrics"
"""Name of the location that serves ``servers.*.prometheus_metrics``, in front of all others."""


class MetricsPage(Plugin):
    """Answers with the metrics of a server."""

    category = METRICS_LOCATION
    answers = "internal"

    def __init__(self, metrics: ServerMetrics) -> None:
        super().__init__(PluginSettings())
        self._metrics = metrics

    @hookimpl
    async def request(self, ctx: RequestContext) -> Response:
        """Answer with the text exposition format: the sum of all workers."""
        ask_others = ctx.connection.stats.ask_others
        figures = no_figures() if ask_others is None else await ask_others()
        page = await in_thread(self._metrics.plus(figures).page)
        content_type = field("Content-Type", "text/plain; charset=utf-8")
        return Response(200, page, Headers([content_type]))
