"""The runtime graph, built from the configuration: servers, locations with frozen chains, and upstreams.

It is built completely before it serves, and not changed afterwards, except for counters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pingap.http.context import RequestContext
from pingap.http.errors import (
    FileBodyError,
    HTTPError,
    MessageError,
    OriginError,
    PluginError,
    Source,
)
from pingap.http.forwarding import Family
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.observability.counters import LocationStats
from pingap.observability.plugin_failures import PluginFailures
from pingap.observability.timing import add_server_timing
from pingap.plugins.chains import Chains, joined
from pingap.plugins.process_hooks import Handler
from pingap.plugins.timing import is_asked_for, timed
from pingap.proxy.body_relay import REPLAY_LIMIT
from pingap.proxy.error_page import ErrorPage
from pingap.proxy.exposition import ServerMetrics
from pingap.proxy.routing import Router
from pingap.upstream.retrying.retries import RetryPolicy
from pingap.upstream.timeouts import TimeoutChanges, Timeouts

if TYPE_CHECKING:
    from pingap.observability.access_log import AccessLog
    from pingap.proxy.exchange import Exchange
    from pingap.proxy.internal_redirect import InternalRoutes
    from pingap.tls.selection import ServerTls
    from pingap.upstream.upstream import UpstreamRuntime

log = logging.getLogger("pingap")

HeaderChange: TypeAlias = Callable[[Headers, Request, RequestContext], None]


@dataclass(slots=True, kw_only=True, eq=False)
class LocationRuntime:
    """A location, ready to serve (config.md, section 5).

    :param upstream: name of the upstream, ``$name`` for a captured variable, or empty.
    :param upstreams: all upstreams by name.
    :param upstream_chains: name of an upstream that has plugins -> their chains.
    :param upstream_headers: changes to the headers sent to the upstream, in order.
    :param sends_peer_host: the upstream gets its own name as ``Host``.
    :param timeout_changes: to the time limits of the upstream; None if there are none.
    :param body_timeout: seconds the next bytes of a request body may take; None: as the server allows.
    :param retry: when a request is sent to another peer.
    :param retry_buffer_size: bytes of a request body kept for that.
    :param plugin_timing: plugins are timed for every request.
    :param may_take_time: plugins may be timed, because of that or because a trusted client asks for it.
    """

    name: str
    chains: Chains
    upstream: str = ""
    upstreams: Mapping[str, UpstreamRuntime] = field(default_factory=dict)
    upstream_chains: Mapping[str, Chains] = field(default_factory=dict)
    upstream_headers: tuple[HeaderChange, ...] = ()
    sends_peer_host: bool = False
    client_max_body_size: int = 0
    max_processing: int = 0
    timeout_changes: TimeoutChanges | None = None
    body_timeout: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    retry_buffer_size: int = REPLAY_LIMIT
    plugin_timing: bool = False
    may_take_time: bool = False
    stats: LocationStats = field(default_factory=LocationStats)
    has_limits: bool = field(init=False)
    has_plugins: bool = field(init=False)
    looks_back: bool = field(init=False)
    """Whether there is additional work after a request has ended."""
    repeats_sent: bool = field(init=False)
    _fixed_upstream: UpstreamRuntime | None = field(init=False)
    _timeouts: dict[str, Timeouts] = field(init=False, default_factory=dict)
    _timed_chains: Chains | None = field(init=False, default=None)
    _at_upstreams: dict[tuple[str, bool], Chains] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.has_limits = bool(
            self.client_max_body_size or self.max_processing or self.body_timeout is not None
        )
        self.has_plugins = self.chains.plugins or bool(self.upstream_chains)
        self.looks_back = bool(self.chains.logging) or self.may_take_time
        self.repeats_sent = self.retry.repeats_sent
        self._fixed_upstream = self.upstreams.get(self.upstream)

    def times_plugins(self, request: Request, ctx: RequestContext) -> bool:
        """Return whether plugins are timed for a request."""
        return self.plugin_timing or (is_asked_for(request) and ctx.connection.is_trusted)

    @property
    def timed_chains(self) -> Chains:
        """The chains with timing; created when first used."""
        if self._timed_chains is None:
            self._timed_chains = timed(self.chains)
        return self._timed_chains

    def chains_at(self, upstream: str, chains: Chains) -> Chains:
        """Return chains followed by those of an upstream; created when first used.

        :param upstream: one of ``upstream_chains``.
        :param chains: ``chains`` or ``timed_chains``.
        """
        key = (upstream, chains is self._timed_chains)
        if key not in self._at_upstreams:
            behind = self.upstream_chains[upstream]
            behind = timed(behind) if key[1] else behind
            self._at_upstreams[key] = joined(chains, behind, chains.owned_headers)
        return self._at_upstreams[key]

    def timeouts_at(self, upstream: UpstreamRuntime) -> Timeouts:
        """Return the time limits for requests to an upstream, one of ``upstreams``."""
        found = self._timeouts.get(upstream.name)
        if found is None:
            assert self.timeout_changes is not None
            found = self._timeouts[upstream.name] = self.timeout_changes.over(upstream.timeouts)
        return found

    def choose_upstream(self, ctx: RequestContext) -> UpstreamRuntime:
        """Return the upstream that a plugin set in ``ctx.upstream``, else the configured one.

        :raises HTTPError: 503, there is no such upstream.
        """
        if self._fixed_upstream is not None and not ctx.upstream_name:
            return self._fixed_upstream
        name = ctx.upstream_name or self.upstream
        if name.startswith("$"):
            name = ctx.captures.get(name[1:], "")
        if (upstream := self.upstreams.get(name)) is None:
            raise HTTPError(503, f"No available upstream for {self.name}")
        return upstream


@dataclass(slots=True, kw_only=True, eq=False)
class ServerRuntime:
    """A server, ready to serve (config.md, section 4).

    :param tls: None for a server without TLS.
    :param trusted_forwarding: the forwarded headers that trusted proxies send.
    :param plugin_failures: shared by all servers.
    """

    name: str
    router: Router[LocationRuntime]
    error_page: ErrorPage
    metrics: ServerMetrics
    chains: Chains
    """The chains of the server's plugins, and of pingap: see ``hookspecs.SERVER_PHASES``."""
    access_log: AccessLog | None = None
    enable_server_timing: bool = False
    via: bytes | None = None
    """Its name in ``Via``; None to add none."""
    tls: ServerTls | None = None
    trusted_forwarding: Family = "any"
    plugin_failures: PluginFailures = field(default_factory=PluginFailures)
    connection_handlers: tuple[Handler, ...] = ()
    """Implementations of ``pingap_connection``."""
    internal: InternalRoutes | None = None
    """Its internal locations; None without any."""

    looks_back: bool = field(init=False)
    """Whether a plugin of the server has the phase ``logging``."""

    def __post_init__(self) -> None:
        self.looks_back = bool(self.chains.logging)

    def add_timing(self, response: Response, ctx: RequestContext) -> None:
        """Add ``Server-Timing`` to a response."""
        add_server_timing(response, ctx)

    def report(self, x: Exchange, error: Exception) -> None:
        """Log an error that the operator should know of; errors caused by clients are not logged.

        The error is then handled: its tracebacks are removed.
        """
        if isinstance(error, PluginError | OriginError):
            self.plugin_failures.report(error, x.ctx.location, x.request, x.ctx)
        elif isinstance(error, HTTPError) and error.source is Source.UPSTREAM:
            ctx = x.ctx
            peer = f"{ctx.upstream_name}({ctx.upstream_addr}) "  # other errors name the peer themselves
            peer = peer if isinstance(error, MessageError) else ""
            log.warning("upstream %s%s (%s)", peer, error, error.error_type)
        elif isinstance(error, FileBodyError):
            log.warning("%s, location %s", error, x.ctx.location)
        # One of the frames refers to the exchange, which refers to the error: a reference cycle that only the
        # garbage collector frees, together with everything the callers hold, such as a read of 256 KB.
        error.__traceback__ = None
