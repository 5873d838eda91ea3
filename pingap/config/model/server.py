"""``[servers.<name>]``: listeners and the limits of their clients."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from pingap.config.addresses import Address, parse_listen
from pingap.config.model.base import Claimable, Natural, Positive, Strings, not_yet
from pingap.config.problem import did_you_mean, shortened
from pingap.config.units import ByteSize, Duration
from pingap.http.paths import ALLOWABLE

_RECEIVED_BY = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(:[0-9]{1,5})?")  # RFC 9110, 7.6.3
TLS_VERSIONS = ("tlsv1.1", "tlsv1.2", "tlsv1.3")
_TLS_VERSION = re.compile(r"(?:tls[ _-]?)?v?1[._]([0-9])")
"""The spellings of nginx, HAProxy, Caddy, OpenSSL and others."""
TLS_VERIFY = ("off", "optional", "require")
PATH_MATCHING = ("normalised", "raw")
FORWARD_PATH = ("as_sent", "normalised")


def _check_addresses(text: str) -> str:
    parse_listen(text)
    return text


def _check_tls_version(text: str) -> str:
    word = text.lower()
    if not word:
        return word
    if (match := _TLS_VERSION.fullmatch(word)) and f"tlsv1.{match[1]}" in TLS_VERSIONS:
        return f"tlsv1.{match[1]}"
    hint = did_you_mean(word, TLS_VERSIONS)
    expected = ", ".join(TLS_VERSIONS)
    raise ValueError(f"found {shortened(text)}, expected one of {expected}{hint}")


def _check_tls_verify(text: str) -> str:
    if text and text not in TLS_VERIFY:
        hint = did_you_mean(text, TLS_VERIFY)
        raise ValueError(f"found {shortened(text)}, expected one of {', '.join(TLS_VERIFY)}{hint}")
    return text or "off"


def _check_metrics_path(text: str) -> str:
    if "://" in text:
        raise ValueError("not supported yet (pushing metrics)")
    if text and not text.startswith("/"):
        raise ValueError(f'found {shortened(text)}, expected a path such as "/metrics"')
    return text


def _check_via(text: str) -> str:
    if text and not _RECEIVED_BY.fullmatch(text):
        raise ValueError(f'found {shortened(text)}, expected a name such as "edge-1"')
    return text


def _one_of(words: tuple[str, ...]) -> AfterValidator:
    def check(text: str) -> str:
        if text not in words:
            hint = did_you_mean(text, words)
            raise ValueError(f"found {shortened(text)}, expected {' or '.join(words)}{hint}")
        return text

    return AfterValidator(check)


TlsVersion = Annotated[str, AfterValidator(_check_tls_version)]


TlsVerify = Annotated[str, AfterValidator(_check_tls_verify)]


class ServerConfig(Claimable):
    """A listener: its addresses, its locations, and the limits of its clients."""

    ELSEWHERE: ClassVar[dict[str, str]] = dict.fromkeys(
        ("tls_cert", "tls_key", "cert", "key", "ssl_certificate", "ssl_certificate_key"),
        "certificates are written as [certificates.NAME] with tls_cert and tls_key, and served by"
        " servers with global_certificates = true",
    )
    """Keys of other proxies -> where the setting belongs here."""

    addr: Annotated[str, AfterValidator(_check_addresses)] = Field(
        description="Addresses to listen on, separated by commas: `host:port`, `[v6]:port` or"
        " `unix:/path`."
    )
    locations: Strings = Field((), description="Names of the locations to choose from.")
    plugins: Strings = Field(
        (),
        description="Names of plugins that take part in all requests of the server, in this order:"
        " `server_request`, `error_page` and `logging` even if no location matches, other phases in each"
        " location of the server, before its own plugins.",
    )
    access_log: str = Field(
        "", description="Format of the access log, or a file and a format; empty: no access log."
    )
    threads: Natural | None = Field(
        None, description="Worker processes for this server; default: `basic.threads`."
    )

    max_request_line: ByteSize = Field(
        8 * 1024, description="Maximum length of a request line; longer ones get 414."
    )
    max_header_size: ByteSize = Field(
        64 * 1024, description="Maximum size of a request head; larger ones get 431."
    )
    max_headers: Positive = Field(
        256, description="Maximum number of header fields of a request; more get 431."
    )
    path_matching: Annotated[str, _one_of(PATH_MATCHING)] = Field(
        "normalised",
        description="The path that locations and plugins compare: `normalised`, or `raw`, which lets"
        " clients bypass guards with another spelling.",
    )
    allow_in_paths: tuple[Annotated[str, _one_of(ALLOWABLE)], ...] = Field(
        (),
        strict=False,
        description="Path elements that are otherwise rejected with 400: `encoded_slash`, `backslash`,"
        " `nul`. A path with one of them is still rejected if its readings lead to different locations.",
    )
    forward_path: Annotated[str, _one_of(FORWARD_PATH)] = Field(
        "as_sent",
        description="The path that the upstream gets: `as_sent` by the client, or `normalised`.",
    )
    keep_shadowing_headers: bool = Field(
        False,
        description="Keep request headers that many applications confuse with others, because they treat `_`"
        " and `-` alike: `X_Forwarded_For`, or `X_User` beside `X-User`. Other names with `_` are always"
        " kept.",
    )
    head_read_timeout: Duration = Field(
        60.0, description="How long a request head may take to arrive before 408 is sent."
    )
    keepalive_timeout: Duration = Field(
        75.0, description="How long a connection may wait for its next request."
    )
    tunnel_idle_timeout: Duration = Field(
        3600.0, description="How long an upgraded connection (WebSocket) may be idle."
    )
    keepalive_requests: Positive = Field(
        100_000, description="Maximum number of requests on one connection before it is closed."
    )
    pipeline_buffer_size: ByteSize = Field(
        64 * 1024,
        description="Maximum number of bytes of pipelined requests that are held while one is answered.",
    )
    downstream_read_timeout: Duration = Field(
        60.0, description="How long the next bytes of a request body may take to arrive."
    )
    downstream_write_timeout: Duration = Field(
        60.0, description="How long a client may take to accept the next bytes of a response."
    )

    tcp_idle: Duration | None = Field(
        None,
        description="TCP keepalive: idle time before the first probe. Takes effect together with"
        " `tcp_interval` and `tcp_probe_count`.",
    )
    tcp_interval: Duration | None = Field(
        None, description="TCP keepalive: time between two probes."
    )
    tcp_probe_count: Natural | None = Field(
        None, description="TCP keepalive: probes without an answer before the connection is closed."
    )
    tcp_user_timeout: Duration | None = Field(
        None, description="How long sent bytes may stay unacknowledged (Linux)."
    )
    tcp_fastopen: Natural | None = Field(
        None, description="Length of the TCP Fast Open queue; absent: off."
    )
    reuse_port: bool = Field(
        False,
        description="Listen with `SO_REUSEPORT`: each worker has its own socket, and the system"
        " distributes connections evenly.",
    )
    backlog: Positive = Field(
        4096,
        description="Connections that may wait to be accepted; the system may allow fewer"
        " (`net.core.somaxconn`).",
    )
    proxy_protocol: bool = Field(
        False,
        description="Require a PROXY protocol header (v1 or v2) at the start of each connection, and accept"
        " only connections from `basic.trusted_proxies`.",
    )

    global_certificates: bool = Field(
        False, description="Enable TLS, with the certificate selected by the client's SNI."
    )
    tls_min_version: TlsVersion = Field(
        "tlsv1.2", description="Oldest TLS version: `tlsv1.1`, `tlsv1.2` or `tlsv1.3`."
    )
    tls_max_version: TlsVersion = Field(
        "", description="Newest TLS version; empty: the newest supported one."
    )
    tls_cipher_list: str = Field(
        "",
        description="Ciphers up to TLS 1.2, in OpenSSL's syntax; empty: Mozilla's intermediate list.",
    )
    tls_ciphersuites: str = Field(
        "", description="Suites of TLS 1.3; empty: OpenSSL's. Needs Python 3.15."
    )
    tls_verify_client: TlsVerify = Field(
        "off",
        description="Request client certificates: `optional` accepts clients without one,"
        " `require` does not.",
    )
    tls_client_ca: str = Field(
        "",
        description="Certificates of the authorities that sign client certificates: PEM, a file, or"
        " base64 of PEM.",
    )
    tls_handshake_timeout: Duration = Field(10.0, description="How long a TLS handshake may take.")
    tls_max_handshakes: Positive = Field(
        1024,
        description="Maximum number of TLS handshakes in progress; beyond it, the oldest connection that has"
        " sent nothing is reset, or else the oldest one.",
    )

    prometheus_metrics: Annotated[str, AfterValidator(_check_metrics_path)] = Field(
        "", description="Exact path of the metrics page; empty: no page."
    )
    enable_server_timing: bool = Field(False, description="Add `Server-Timing` to responses.")
    via: Annotated[str, AfterValidator(_check_via)] = Field(
        "",
        description="Name of this server in the `Via` header of requests to upstreams; a request that"
        " already contains it gets 508 (a loop). Empty: no `Via` is added.",
    )
    includes: Strings = Field((), description="Storages whose keys overwrite those written here.")
    remark: str = Field("", description="A comment.")

    enabled_h2: bool = Field(
        False,
        description="Offer HTTP/2 besides HTTP/1.1: by ALPN or, without TLS, to clients that send its"
        " preface.",
    )
    otlp_exporter: str = not_yet("", "OTLP gRPC URL for traces.", needs="OpenTelemetry")
    modules: Strings = Field(
        (),
        description="Modules that pingap 0.13.9 requires for keys of locations: `grpc-web`. Here, the key"
        " of the location is enough; its distribution must be installed.",
    )

    @cached_property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of ``addr``, in their order."""
        return parse_listen(self.addr)
