"""Directives of nginx with their surroundings, as read by crossplane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import crossplane  # type: ignore[import-untyped]

from pingap_convert.result import ConversionError, Place

IGNORED: Final = frozenset(
    {
        "aio",
        "client_body_buffer_size",
        "client_body_temp_path",
        "client_header_buffer_size",
        "daemon",
        "default_type",
        "directio",
        "env",
        "error_log",
        "events",
        "fastcgi_temp_path",
        "gzip_buffers",
        "gzip_disable",
        "gzip_http_version",
        "gzip_proxied",
        "gzip_static",
        "gzip_vary",
        "ip_hash_size",
        "keepalive",
        "keepalive_time",
        "large_client_header_buffers",
        "load_module",
        "lock_file",
        "log_not_found",
        "multi_accept",
        "open_file_cache",
        "open_file_cache_errors",
        "open_file_cache_min_uses",
        "open_file_cache_valid",
        "output_buffers",
        "pcre_jit",
        "pid",
        "postpone_output",
        "proxy_buffer_size",
        "proxy_buffering",
        "proxy_buffers",
        "proxy_busy_buffers_size",
        "proxy_http_version",
        "proxy_request_buffering",
        "proxy_ssl_session_reuse",
        "proxy_temp_path",
        "reset_timedout_connection",
        "scgi_temp_path",
        "sendfile",
        "sendfile_max_chunk",
        "server_names_hash_bucket_size",
        "server_names_hash_max_size",
        "server_tokens",
        "ssl_dhparam",
        "ssl_ecdh_curve",
        "ssl_prefer_server_ciphers",
        "ssl_session_cache",
        "ssl_session_tickets",
        "ssl_session_timeout",
        "tcp_nodelay",
        "tcp_nopush",
        "timer_resolution",
        "types",
        "types_hash_bucket_size",
        "types_hash_max_size",
        "use",
        "user",
        "uwsgi_temp_path",
        "variables_hash_bucket_size",
        "variables_hash_max_size",
        "worker_connections",
        "worker_cpu_affinity",
        "worker_priority",
        "worker_rlimit_nofile",
        "zone",
    }
)
"""Directives that tune nginx itself, or have no counterpart that clients would notice."""


@dataclass
class Directive:
    """A directive.

    :param block: the directives inside; None if it is no block.
    """

    name: str
    args: list[str]
    place: Place
    block: list[Directive] | None = None
    used: bool = field(default=False, compare=False)


@dataclass
class Scope:
    """A block and those around it: nginx looks a directive up from the inside to the outside."""

    directives: list[Directive]
    parent: Scope | None = None

    def here(self, name: str) -> list[Directive]:
        """Return the directives of this block with a name."""
        return [_used(one) for one in self.directives if one.name == name]

    def all(self, name: str) -> list[Directive]:
        """Return those of the innermost block that has any."""
        found = self.here(name)
        return found if found or self.parent is None else self.parent.all(name)

    def last(self, name: str) -> Directive | None:
        """Return the one that applies."""
        found = self.all(name)
        return found[-1] if found else None

    def value(self, name: str, default: str = "") -> str:
        """Return the first argument of the one that applies."""
        found = self.last(name)
        return found.args[0] if found and found.args else default

    def unused(self) -> Iterator[Directive]:
        """Yield the directives of this block that nobody asked for."""
        return (one for one in self.directives if not one.used and one.name not in IGNORED)


def read_nginx(path: Path) -> list[Directive]:
    """Return the directives of a file and of those that it includes.

    :raises ConversionError: it cannot be read, or is not valid.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: cannot be read: there is no such file")
    read = crossplane.parse(
        str(path), combine=True, check_ctx=False, check_args=True, comments=False
    )
    if read["errors"]:
        lines = [_message(error) for error in read["errors"]]
        raise ConversionError("\n".join(lines))
    return [_directive(one) for one in read["config"][0]["parsed"]]


def _message(error: dict[str, Any]) -> str:
    text = str(error["error"]).partition(f" in {error['file']}")[0]
    return f"{error['file']}:{error.get('line') or 1}: {text}"


def _directive(data: dict[str, Any]) -> Directive:
    block = data.get("block")
    return Directive(
        data["directive"],
        list(data["args"]),
        Place(data["file"], data["line"]),
        None if block is None else [_directive(one) for one in block],
    )


def _used(directive: Directive) -> Directive:
    directive.used = True
    return directive
