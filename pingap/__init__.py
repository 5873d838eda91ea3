"""pingap: a reverse proxy and application gateway that you extend in Python.

``__all__`` is the public interface: everything that a plugin imports.
"""

from pingap.host.early_signals import hold_signals, is_the_command

if is_the_command():
    hold_signals()

from pingap._version import __version__
from pingap.build.reading import read_config
from pingap.client import (
    ClientTLS,
    HTTPClient,
    SideCallError,
    SideCallResponse,
    SideCallStream,
    http_client,
)
from pingap.config.editing.documents import Layout as ConfigLayout
from pingap.config.formats.interface import ConfigFormat, FormatError
from pingap.config.header_entry import HeaderEntry
from pingap.config.kinds import DirectoryPath, FilePath, Networks, Regex, Secret, UpstreamName
from pingap.config.network_lists import NetworkSet
from pingap.config.problem import Problem as ConfigProblem
from pingap.config.snapshot import Snapshot as ConfigSnapshot
from pingap.config.storage.errors import StorageConflict, StorageError
from pingap.config.storage.history import ConfigHistory, ConfigNote, ConfigVersion
from pingap.config.storage.interface import ConfigStorage, StorageFactory
from pingap.config.table import ConfigTable
from pingap.config.template import Template
from pingap.config.units import ByteSize, Duration
from pingap.config.view import ConfigView
from pingap.hookspecs import hookimpl, hookspec
from pingap.http.accept_encoding import AcceptedEncodings, accepted_encodings
from pingap.http.attempts import Retry, UpstreamAttempt
from pingap.http.body_filters import AsyncBodyFilter, BodyFilter, WholeBodyFilter
from pingap.http.client_connection import ClientConnection
from pingap.http.connection import Connection
from pingap.http.context import RequestContext
from pingap.http.context_keys import ContextKey
from pingap.http.cookies import Cookie
from pingap.http.entity_tags import listed_entity_tags, strong_match, weak_match
from pingap.http.error_template import ErrorTemplate, error_as_json, prefers_json
from pingap.http.errors import HTTPError
from pingap.http.forms import parse_form
from pingap.http.grpc_errors import is_grpc
from pingap.http.headers import Field, Headers, field
from pingap.http.http_dates import format_http_date, parse_http_date
from pingap.http.multi_dict import MultiDict
from pingap.http.original_request import OriginalRequest
from pingap.http.outcome import RequestOutcome
from pingap.http.ranges import ByteRange, content_range, range_heads, requested_ranges
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.http.signed_cookies import SignedCookie
from pingap.http.signing import Signer
from pingap.observability.access_log import LogTag
from pingap.observability.counters import WorkerStats
from pingap.observability.failures import Failure
from pingap.observability.log_outputs import LogOutput, LogTargetFactory
from pingap.observability.notifications import Notification
from pingap.observability.plugin_metrics import Counter, Gauge, Histogram, Metric
from pingap.plugins.background_tasks import BackgroundTasks
from pingap.plugins.balancer import Balancer, BalancerFactory, BalancerOptions, Usable
from pingap.plugins.base import Plugin, PluginSettings
from pingap.plugins.certificate_source import CertificateSource, KeyPair
from pingap.plugins.certificate_store import CertificateStore
from pingap.plugins.discovery import Discovered, Discovery, DiscoverySettings, Endpoint
from pingap.plugins.durable_store import DurableStore, StoreError
from pingap.plugins.file_body import FileBody
from pingap.plugins.instance import (
    ApplyError,
    Instance,
    InstanceFigures,
    ReloadResult,
    RestartError,
    WorkerFigures,
)
from pingap.plugins.message_filters import GRPCMessageFilter, SSEFilter
from pingap.plugins.origin import Origin
from pingap.plugins.origin_call import OriginCall
from pingap.plugins.origin_websocket import OriginWebSocket
from pingap.plugins.peer import Peer
from pingap.plugins.threaded_filter import ThreadedBodyFilter
from pingap.plugins.upstream_view import PeerView, UpstreamView
from pingap.plugins.watched_files import WatchedFiles
from pingap.plugins.websocket_filter import WebSocketFilter
from pingap.plugins.worker import Worker
from pingap.protocol.server_sent_events import ServerSentEvent
from pingap.protocol.websocket_frames import WebSocketMessage
from pingap.shared_state.lock import SharedLock
from pingap.shared_state.messages import Message, MessageBus, Subscription
from pingap.shared_state.quotas import Quota, SharedQuotas
from pingap.shared_state.state import (
    SharedCounter,
    SharedGauge,
    SharedRecord,
    SharedState,
    SharedStateStats,
    SharedTable,
    SharedWindow,
)
from pingap.shared_state.values import SharedValues
from pingap.tls.facts import CertificateFacts

