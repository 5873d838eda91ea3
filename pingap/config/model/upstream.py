"""``[upstreams.<name>]``: pools of backends."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pingap.config.addresses import Backend, TcpAddress, parse_backend, parse_name_servers
from pingap.config.allowed_hosts import AllowedHost, parse_allowed_host
from pingap.config.health_check import HealthCheck, parse_health_check
from pingap.config.kinds import Secret
from pingap.config.model.base import AtLeastOne, Claimable, Natural, Positive, Strings
from pingap.config.problem import shortened
from pingap.config.units import ByteSize, Duration

ASKED_HOST = "$host"
"""The value of ``sni`` for the host that the client requested."""
ALPN_WORDS = ("H1", "H2", "H2H1")

_DOMAIN = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


def _check_discovery(word: str | None) -> str | None:
    return word or None  # the registry knows the valid words


def _check_name_servers(text: str) -> str:
    parse_name_servers(text)
    return text


def _check_domains(text: str) -> str:
    for name in _listed(text):
        if not _DOMAIN.fullmatch(name):
            raise ValueError(f"found {shortened(name)}, expected a domain such as example.com")
    return text


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (piece.strip() for piece in text.split(","))))


def _check_allowed_host(text: str) -> str:
    parse_allowed_host(text)
    return text


def _check_health_check(text: str) -> str:
    parse_health_check(text)
    return text


def parse_failure_statuses(text: str) -> frozenset[int]:
    """Return the statuses of a comma-separated list; all 5xx for an empty one.

    :raises ValueError: an entry is not a status.
    """
    found = frozenset(_status(piece.strip()) for piece in text.split(",") if piece.strip())
    return found or frozenset(range(500, 600))


def _status(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 100 <= int(text) <= 599):
        raise ValueError(f"found {shortened(text)}, expected a status, 100 to 599")
    return int(text)


def _check_failure_statuses(text: str) -> str:
    parse_failure_statuses(text)
    return text


def _check_above_zero(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("expected a duration above 0")
    return seconds


_AboveZero = Annotated[Duration, AfterValidator(_check_above_zero)]


def _check_sni(text: str) -> str:
    if text.startswith("$") and text != ASKED_HOST:
        raise ValueError(f'found {shortened(text)}, expected a name or "{ASKED_HOST}"')
    return text


def _check_alpn(text: str) -> str:
    word = text.upper() or "H1"
    if word not in ALPN_WORDS:
        raise ValueError(f"found {shortened(text)}, expected one of {', '.join(ALPN_WORDS)}")
    return word


class UpstreamConfig(Claimable):
    """A pool of backends, and how connections to them are made."""

    addrs: Strings = Field(
        description="Backends: `host[:port][ weight][ backup]` or `unix:/path[ weight][ backup]`; the"
        " default port is 80, or 443 with `sni`; the default weight is 1. Not used by a transparent"
        " upstream."
    )
    discovery: Annotated[
        str | None,
        AfterValidator(_check_discovery),
    ] = Field(
        None,
        description="How backends are found: `static` (`addrs`), `dns` (pingap-dns), `docker`"
        " (pingap-docker) or `transparent` (the host that the client requested). Default: `dns` if"
        " `addrs` contains a host name and pingap-dns is installed, otherwise `static`.",
    )
    update_frequency: Duration = Field(
        60.0,
        description="How often backends are looked up again; below 1 s: never after they were found.",
    )
    dns_server: Annotated[str, AfterValidator(_check_name_servers)] = Field(
        "",
        description="Name servers, as `IP[:port]`, separated by commas; default: those of the"
        " system.",
    )
    dns_domain: Annotated[str, AfterValidator(_check_domains)] = Field(
        "", description="Domain of names without a dot; default: that of the system."
    )
    dns_search: Annotated[str, AfterValidator(_check_domains)] = Field(
        "", description="Further domains to try, separated by commas."
    )
    transparent_allow: Annotated[
        tuple[Annotated[str, AfterValidator(_check_allowed_host)], ...], Field(strict=False)
    ] = Field(
        (),
        description='For `discovery = "transparent"`: the hosts that clients may reach, as'
        " `name[:port]`, `*.name[:port]` or `network[:port]`.",
    )
    ipv4_only: bool = Field(False, description="Ignore IPv6 addresses of host names.")
    algo: Annotated[str, AfterValidator(lambda text: text or "round_robin")] = Field(
        "round_robin",
        description="How a backend is chosen: `round_robin`, `least_conn`, `p2c`, `random`,"
        " `hash:url`, `hash:ip`, `hash:path`, `hash:header:<name>`, `hash:cookie:<name>`,"
        " `hash:query:<name>`, `sticky:<cookie>`, or a name that a plugin provides.",
    )
    sticky_secret: Secret = Field(
        Secret(""),
        description='For `algo = "sticky:<cookie>"`: the secret that signs the cookie, at least 16'
        " characters; the same in all proxies that serve the same clients.",
    )
    panic_threshold: Annotated[int, Field(ge=0, le=100)] = Field(
        0,
        description="If less than this percentage of the backends is available, all are used; 0:"
        " never.",
    )
    slow_start: Duration = Field(
        0.0,
        description="How long the share of a new or returning backend grows until it matches its"
        " weight.",
    )

    connection_timeout: Duration | None = Field(
        None, description="How long a TCP connection may take; default: no limit."
    )
    total_connection_timeout: Duration | None = Field(
        None, description="How long TCP and TLS may take together; default: no limit."
    )
    read_timeout: Duration | None = Field(
        None, description="How long the next bytes of a response may take; default: no limit."
    )
    write_timeout: Duration | None = Field(
        None, description="How long sending the next bytes may take; default: no limit."
    )
    idle_timeout: Duration = Field(
        60.0, description="How long an idle connection is kept for reuse."
    )
    sni: Annotated[str, AfterValidator(_check_sni)] = Field(
        "",
        description="Use TLS, with this name as SNI; the certificate of a backend must contain it. For a"
        " transparent upstream, `$host` is the requested host.",
    )
    verify_cert: bool = Field(
        True,
        description="Verify the certificates of backends; otherwise, any server could impersonate one.",
    )
    upstream_ca: str = Field(
        "",
        description="Certificates of the authorities to trust: PEM, a file, or base64 of PEM;"
        " empty: those of the system.",
    )
    client_cert: str = Field(
        "", description="Client certificate for backends that request one: PEM, a file, or base64."
    )
    client_key: Secret = Field(Secret(""), description="Its private key: PEM, a file, or base64.")
    alpn: Annotated[str, AfterValidator(_check_alpn)] = Field(
        "H1",
        description="Protocol to the backends: `H1`; `H2` (without `sni`, HTTP/2 with prior"
        " knowledge); or `H2H1`, HTTP/2 if a backend offers it by ALPN.",
    )
    max_h2_streams: Positive = Field(
        1,
        description="Maximum number of concurrent requests on one HTTP/2 connection; backends may allow"
        " fewer.",
    )
    tcp_idle: Duration | None = Field(
        None,
        description="TCP keepalive: idle time before the first probe. Takes effect together with"
        " `tcp_interval` and `tcp_probe_count`.",
    )
    tcp_interval: Duration | None = Field(
        None, description="TCP keepalive: time between two probes."
    )
    tcp_probe_count: Annotated[int, Field(ge=0, le=16)] | None = Field(
        None, description="TCP keepalive: probes without an answer before the connection is closed."
    )
    tcp_user_timeout: Duration | None = Field(
        None, description="How long sent bytes may stay unacknowledged (Linux)."
    )
    tcp_recv_buf: ByteSize | None = Field(
        None, description="Receive buffer of the sockets (`SO_RCVBUF`)."
    )
    tcp_fast_open: bool = Field(
        False,
        description="Send the first bytes with the first packet (TCP Fast Open, Linux), if a repetition"
        " is harmless.",
    )
    proxy_protocol: Literal["", "v1", "v2"] = Field(
        "",
        description="Begin each connection with a PROXY header with the client's address: `v1` or `v2`."
        " Connections are then not reused.",
    )
    health_check: Annotated[str, AfterValidator(_check_health_check)] = Field(
        "",
        description="URL of the health check, such as `http://app/health?check_frequency=5s`, or"
        " `none`; empty: a TCP connection is opened every 10 s.",
    )
    passive_failures: Natural = Field(
        0,
        description="Consecutive failed requests (no connection, no response, or 502, 503 or 504) after"
        " which a backend is ejected for a while; 0: off.",
    )
    passive_ejection_time: Annotated[Duration, Field(gt=0)] = Field(
        30.0,
        description="How long a backend is ejected; doubled, up to ten times as long, if it fails again"
        " soon afterwards.",
    )
    passive_max_ejected_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        50,
        description="Maximum percentage of the backends that are ejected at the same time.",
    )
    retry_budget: Annotated[int, Field(ge=0, le=100)] = Field(
        20,
        description="Maximum number of requests that are sent again, in percent of the requests of the"
        " last 10 seconds, plus 10; see `retry_on` of locations.",
    )
    enable_tracer: bool = Field(
        False,
        description="Count open connections, for `{:upstream_connected}` in the access log and a"
        " metric.",
    )
    enable_backend_stats: bool = Field(
        False, description="Count requests, failures and latency of each backend."
    )
    backend_stats_interval: _AboveZero = Field(
        60.0,
        description="Period of the failure rate, also for the circuit breaker.",
    )
    backend_failure_status_code: Annotated[str, AfterValidator(_check_failure_statuses)] = Field(
        "",
        description="Statuses that count as failures, separated by commas; empty: all 5xx. A missing"
        " response is always a failure.",
    )
    circuit_break_max_consecutive_failures: Natural = Field(
        0, description="Consecutive failures of a backend that open its circuit breaker; 0: off."
    )
    circuit_break_max_failure_percent: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="Percentage of failures that opens the circuit breaker; 0: off."
    )
    circuit_break_min_requests_threshold: AtLeastOne = Field(
        10, description="Minimum number of requests in `backend_stats_interval` for the percentage."
    )
    circuit_break_half_open_consecutive_success_threshold: AtLeastOne = Field(
        5,
        description="Maximum number of concurrent requests that pass a half-open circuit breaker, and"
        " consecutive successes that close it.",
    )
    circuit_break_open_duration: _AboveZero = Field(
        10.0, description="How long a circuit breaker stays open before it is half-open."
    )
    includes: Strings = Field((), description="Storages whose keys overwrite those written here.")
    remark: str = Field("", description="A comment.")

    @property
    def failure_statuses(self) -> frozenset[int]:
        """The statuses of ``backend_failure_status_code``."""
        return parse_failure_statuses(self.backend_failure_status_code)

    @property
    def breaks_circuits(self) -> bool:
        """Whether backends have circuit breakers."""
        return bool(
            self.circuit_break_max_consecutive_failures or self.circuit_break_max_failure_percent
        )

    @cached_property
    def backends(self) -> tuple[Backend, ...]:
        """The backends of ``addrs``, in their order.

        :raises ValueError: for a malformed address; a configuration that was loaded has none,
            unless ``discovery`` gives addresses another meaning.
        """
        port = 443 if self.sni else 80
        return tuple(parse_backend(text, port) for text in self.addrs)

    @cached_property
    def name_servers(self) -> tuple[TcpAddress, ...]:
        """The entries of ``dns_server``."""
        return parse_name_servers(self.dns_server)

    @property
    def search_domains(self) -> tuple[str, ...]:
        """The entries of ``dns_search``."""
        return _listed(self.dns_search)

    @cached_property
    def health(self) -> HealthCheck | None:
        """The health check of the backends; None if there is none."""
        return parse_health_check(self.health_check)

    @cached_property
    def allowed_hosts(self) -> tuple[AllowedHost, ...]:
        """The entries of ``transparent_allow``."""
        return tuple(parse_allowed_host(text) for text in self.transparent_allow)
