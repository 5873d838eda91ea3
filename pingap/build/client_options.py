"""The settings of a server that concern its client connections."""

from __future__ import annotations

from pingap.config import ServerConfig
from pingap.downstream.listener import ClientLimits
from pingap.http.paths import PathRules
from pingap.protocol.events import HeadLimits
from pingap.wire.tcp import TcpOptions


def client_limits(settings: ServerConfig) -> ClientLimits:
    """Return the limits of a server's clients."""
    return ClientLimits(
        head=HeadLimits(
            request_line=settings.max_request_line,
            size=settings.max_header_size,
            fields=settings.max_headers,
            paths=path_rules(settings),
            keep_shadows=settings.keep_shadowing_headers,
        ),
        head_read_timeout=settings.head_read_timeout,
        read_timeout=settings.downstream_read_timeout,
        write_timeout=settings.downstream_write_timeout,
        keepalive_timeout=settings.keepalive_timeout,
        keepalive_requests=settings.keepalive_requests,
        tunnel_idle_timeout=settings.tunnel_idle_timeout,
        pipeline_buffer_size=settings.pipeline_buffer_size,
    )


def path_rules(settings: ServerConfig) -> PathRules:
    """Return the rules by which the paths of a server's requests are read."""
    raw = settings.path_matching == "raw"
    return PathRules(
        raw=raw,
        allowed=frozenset(settings.allow_in_paths),
        forwards_normalised=not raw and settings.forward_path == "normalised",
    )


def client_tcp(settings: ServerConfig) -> TcpOptions:
    """Return the socket options of a server's clients."""
    return TcpOptions(
        idle=settings.tcp_idle,
        interval=settings.tcp_interval,
        probe_count=settings.tcp_probe_count,
        user_timeout=settings.tcp_user_timeout,
    )
