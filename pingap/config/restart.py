"""Decides which changes of the configuration can be reloaded, and which need a restart.

Sections that are not listed here can be reloaded completely.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pingap.config.load import Config
from pingap.config.model import Model
from pingap.config.problem import KeyPath, dotted

HOT: Final = ""
"""The key can be reloaded."""

_WORKERS: Final = "workers are only created at the start"
_PROCESS: Final = "it is only read at the start"

BASIC: Final[dict[str, str]] = {
    "name": HOT,
    "error_template": HOT,
    "threads": _WORKERS,
    "max_connections": HOT,
    "worker_timeout": HOT,
    "grace_period": HOT,
    "graceful_shutdown_timeout": HOT,
    "upstream_keepalive_pool_size": HOT,
    "trusted_proxies": HOT,
    "trusted_forwarding": HOT,
    "log_level": HOT,
    "log_format_json": "the application log is set up at the start",
    "pid_file": _PROCESS,
    "error_log": _PROCESS,
    "upgrade_sock": _PROCESS,
    "user": _PROCESS,
    "group": _PROCESS,
    "cpu_affinity": _WORKERS,
    "work_stealing": HOT,
    "listener_tasks_per_fd": HOT,
    "auto_restart_check_interval": HOT,
    "log_buffered_size": HOT,
    "webhook": HOT,
    "webhook_type": HOT,
    "webhook_notifications": HOT,
    "log_compress_algorithm": HOT,
    "log_compress_level": HOT,
    "log_compress_days_ago": HOT,
    "log_compress_time_point_hour": HOT,
    "sentry": _PROCESS,
    "pyroscope": _PROCESS,
}
"""Key of ``[basic]`` -> the reason why it needs a restart; ``HOT`` if it does not."""

SERVER: Final[dict[str, str]] = {
    "addr": HOT,
    "locations": HOT,
    "plugins": HOT,
    "access_log": HOT,
    "threads": _WORKERS,
    "max_request_line": HOT,
    "max_header_size": HOT,
    "max_headers": HOT,
    "path_matching": HOT,
    "allow_in_paths": HOT,
    "forward_path": HOT,
    "keep_shadowing_headers": HOT,
    "head_read_timeout": HOT,
    "keepalive_timeout": HOT,
    "tunnel_idle_timeout": HOT,
    "keepalive_requests": HOT,
    "pipeline_buffer_size": HOT,
    "downstream_read_timeout": HOT,
    "downstream_write_timeout": HOT,
    "tcp_idle": HOT,
    "tcp_interval": HOT,
    "tcp_probe_count": HOT,
    "tcp_user_timeout": HOT,
    "tcp_fastopen": HOT,
    "backlog": HOT,
    "reuse_port": HOT,
    "proxy_protocol": HOT,
    "global_certificates": HOT,
    "tls_min_version": HOT,
    "tls_max_version": HOT,
    "tls_cipher_list": HOT,
    "tls_ciphersuites": HOT,
    "tls_verify_client": HOT,
    "tls_client_ca": HOT,
    "tls_handshake_timeout": HOT,
    "tls_max_handshakes": HOT,
    "prometheus_metrics": HOT,
    "enable_server_timing": HOT,
    "via": HOT,
    "includes": HOT,
    "remark": HOT,
    "enabled_h2": HOT,
    "otlp_exporter": HOT,
    "modules": HOT,
}
"""Key of ``[servers.<name>]`` -> the same."""


def needs_restart(old: Config, new: Config) -> list[str]:
    """Return the changes that cannot be reloaded.

    The values of keys are compared, not their text: adding a default explicitly is not a change.

    :returns: key paths such as ``servers.main.threads``.
    """
    return [dotted(path) for path in _paths(old, new)]


def _paths(old: Config, new: Config) -> Iterator[KeyPath]:
    for key in _different(BASIC, old.basic, new.basic):
        yield "basic", key
    for name in sorted(old.servers.keys() & new.servers.keys()):
        for key in _different(SERVER, old.servers[name], new.servers[name]):
            yield "servers", name, key


def _different(table: Mapping[str, str], old: Model, new: Model) -> Iterator[str]:
    for key, reason in table.items():
        if reason and getattr(old, key) != getattr(new, key):
            yield key
