"""The runtime graph: everything that a worker uses to serve, and how it replaces the previous one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from pingap.config import Config, Problem
from pingap.http.networks import Network
from pingap.observability.counters import WorkerStats
from pingap.observability.log_files import LogFiles
from pingap.observability.plugin_failures import PluginFailures
from pingap.plugins.chains import Instance
from pingap.plugins.collectors import Collectors
from pingap.plugins.process_hooks import Handlers
from pingap.plugins.registry import Registry
from pingap.proxy.runtime import LocationRuntime, ServerRuntime
from pingap.shared_state.bus import Bus
from pingap.shared_state.state import SharedState
from pingap.tls.replacements import Replacements, is_needless
from pingap.tls.selection import Served
from pingap.upstream.connections.pool import KeepalivePool
from pingap.upstream.health.keys import is_of_others
from pingap.upstream.health.service import HealthChecks
from pingap.upstream.stats import report_on
from pingap.upstream.upstream import UpstreamRuntime
from pingap.wire.backlog import Backlog
from pingap.wire.deadlines import Deadlines
from pingap.wire.write_batch import WriteBatch

Key = tuple[str | int, ...]


@dataclass(slots=True, kw_only=True)
class Runtime:
    """Everything that a worker uses to serve.

    :param plugins: every configured plugin, and those built in that some location lists.
    :param upstream_digests: name -> the digest that shows whether a later configuration has the
        same upstream.
    :param plugin_digests: name -> the same for plugin instances.
    :param certificates: those that replace ``served``, the certificates of the configuration, on
        behalf of plugins.
    :param certificate_digests: name -> the same for certificates.
    :param claimed: name of an instance behind a claimed key -> path of that key.
    :param log_targets: of the log files in use.
    :param handlers: of hooks that belong to the process.
    :param shared: the state that the worker shares with the others.
    :param warnings: warnings for the operator, in addition to those of the configuration.
    """

    config: Config
    registry: Registry
    stats: WorkerStats
    servers: dict[str, ServerRuntime]
    upstreams: dict[str, UpstreamRuntime]
    locations: dict[str, LocationRuntime]
    plugins: list[Instance]
    pool: KeepalivePool
    deadlines: Deadlines
    writes: WriteBatch
    backlog: Backlog
    log_files: LogFiles
    bus: Bus
    shared: SharedState
    health: HealthChecks
    trusted_proxies: tuple[Network, ...]
    plugin_failures: PluginFailures
    collectors: Collectors
    upstream_digests: dict[str, str]
    plugin_digests: dict[str, str]
    certificates: Replacements
    served: tuple[Served, ...]
    certificate_digests: dict[str, str]
    claimed: dict[str, Key]
    log_targets: frozenset[str]
    handlers: Handlers
    warnings: list[Problem] = field(default_factory=list)

    def count_with(self, shared: SharedState) -> None:
        """Count together with other workers from now on; called in the event loop, before any request."""
        self.shared = shared
        for upstream in self.upstreams.values():
            upstream.count_with(shared)

    def take_effect(self) -> None:
        """Apply the limits of the upstreams and count for these locations: requests arrive here from now on."""
        self.pool.upstreams = self.upstreams.values()
        self.pool.size = self.config.basic.upstream_keepalive_pool_size
        self.health.follow(self.upstreams.values())
        self.forget_others(self.bus)
        self.stats.locations = {
            location.name: location.stats for location in self.locations.values()
        }
        self.stats.backends = partial(report_on, self.upstreams.values())
        self.count_with(self.shared)
        for upstream in self.upstreams.values():
            if upstream.breakers is not None:
                upstream.breakers.follow()
        self.certificates.settle(self.certificate_digests)
        self.certificates.changed = self._replace_certificates
        self._replace_certificates()
        for server in self.servers.values():
            if server.tls is not None:
                server.tls.take_effect()

    def _replace_certificates(self) -> None:
        replacements = self.certificates.active(self.certificate_digests)
        for server in self.servers.values():
            if server.tls is not None:
                server.tls.replace(replacements)

    def forget_others(self, bus: Bus) -> None:
        """Drop values of upstreams and certificates that are no longer served."""
        bus.keep(lambda key: not is_of_others(key, self.upstreams))
        values = bus.values
        bus.keep(lambda key: not is_needless(key, values[key], self.certificate_digests))

    def release(self, living: Iterable[Runtime]) -> None:
        """Close everything that only this runtime uses; its last request has ended.

        :param living: the runtimes that have requests, or will have.
        """
        kept = {id(upstream) for one in living for upstream in one.upstreams.values()}
        for upstream in self.upstreams.values():
            if id(upstream) not in kept:
                upstream.close()
        self.log_files.close_others({target for one in living for target in one.log_targets})
