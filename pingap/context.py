"""The state of one request, shared by all its phases, and the connection it came on."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from types import MappingProxyType
from typing import Any, TypeAlias

from pingap.headers import Field, field
from pingap.messages import Request
from pingap.observability.metrics import WorkerStats
from pingap.shared_state.local import LocalState
from pingap.shared_state.state import SharedState

Network: TypeAlias = IPv4Network | IPv6Network

_NOTHING: Mapping[str, str] = MappingProxyType({})
_PLAIN = re.compile("[ -~]*").fullmatch
_NO_TIMES: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsDetails:
    """What is known of a client's TLS.

    :param version: ``TLSv1.3``.
    :param cipher: its name in OpenSSL.
    :param handshake_seconds: from the connection to the end of the handshake.
    :param client_subject: of the client's certificate, as in RFC 4514; empty without one.
    :param client_fingerprint: SHA-256 of that certificate, in hexadecimal.
    """

    version: str
    cipher: str
    handshake_seconds: float
    client_subject: str = ""
    client_fingerprint: str = ""


class Connection:
    """A client's connection: who is at its ends. The same object for all its requests.

    :param number: counts the connections of this worker.
    :param remote_addr: address of the peer as text; empty for a Unix socket.
    :param server: name of the server whose listener accepted it.
    :param stats: figures of the worker that serves it.
    :param shared: what that worker shares with the others.
    :param scheme: ``http`` or ``https``.
    :param tls: what is known of its TLS; None for plain TCP.
    :param trusted: networks whose forwarding headers are believed (``basic.trusted_proxies``).
    """

    __slots__ = (
        "began",
        "number",
        "remote_addr",
        "remote_port",
        "requests",
        "scheme",
        "server",
        "server_addr",
        "server_port",
        "shared",
        "stats",
        "tls",
        "trusted",
    )

    def __init__(
        self,
        number: int,
        remote: tuple[str, int],
        local: tuple[str, int],
        *,
        server: str = "",
        stats: WorkerStats | None = None,
        shared: SharedState | None = None,
        scheme: str = "http",
        tls: TlsDetails | None = None,
        trusted: tuple[Network, ...] = (),
    ) -> None:
        self.number = number
        self.began = time.monotonic()
        self.remote_addr, self.remote_port = remote
        self.server_addr, self.server_port = local
        self.server = server
        self.stats = WorkerStats({}) if stats is None else stats
        self.shared = LocalState() if shared is None else shared
        self.scheme = scheme if tls is None else "https"
        self.tls = tls
        self.trusted = trusted
        self.requests = 0

    def client_ip(self, request: Request) -> str:
        """Return the address of the client, looking behind proxies that are trusted.

        ``X-Forwarded-For`` is read from its end, skipping trusted proxies, since only what they
        appended can be believed; without it ``X-Real-IP`` counts. Nothing is believed from a peer
        that is not listed.
        """
        if not self.is_trusted:
            return self.remote_addr
        hops = ",".join(request.headers.get_all("x-forwarded-for")).split(",")
        for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
            address = _as_address(hop)
            if address is None:
                break
            if not self._trusts(str(address)):
                return str(address)
        else:
            if (real := _as_address(request.headers.get("x-real-ip") or "")) is not None:
                return str(real)
        return self.remote_addr

    @property
    def is_trusted(self) -> bool:
        """Whether the peer is a proxy whose forwarding headers are believed."""
        return bool(self.trusted) and self._trusts(self.remote_addr)

    def _trusts(self, text: str) -> bool:
        return is_in(text, self.trusted)


def is_in(text: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether a text is an address of one of the networks."""
    address = _as_address(text)
    return address is not None and any(address in network for network in networks)


