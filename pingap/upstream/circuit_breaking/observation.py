"""Sets up the observers of an upstream's attempts, according to its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pingap.upstream.circuit_breaking.breaker import BreakerSettings
from pingap.upstream.circuit_breaking.breakers import Breakers
from pingap.upstream.stats import BackendStats, Tracer

if TYPE_CHECKING:
    from pingap.config import UpstreamConfig
    from pingap.shared_state.bus import Bus
    from pingap.upstream.upstream import UpstreamRuntime
    from pingap.wire.deadlines import Deadlines


def observe(
    upstream: UpstreamRuntime, settings: UpstreamConfig, deadlines: Deadlines, bus: Bus
) -> None:
    """Give an upstream its statistics and circuit breakers, if they are configured."""
    failures = settings.failure_statuses
    if settings.enable_tracer:
        upstream.is_traced = True
        upstream.observers += (Tracer(upstream),)
    if upstream.finds_peers:
        return
    if settings.enable_backend_stats:
        upstream.observers += (BackendStats(failures, settings.backend_stats_interval),)
    if settings.breaks_circuits:
        limits = BreakerSettings(
            max_consecutive_failures=settings.circuit_break_max_consecutive_failures,
            max_failure_percent=settings.circuit_break_max_failure_percent,
            min_requests=settings.circuit_break_min_requests_threshold,
            probes=settings.circuit_break_half_open_consecutive_success_threshold,
            open_duration=settings.circuit_break_open_duration,
            window=settings.backend_stats_interval,
        )
        upstream.breakers = Breakers(upstream, limits, failures, deadlines, bus)
        upstream.choose_peer = upstream.breakers.choose
        upstream.observers += (upstream.breakers,)