Value = Template
"""The name of ``Template`` before 1.1."""

__all__ = [
    "AcceptedEncodings",
    "ApplyError",
    "AsyncBodyFilter",
    "BackgroundTasks",
    "Balancer",
    "BalancerFactory",
    "BalancerOptions",
    "BodyFilter",
    "ByteRange",
    "ByteSize",
    "CertificateFacts",
    "CertificateSource",
    "CertificateStore",
    "ClientConnection",
    "ClientTLS",
    "ConfigFormat",
    "ConfigHistory",
    "ConfigLayout",
    "ConfigNote",
    "ConfigProblem",
    "ConfigSnapshot",
    "ConfigStorage",
    "ConfigTable",
    "ConfigVersion",
    "ConfigView",
    "Connection",
    "ContextKey",
    "Cookie",
    "Counter",
    "DirectoryPath",
    "Discovered",
    "Discovery",
    "DiscoverySettings",
    "DurableStore",
    "Duration",
    "Endpoint",
    "ErrorTemplate",
    "Failure",
    "Field",
    "FileBody",
    "FilePath",
    "FormatError",
    "GRPCMessageFilter",
    "Gauge",
    "HTTPClient",
    "HTTPError",
    "HeaderEntry",
    "Headers",
    "Histogram",
    "Instance",
    "InstanceFigures",
    "KeyPair",
    "LogOutput",
    "LogTag",
    "LogTargetFactory",
    "Message",
    "MessageBus",
    "Metric",
    "MultiDict",
    "NetworkSet",
    "Networks",
    "Notification",
    "Origin",
    "OriginCall",
    "OriginWebSocket",
    "OriginalRequest",
    "Peer",
    "PeerView",
    "Plugin",
    "PluginSettings",
    "Quota",
    "Regex",
    "ReloadResult",
    "Request",
    "RequestContext",
    "RequestOutcome",
    "Response",
    "RestartError",
    "Retry",
    "SSEFilter",
    "Secret",
    "ServerSentEvent",
    "SharedCounter",
    "SharedGauge",
    "SharedLock",
    "SharedQuotas",
    "SharedRecord",
    "SharedState",
    "SharedStateStats",
    "SharedTable",
    "SharedValues",
    "SharedWindow",
    "SideCallError",
    "SideCallResponse",
    "SideCallStream",
    "SignedCookie",
    "Signer",
    "StorageConflict",
    "StorageError",
    "StorageFactory",
    "StoreError",
    "Subscription",
    "Template",
    "ThreadedBodyFilter",
    "UpstreamAttempt",
    "UpstreamName",
    "UpstreamView",
    "Usable",
    "Value",
    "WatchedFiles",
    "WebSocketFilter",
    "WebSocketMessage",
    "WholeBodyFilter",
    "Worker",
    "WorkerFigures",
    "WorkerStats",
    "__version__",
    "accepted_encodings",
    "content_range",
    "error_as_json",
    "field",
    "format_http_date",
    "hookimpl",
    "hookspec",
    "http_client",
    "is_grpc",
    "listed_entity_tags",
    "parse_form",
    "parse_http_date",
    "prefers_json",
    "range_heads",
    "read_config",
    "requested_ranges",
    "strong_match",
    "weak_match",
]