def _as_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class RequestContext:
    """What is known of one request, beside its head. Lives from the head to the log line.

    Times are monotonic seconds (``time.monotonic``) where they say "at", else seconds. What is
    not known yet, or never will be, has the value of the class.
    """

    location: str = ""
    """Name of the location that matched; empty if none did."""
    captures: Mapping[str, str] = _NOTHING
    """Named groups of the host and path expressions of the location."""
    _request_id: str = ""
    upstream_name: str = ""
    """See ``upstream``, which checks what plugins assign."""
    upstream_addr: str = ""
    """Address of the chosen peer."""
    upstream_status: int = 0
    """Status of the upstream's response; 0 if there was none."""
    upstream_reused: bool = False
    """The upstream connection had served a request before."""
    upstream_connect_time: float | None = None
    """Until an upstream connection was usable, in seconds; None if none was needed."""
    upstream_connected_at: float = 0.0
    """When the request could be sent."""
    upstream_connection_began: float = 0.0
    """When the connection to the peer was made; 0 if there is none."""
    upstream_connected: int = 0
    """Connections of the upstream, with ``enable_tracer``; else 0."""
    upstream_retries: int = 0
    """How often the request was sent, or was to be sent, to an upstream again."""
    upstream_head_at: float = 0.0
    """When the head of the upstream's response had arrived; 0 before."""
    choice_fields: Sequence[Field] = ()
    """Header fields that the choice of a peer adds to the answer (a cookie that binds the client)."""
    status: int = 0
    """Status sent to the client; 0 if none was sent."""
    body_bytes_sent: int = 0
    """Bytes of the response body that were sent, without framing."""
    body_bytes_received: int = 0
    """Bytes of the request body that were received."""
    ended_at: float = 0.0
    """When the last byte was handed over; 0 before."""
    plugin_times: Mapping[str, float] = _NO_TIMES
    """Plugin instance -> seconds it took so far; empty if its time is not taken (``plugin_timing``)."""
    processing: int = 0
    """Requests in progress on the location when this one began, itself included."""

    def __init__(self, connection: Connection, began_at: float) -> None:
        self.connection = connection
        self.began_at = began_at
        # (What every request is asked for is found sooner in the object than in its class.)
        self.body_bytes_received = 0
        self.plugin_times = _NO_TIMES

    @property
    def shared(self) -> SharedState:
        """Numbers that are the same for all workers: counters, gauges, windows and tables."""
        return self.connection.shared

    @property
    def request_id(self) -> str:
        """Set by the ``request_id`` plugin; shown in the access log and on error pages.

        :raises TypeError: (assigned) not text.
        :raises ValueError: (assigned) a character that cannot stand in a header field.
        """
        return self._request_id

    @request_id.setter
    def request_id(self, value: str) -> None:
        if _PLAIN(value) is None:
            field("X-Request-Id", value)
        self._request_id = value

    @property
    def upstream(self) -> str:
        """Name of the upstream; a plugin may set it before the upstream is chosen.

        :raises TypeError: (assigned) not text.
        """
        return self.upstream_name

    @upstream.setter
    def upstream(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"upstream is the name of one, not {value!r:.40}")
        self.upstream_name = value

    @property
    def state(self) -> dict[str, Any]:
        """A place for what plugins keep of this request, by name of the plugin."""
        state: dict[str, Any] | None = self.__dict__.get("_state")
        if state is None:
            state = self.__dict__["_state"] = {}
        return state

    @property
    def upstream_processing_time(self) -> float | None:
        """From the usable connection to the response head, in seconds; None without one."""
        return self.upstream_head_at - self.upstream_connected_at if self.upstream_head_at else None

    @property
    def upstream_response_time(self) -> float | None:
        """From the response head to its last byte, in seconds; None before that."""
        if not (self.upstream_head_at and self.ended_at):
            return None
        return self.ended_at - self.upstream_head_at

    def scheme(self, request: Request) -> str:
        """Return the scheme the client used: ``X-Forwarded-Proto`` counts from trusted proxies."""
        if self.connection.is_trusted:
            said = (request.headers.get("x-forwarded-proto") or "").rpartition(",")[2].strip()
            if said.lower() in ("http", "https"):
                return said.lower()
        return self.connection.scheme

    def client_ip(self, request: Request) -> str:
        """Return the client's address (see :meth:`Connection.client_ip`), found once."""
        found: str | None = self.__dict__.get("_client_ip")
        if found is None:
            found = self.__dict__["_client_ip"] = self.connection.client_ip(request)
        return found

    @property
    def service_time(self) -> float:
        """Seconds from the request's head to its end, or to now."""
        return (self.ended_at or time.monotonic()) - self.began_at
