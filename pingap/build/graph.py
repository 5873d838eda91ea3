"""Builds the runtime graph from the configuration, and reports all errors in it at once.

Everything that can fail does so here, before anything is served: regular expressions, plugin settings,
upstream addresses, log formats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pingap.build.builtin import METRICS, MetricsPage
from pingap.build.certificate_sources import SourceBuilder
from pingap.build.client_options import path_rules
from pingap.build.log_targets import output_of
from pingap.build.plugins import PluginBuilder
from pingap.build.runtime import Key, Runtime
from pingap.build.tls import TlsBuilder
from pingap.build.upstreams import UpstreamBuilder
from pingap.config import (
    Config,
    ConfigError,
    LocationConfig,
    Problem,
    ServerConfig,
    compile_regex,
)
from pingap.config.variables import more_keys
from pingap.observability.access_log import AccessLog, LogTag, split_setting
from pingap.observability.counters import LocationStats, WorkerStats
from pingap.observability.handshakes import HandshakeMetrics, HandshakeStats
from pingap.observability.log_files import LogFile, LogFiles
from pingap.observability.plugin_failures import PluginFailures
from pingap.plugins.chains import Instance
from pingap.plugins.collectors import Collectors
from pingap.plugins.context_values import DistributionKeys
from pingap.plugins.log_tags import tags_of
from pingap.plugins.process_hooks import Handlers, process_handlers, server_handlers
from pingap.plugins.registry import Registry
from pingap.proxy.error_page import ErrorPage
from pingap.proxy.exposition import ServerMetrics
from pingap.proxy.internal_redirect import InternalRoutes
from pingap.proxy.routes import Route
from pingap.proxy.routing import CarefulRouter, Router
from pingap.proxy.runtime import LocationRuntime, ServerRuntime
from pingap.proxy.upstream_headers import header_changes
from pingap.shared_state.bus import Bus
from pingap.shared_state.local import LocalState
from pingap.shared_state.state import SharedState
from pingap.tls.replacements import Replacements
from pingap.upstream.connections.pool import KeepalivePool
from pingap.upstream.health.service import HealthChecks
from pingap.upstream.metrics import UpstreamMetrics
from pingap.upstream.retrying.retries import RetryPolicy
from pingap.upstream.timeouts import TimeoutChanges
from pingap.upstream.upstream import UpstreamRuntime
from pingap.wire.backlog import Backlog
from pingap.wire.deadlines import Deadlines
from pingap.wire.write_batch import WriteBatch

T = TypeVar("T")


def build(
    config: Config,
    registry: Registry,
    log_target: str = "",
    log_files: LogFiles | None = None,
    previous: Runtime | None = None,
) -> Runtime:
    """Build the runtime graph of a configuration.

    :param log_target: the value of ``--log``, for access logs that go to the application log.
    :param log_files: opens the log files; by default a new ``LogFiles``.
    :param previous: a runtime of this process. Unchanged parts are taken over from it: upstreams with
        their connections, plugin instances with their state, counters. It is not modified, and continues
        to serve.
    :raises ConfigError: with everything that cannot be built.
    """
    if previous is not None:
        log_files = previous.log_files
    with more_keys(DistributionKeys(registry)):
        return _Builder(config, registry, log_target, log_files or LogFiles(), previous).build()


class _Builder:
    def __init__(
        self,
        config: Config,
        registry: Registry,
        log_target: str,
        log_files: LogFiles,
        previous: Runtime | None,
    ) -> None:
        self.config = config
        self.previous = previous
        self.registry = registry
        self.log_target = log_target
        self.problems: list[Problem] = []
        self.shared: SharedState
        self.warnings: list[Problem] = []
        self.plugins = PluginBuilder(config, registry, self.problems, self.warnings)
        self.log_files = log_files
        self.open_before = log_files.targets
        self.log_targets = {log_target}
        self._share(previous)
        sources = SourceBuilder(config, registry, self.plugins)
        self.tls = TlsBuilder(config, sources, self.certificates, self.problems, self.warnings)
        self.upstreams = UpstreamBuilder(
            config,
            registry,
            self.plugins,
            self.tls,
            self.pool,
            self.bus,
            self.problems,
            self.warnings,
        )
        if previous is not None:
            self.plugins.reuse(previous.plugins, previous.plugin_digests)
            self.upstreams.reuse(previous.upstreams, previous.upstream_digests)
        self.collectors = Collectors(self.failures)
        self.log_tags: dict[str, LogTag] = {}
        self.handlers: Handlers = {}

    def _share(self, previous: Runtime | None) -> None:
        """Take or create the objects that all runtimes of a process share."""
        if previous is None:
            size = self.config.basic.upstream_keepalive_pool_size
            self.deadlines, self.writes = Deadlines(), WriteBatch()
            self.backlog = Backlog(self.writes)
            self.pool = KeepalivePool(size, self.deadlines, self.writes, self.backlog)
            self.stats, self.failures = WorkerStats({}), PluginFailures()
            self.bus, self.shared = Bus(), LocalState()
            self.health = HealthChecks((), self.bus)
            self.certificates = Replacements(self.bus)
        else:
            self.deadlines, self.writes = previous.deadlines, previous.writes
            self.backlog = previous.backlog
            self.pool = previous.pool
            self.stats, self.failures = previous.stats, previous.plugin_failures
            self.bus, self.shared, self.health = previous.bus, previous.shared, previous.health
            self.certificates = previous.certificates

    def build(self) -> Runtime:
        try:
            self._log_file(self.log_target)
        except ValueError as error:
            self.problems.append(Problem(("--log",), str(error)))
        self.plugins.build_configured()
        self.tls.load_certificates()
        upstreams = self.upstreams.build_all()
        locations = {
            name: self._location(name, settings, upstreams)
            for name, settings in self.config.locations.items()
        }
        for name, instance in self.plugins.instances.items():
            self._try(self.plugins.claims.place(name), partial(self._observe, instance))
        self.handlers = process_handlers(self.registry, self.plugins.instances.values())
        servers = {
            name: server
            for name, settings in self.config.servers.items()
            if (server := self._server(name, settings, locations, upstreams)) is not None
        }
        if self.problems:
            self.log_files.close_others(self.open_before)
            raise ConfigError(self.problems)
        runtime = self._runtime(upstreams, locations, servers)
        if self.previous is None:
            runtime.take_effect()
        return runtime

    def _runtime(
        self,
        upstreams: dict[str, UpstreamRuntime],
        locations: dict[str, LocationRuntime],
        servers: dict[str, ServerRuntime],
    ) -> Runtime:
        return Runtime(
            config=self.config,
            registry=self.registry,
            stats=self.stats,
            servers=servers,
            upstreams=upstreams,
            locations=locations,
            plugins=list(self.plugins.instances.values()),
            pool=self.pool,
            deadlines=self.deadlines,
            writes=self.writes,
            backlog=self.backlog,
            log_files=self.log_files,
            bus=self.bus,
            shared=self.shared,
            health=self.health,
            trusted_proxies=self.config.basic.trusted_proxies,
            plugin_failures=self.failures,
            collectors=self.collectors,
            upstream_digests=self.upstreams.keys,
            plugin_digests=self.plugins.keys,
            certificates=self.certificates,
            served=self.tls.served,
            certificate_digests=self.tls.keys,
            claimed=self.plugins.claims.places,
            log_targets=frozenset(self.log_targets),
            handlers=self.handlers,
            warnings=[*self.warnings, *(Problem((), text) for text in self.registry.warnings)],
        )

    def _problem(self, path: Key, message: str) -> None:
        self.problems.append(self.config.source.problem(path, message))

    def _warn(self, path: Key, message: str) -> None:
        self.warnings.append(self.config.source.problem(path, message))

    def _try(self, path: Key, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except (ValueError, OSError) as error:
            self._problem(path, str(error))
            return None

    def _observe(self, instance: Instance) -> None:
        """Register the metrics and log tags of a plugin."""
        self.collectors.add(instance)
        self.log_tags |= tags_of(instance.name, instance.plugin, self.failures)

    # Locations.

    def _location(
        self, name: str, settings: LocationConfig, upstreams: dict[str, UpstreamRuntime]
    ) -> LocationRuntime:
        path: Key = ("locations", name)
        return LocationRuntime(
            name=name,
            chains=self.plugins.chains(path, settings),
            upstream=settings.upstream,
            upstreams=upstreams,
            upstream_chains=self.plugins.upstream_chains,
            upstream_headers=header_changes(
                settings,
                lambda key, text: self._problem((*path, *key), text),
                lambda key, text: self._warn((*path, *key), text),
            ),
            sends_peer_host=settings.host_header == "upstream",
            client_max_body_size=settings.client_max_body_size,
            max_processing=settings.max_processing,
            timeout_changes=self._timeout_changes(settings),
            body_timeout=settings.client_body_timeout,
            retry=RetryPolicy.of(settings),
            retry_buffer_size=settings.retry_buffer_size,
            plugin_timing=settings.plugin_timing,
            may_take_time=settings.plugin_timing or bool(self.config.basic.trusted_proxies),
            stats=self.stats.locations.get(name) or LocationStats(),
        )

    def _timeout_changes(self, settings: LocationConfig) -> TimeoutChanges | None:
        changes = TimeoutChanges(
            connect=settings.connection_timeout,
            connect_in_all=settings.total_connection_timeout,
            read=settings.read_timeout,
            write=settings.write_timeout,
        )
        limits = changes.read, changes.write, settings.client_body_timeout
        self.deadlines.set_precision_of(*limits)
        return changes or None

    # Servers.

    def _server(
        self,
        name: str,
        settings: ServerConfig,
        locations: dict[str, LocationRuntime],
        upstreams: dict[str, UpstreamRuntime],
    ) -> ServerRuntime | None:
        path: Key = ("servers", name)
        served = {
            one: self._seen_by(name, locations[one])
            for one in settings.locations
            if one in locations
        }
        configs = self.config.locations
        routes = [_route(configs[n], one) for n, one in served.items() if not configs[n].internal]
        error_page = ErrorPage(self.config.basic.error_template)
        own = [Instance("pingap:error_page", error_page)]
        metrics = self._metrics(name, settings, served, upstreams)
        if settings.prometheus_metrics:
            own.append(Instance(METRICS, MetricsPage(settings.prometheus_metrics, metrics)))
        kind = CarefulRouter if settings.allow_in_paths else Router
        raw = settings.path_matching == "raw"
        router = self._try(path, lambda: kind(routes, compile_regex, raw=raw))
        access_log = self._try((*path, "access_log"), lambda: self._access_log(settings.access_log))
        if router is None:
            return None
        serving = None if self.previous is None else self.previous.servers.get(name)
        self.deadlines.set_precision_of(
            settings.head_read_timeout,
            settings.keepalive_timeout,
            settings.tunnel_idle_timeout,
            settings.downstream_read_timeout,
            settings.downstream_write_timeout,
            settings.tls_handshake_timeout if settings.global_certificates else None,
        )
        return ServerRuntime(
            name=name,
            router=router,
            chains=self.plugins.servers.chains(name, own),
            error_page=error_page,
            metrics=metrics,
            access_log=access_log,
            enable_server_timing=settings.enable_server_timing,
            via=settings.via.encode("ascii") or None,
            tls=self.tls.server(name, settings, serving.tls if serving is not None else None),
            trusted_forwarding=self.config.basic.trusted_forwarding,
            plugin_failures=self.failures,
            internal=self._internal(path, settings, served),
            connection_handlers=server_handlers(
                self.handlers["pingap_connection"], self.plugins.servers.of(name)
            ),
        )

    def _seen_by(self, server: str, location: LocationRuntime) -> LocationRuntime:
        """Return a location with the plugins of a server, which run once, also for internal redirects."""
        if self.config.locations[location.name].internal:
            return location
        return self.plugins.at_server(server, location)

    def _internal(
        self, path: Key, settings: ServerConfig, served: dict[str, LocationRuntime]
    ) -> InternalRoutes | None:
        """Return the internal locations of a server; None without any."""
        configs = self.config.locations
        routes = [_route(configs[n], one) for n, one in served.items() if configs[n].internal]
        raw = settings.path_matching == "raw"
        router = self._try(path, lambda: Router(routes, compile_regex, raw=raw))
        return InternalRoutes(router, path_rules(settings)) if router and routes else None

    def _metrics(
        self,
        name: str,
        settings: ServerConfig,
        served: dict[str, LocationRuntime],
        upstreams: dict[str, UpstreamRuntime],
    ) -> ServerMetrics:
        return ServerMetrics(
            name,
            {one: location.stats for one, location in served.items()},
            self.failures.counts,
            self.collectors.metrics,
            self.health.counts,
            UpstreamMetrics(upstreams.values(), self.stats.upstream_times),
            self._handshakes(name) if settings.global_certificates else None,
            self.collectors.run,
            self.stats.refused,
        )

    def _handshakes(self, name: str) -> HandshakeMetrics:
        return HandshakeMetrics(self.stats.handshakes.setdefault(name, HandshakeStats()))

    def _access_log(self, setting: str) -> AccessLog | None:
        if not setting:
            return None
        target, text = split_setting(setting)
        if target is None:
            file = self._log_file(self.log_target)
            as_json = self.config.basic.log_format_json
            return AccessLog(text, file, shared=True, as_json=as_json, tags=self.log_tags)
        return AccessLog(text, self._log_file(target), tags=self.log_tags)

    def _log_file(self, target: str) -> LogFile:
        self.log_targets.add(target)
        return self.log_files.open(target, output_of(target, self.registry))


def _route(settings: LocationConfig, target: LocationRuntime) -> Route[LocationRuntime]:
    return Route(
        target=target,
        path=settings.path,
        host=settings.host,
        weight=settings.weight,
        match_headers=settings.match_headers,
        match_query=settings.match_query,
        match_cookies=settings.match_cookies,
        match_methods=settings.match_methods,
        match_ips=settings.match_ips,
    )
