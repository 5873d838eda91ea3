"""Builds upstreams from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pingap.build.discovery import DiscoveryBuilder
from pingap.build.plugins import PluginBuilder
from pingap.build.tls import TlsBuilder
from pingap.config import Config, Problem, UpstreamConfig
from pingap.config.model.upstream import ASKED_HOST
from pingap.config.problem import shortened
from pingap.config.reuse import upstream_digest
from pingap.observability.plugin_failures import place_of
from pingap.plugins import kinds
from pingap.plugins.balancer import BalancerOptions
from pingap.plugins.discovery import Discovery
from pingap.plugins.registry import MissingPluginError, PluginLoadError, Registry
from pingap.shared_state.bus import Bus
from pingap.upstream.balancing.selection import Balancing
from pingap.upstream.circuit_breaking.observation import observe
from pingap.upstream.connections import fast_open
from pingap.upstream.connections.alpn import Speaks
from pingap.upstream.connections.pool import KeepalivePool
from pingap.upstream.discovering.service import Refresher, peers_of
from pingap.upstream.health.ejection import PassiveEjection
from pingap.upstream.peer import Peer
from pingap.upstream.timeouts import Timeouts
from pingap.upstream.transparent import TransparentUpstream
from pingap.upstream.upstream import UpstreamRuntime
from pingap.wire.tcp import TcpOptions

Key = tuple[str | int, ...]

_BALANCING_KEYS: Final = {"algo", "sticky_secret", "panic_threshold", "slow_start"}


class UpstreamBuilder:
    """Builds every upstream, or takes it over if it has not changed.

    :param plugins: provides the balancers of plugin files.
    :param tls: builds the TLS of upstreams.
    :param pool: of the worker, as is the bus.
    :param problems: collects errors; nothing runs if there is any.
    :param warnings: collects warnings about keys without effect.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        plugins: PluginBuilder,
        tls: TlsBuilder,
        pool: KeepalivePool,
        bus: Bus,
        problems: list[Problem],
        warnings: list[Problem],
    ) -> None:
        self._config = config
        self._registry = registry
        self._plugins = plugins
        self._tls = tls
        self._pool = pool
        self._deadlines = pool.deadlines
        self._bus = bus
        self._problems = problems
        self._warnings = warnings
        self._discoveries = DiscoveryBuilder(config, registry, problems, warnings)
        self._serving: Mapping[str, UpstreamRuntime] = {}
        self._serving_keys: Mapping[str, str] = {}
        self.keys: dict[str, str] = {}
        """The key that each upstream was built from, by name."""

    def reuse(self, upstreams: Mapping[str, UpstreamRuntime], keys: Mapping[str, str]) -> None:
        """Take over upstreams that would be built from the same content.

        :param upstreams: those that are serving.
        :param keys: the key that each was built from.
        """
        self._serving, self._serving_keys = upstreams, keys

    def build_all(self) -> dict[str, UpstreamRuntime]:
        """Return all upstreams that can be built, by name."""
        return {
            name: upstream
            for name, settings in self._config.upstreams.items()
            if (upstream := self._upstream(name, settings)) is not None
        }

    def _unchanged_upstream(self, name: str) -> UpstreamRuntime | None:
        """Return the upstream that serves already, if it would be built the same."""
        key = upstream_digest(self._config, name)
        word = self._config.upstreams[name].algo.partition(":")[0]
        key += self._plugins.balancer_keys.get(word, "")  # the file of a balancer may have changed
        self.keys[name] = key
        if self._serving_keys.get(name) != key:
            return None
        return self._serving.get(name)

    def _upstream(self, name: str, settings: UpstreamConfig) -> UpstreamRuntime | None:
        if (unchanged := self._unchanged_upstream(name)) is not None:
            return unchanged
        if settings.discovery == "transparent":
            upstream = self._transparent(name, settings)
        elif (discovery := self._discoveries.build(name, settings)) is not None:
            upstream = self._discovered(name, settings, discovery)
        else:
            return None
        self._check_alpn(name, settings)
        if settings.tcp_fast_open and not fast_open.is_possible():
            text = (
                "has no effect: this system does not do it for clients"
                " (on Linux, bit 1 of net.ipv4.tcp_fastopen allows it)"
            )
            self._warn(("upstreams", name, "tcp_fast_open"), text)
        timeouts = upstream.timeouts
        self._deadlines.set_precision_of(timeouts.read, timeouts.write, timeouts.idle)
        if settings.breaks_circuits:
            self._deadlines.set_precision_of(settings.circuit_break_open_duration)
        observe(upstream, settings, self._deadlines, self._bus)
        return upstream

    def _transparent(self, name: str, settings: UpstreamConfig) -> UpstreamRuntime:
        for key in _BALANCING_KEYS & settings.model_fields_set:
            text = "has no effect: a transparent upstream connects to the host that the client requests"
            self._warn(("upstreams", name, key), text)
        return TransparentUpstream(
            name,
            settings.allowed_hosts,
            self._pool,
            _timeouts(settings),
            _tcp_options(settings),
            self._tls.upstream(name, settings),
            ask_for_host=settings.sni == ASKED_HOST,
            ipv4_only=settings.ipv4_only,
            proxy_protocol=settings.proxy_protocol,
            speaks=Speaks(settings.alpn),
            max_h2_streams=settings.max_h2_streams,
            retry_budget=settings.retry_budget,
        )

    def _discovered(
        self, name: str, settings: UpstreamConfig, discovery: Discovery
    ) -> UpstreamRuntime:
        peers = peers_of(discovery.known)
        upstream = UpstreamRuntime(
            name,
            peers,
            self._pool,
            _timeouts(settings),
            _tcp_options(settings),
            self._tls.upstream(name, settings),
            proxy_protocol=settings.proxy_protocol,
            speaks=Speaks(settings.alpn),
            max_h2_streams=settings.max_h2_streams,
            balancing=self._balancing(name, settings, peers),
            retry_budget=settings.retry_budget,
        )
        if not discovery.fixed:
            upstream.refresher = Refresher(upstream, discovery, settings.update_frequency)
        self._watch_health(upstream, settings)
        return upstream

    def _watch_health(self, upstream: UpstreamRuntime, settings: UpstreamConfig) -> None:
        upstream.health_check = settings.health
        if limit := settings.passive_failures:
            seconds, percent = settings.passive_ejection_time, settings.passive_max_ejected_percent
            self._deadlines.set_precision_of(seconds)
            upstream.ejection = PassiveEjection(upstream, self._bus, limit, seconds, percent)
            upstream.observers += (upstream.ejection,)

    def _balancing(self, name: str, settings: UpstreamConfig, peers: list[Peer]) -> Balancing:
        """Return the balancing of an upstream, after trying it."""
        path: Key = ("upstreams", name, "algo")
        word, _, argument = settings.algo.partition(":")
        if settings.sticky_secret.get_secret_value() and word != "sticky":
            text = 'has no effect without algo = "sticky:<cookie>"'
            self._warn(("upstreams", name, "sticky_secret"), text)
        secret = settings.sticky_secret.get_secret_value().encode()
        local = self._plugins.balancers
        try:
            balancing = Balancing(
                factory=local.get(word) or self._registry.find(kinds.BALANCER, word, local),
                options=BalancerOptions(upstream=name, argument=argument, secret=secret),
                slow_start=settings.slow_start,
                panic_threshold=settings.panic_threshold,
            )
            balancing.build(peers[:1])
        except (MissingPluginError, PluginLoadError, ValueError) as error:
            self._problem(path, f"found {shortened(settings.algo)}, {error}")
        except BaseException as error:  # a bug in a plugin
            text = f"{type(error).__name__}: {error} ({place_of(error)})"
            self._problem(path, f"{shortened(settings.algo)} cannot be built: {text}")
        else:
            return balancing
        return Balancing()

    def _check_alpn(self, name: str, settings: UpstreamConfig) -> None:
        path: Key = ("upstreams", name, "alpn")
        speaks = Speaks(settings.alpn)
        if speaks is not Speaks.HTTP1 and settings.proxy_protocol:
            text = (
                "clients share HTTP/2 connections, but proxy_protocol names one client: expected H1"
            )
            self._problem(path, text)
        elif speaks is Speaks.EITHER and not settings.sni:
            text = "has no effect without sni: HTTP/1.1 is used; H2 speaks HTTP/2 without TLS"
            self._warn(path, text)

    def _problem(self, path: Key, message: str) -> None:
        self._problems.append(self._config.source.problem(path, message))

    def _warn(self, path: Key, message: str) -> None:
        self._warnings.append(self._config.source.problem(path, message))


def _timeouts(settings: UpstreamConfig) -> Timeouts:
    return Timeouts(
        connect=settings.connection_timeout or None,
        connect_in_all=settings.total_connection_timeout or None,
        read=settings.read_timeout or None,
        write=settings.write_timeout or None,
        idle=settings.idle_timeout,
    )


def _tcp_options(settings: UpstreamConfig) -> TcpOptions:
    return TcpOptions(
        idle=settings.tcp_idle,
        interval=settings.tcp_interval,
        probe_count=settings.tcp_probe_count,
        user_timeout=settings.tcp_user_timeout,
        receive_buffer=settings.tcp_recv_buf,
        fast_open=settings.tcp_fast_open and fast_open.is_possible(),
    )
