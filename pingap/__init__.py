"""pingap: a reverse proxy and application gateway that you extend in Python.

What stands in ``__all__`` is the public interface: all that a plugin imports.
"""

from pingap.early import hold_signals, is_the_command

if is_the_command():
    hold_signals()

from pingap._version import __version__
from pingap.background_tasks import BackgroundTasks
from pingap.balancing.balancer import Balancer, BalancerFactory, BalancerOptions, Usable
from pingap.body_filters import BodyFilter, WholeBodyFilter
from pingap.config.kinds import Networks, Regex, Secret, UpstreamName
from pingap.config.units import ByteSize, Duration
from pingap.context import Connection, OriginalRequest, RequestContext
from pingap.discovery import Discovered, Discovery, DiscoverySettings, Endpoint
from pingap.errors import HTTPError
from pingap.headers import Field, Headers, field
from pingap.hookspecs import hookimpl
from pingap.messages import Request, Response
from pingap.observability.log_tags import LogTag
from pingap.observability.metrics import WorkerStats
from pingap.observability.plugin_metrics import Counter, Histogram
from pingap.outcome import RequestOutcome
from pingap.plugin import Plugin, PluginSettings
from pingap.shared_state.state import (
    SharedCounter,
    SharedGauge,
    SharedRecord,
    SharedState,
    SharedStateStats,
    SharedTable,
    SharedWindow,
)
from pingap.side_calls import HTTPClient, SideCallError, SideCallResponse, http_client
from pingap.upstream.peer import Peer
from pingap.variables import HeaderEntry, Value

__all__ = [
    "BackgroundTasks",
    "Balancer",
    "BalancerFactory",
    "BalancerOptions",
    "BodyFilter",
    "ByteSize",
    "Connection",
    "Counter",
    "Discovered",
    "Discovery",
    "DiscoverySettings",
    "Duration",
    "Endpoint",
    "Field",
    "HTTPClient",
    "HTTPError",
    "HeaderEntry",
    "Headers",
    "Histogram",
    "LogTag",
    "Networks",
    "OriginalRequest",
    "Peer",
    "Plugin",
    "PluginSettings",
    "Regex",
    "Request",
    "RequestContext",
    "RequestOutcome",
    "Response",
    "Secret",
    "SharedCounter",
    "SharedGauge",
    "SharedRecord",
    "SharedState",
    "SharedStateStats",
    "SharedTable",
    "SharedWindow",
    "SideCallError",
    "SideCallResponse",
    "UpstreamName",
    "Usable",
    "Value",
    "WholeBodyFilter",
    "WorkerStats",
    "__version__",
    "field",
    "hookimpl",
    "http_client",
]
