"""``[basic]``: settings of the whole process."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from pingap.config.kinds import surroundings
from pingap.config.model.base import Claimable, Natural, Positive, no_effect, not_yet
from pingap.config.network_lists import NetworkEntry, read_trusted
from pingap.config.problem import did_you_mean, shortened
from pingap.config.units import ByteSize, Duration, wrong_type
from pingap.http.networks import UnixPeers

LOG_LEVELS = ("error", "warn", "info", "debug", "trace", "off")

_RUST_ENGINE = "has no effect: it tunes pingap's Rust engine"
_LOG_FILES = "compression of old log files"
_LOG_TARGET = re.compile(r"[A-Za-z_][\w:-]*(?:\[[^\]]*\])?")


def _read_trusted(value: object, info: ValidationInfo) -> NetworkEntry | UnixPeers:
    if isinstance(value, NetworkEntry | UnixPeers):
        return value
    if not isinstance(value, str):
        raise wrong_type(value, "an IP address or network")
    return read_trusted(value, surroundings(info).directory)


_Trusted = Annotated[
    NetworkEntry | UnixPeers,
    PlainValidator(_read_trusted),
    PlainSerializer(str, return_type=str, when_used="json-unless-none"),
    WithJsonSchema({"type": "string", "format": "pingap-network"}),
]


def _check_log_level(text: str) -> str:
    for directive in filter(None, (piece.strip() for piece in text.split(","))):
        target, equals, level = directive.rpartition("=")
        if equals and not _LOG_TARGET.fullmatch(target):
            raise ValueError(f'{shortened(directive)} is not a directive such as "pingap=debug"')
        if level.lower() not in LOG_LEVELS and (equals or "::" not in level):
            levels = ", ".join(LOG_LEVELS)
            hint = did_you_mean(level, LOG_LEVELS)
            raise ValueError(f"found {shortened(level)}, expected one of {levels}{hint}")
    return text


class BasicConfig(Claimable):
    """Settings of the whole process."""

    name: str = Field("", description="Label of this instance.")
    error_template: str = Field(
        "", description="HTML of the error page, with its placeholders; empty: the built-in page."
    )
    threads: Natural = Field(1, description="Worker processes; 0: one per core.")
    max_connections: Positive = Field(
        16384,
        description="Client connections per worker; further clients get 503, or GOAWAY over HTTP/2.",
    )
    worker_timeout: Duration = Field(
        30.0,
        description="A worker whose event loop does not respond for this long is replaced; 0: never.",
    )
    grace_period: Duration = Field(
        300.0, description="How long requests in progress may continue after a signal to stop."
    )
    graceful_shutdown_timeout: Duration = Field(
        5.0, description="How long plugins may take to shut down after `grace_period`."
    )
    upstream_keepalive_pool_size: Natural = Field(
        128, description="Maximum number of idle upstream connections kept for reuse, per worker."
    )
    trusted_proxies: Annotated[tuple[_Trusted, ...], Field(strict=False)] = Field(
        (),
        description="Addresses and networks of proxies whose forwarded headers are trusted; `unix:` for"
        " proxies that connect to a Unix socket, which 127.0.0.1 and ::1 include.",
    )
    trusted_forwarding: Literal["any", "x-forwarded", "forwarded"] = Field(
        "any",
        description="Which headers of trusted proxies are read: `x-forwarded` means `X-Forwarded-*` and"
        " `X-Real-IP`, `forwarded` means `Forwarded` (RFC 7239), and `any` means `Forwarded` only if the"
        " request has none of the others.",
    )
    log_level: Annotated[str, AfterValidator(_check_log_level)] = Field(
        "",
        description="Level of the application log, or comma separated directives such as"
        " `info,pingap::proxy=debug`; empty: the environment variable `RUST_LOG`, else `info`.",
    )
    log_format_json: bool = Field(False, description="Write the application log as JSON lines.")

    pid_file: str = Field(
        "",
        description="File for the process ID of the daemon; its previous content is kept in `<name>.old`."
        " Empty: `pingap.pid` in `/run`, `/var/run` or `/tmp`, the first that can be written.",
    )
    error_log: str = Field(
        "",
        description="File that standard output and standard error of the daemon are appended to;"
        " empty: they are unchanged.",
    )
    upgrade_sock: str = Field(
        "",
        description="Socket at which a new process (`--upgrade`) waits for the running one and receives"
        " its listening sockets. Only the same user can connect. Empty: `upgrade.sock` in"
        " `/run/pingap-<uid>` or `/tmp/pingap-<uid>`, a directory that only the user of the workers can"
        " enter.",
    )
    user: str = Field(
        "",
        description="User to switch to once the sockets are open, if root starts pingap.",
    )
    group: str = Field("", description="Group to switch to; empty: the group of `user`.")
    cpu_affinity: bool = Field(
        False, description="Bind each worker to a core of its own, if the system supports it."
    )
    work_stealing: bool = no_effect(
        True, "Tasks move between the threads of a server.", why=_RUST_ENGINE
    )
    listener_tasks_per_fd: Natural = no_effect(
        1, "Parallel accept loops per listening socket.", why=_RUST_ENGINE
    )
    auto_restart_check_interval: Duration = no_effect(
        90.0,
        "How often the configuration is checked for changes.",
        why="has no effect: the files are checked twice a second, and changes are applied once"
        " the files are stable",
    )
    log_buffered_size: ByteSize = no_effect(
        0,
        "Buffer of the application log.",
        why="has no effect: the log is always written in batches",
    )

    webhook: str = not_yet("", "URL that receives events.", needs="webhooks")
    webhook_type: str = not_yet("", "Kind of webhook.", needs="webhooks")
    webhook_notifications: Annotated[tuple[str, ...], Field(strict=False)] = not_yet(
        (), "Events that are sent; empty: none.", needs="webhooks"
    )
    log_compress_algorithm: str = not_yet(
        "", "Compress old log files with `gzip` or `zstd`.", needs=_LOG_FILES
    )
    log_compress_level: Natural = not_yet(0, "Compression level; 0: 9.", needs=_LOG_FILES)
    log_compress_days_ago: Natural = not_yet(
        0, "Age in days of the log files to compress; 0: 7.", needs=_LOG_FILES
    )
    log_compress_time_point_hour: Annotated[int, Field(ge=0, le=23)] = not_yet(
        0, "Local hour at which log files are compressed.", needs=_LOG_FILES
    )
    sentry: str = not_yet("", "Sentry DSN.", needs="reporting to Sentry")
    pyroscope: str = not_yet("", "Pyroscope URL.", needs="profiling with Pyroscope")
