"""The connection of a client, shared by all its requests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from pingap.http.forwarding import NOTHING, Family, Told, read
from pingap.http.networks import Network, contains, is_trusted_peer, shown
from pingap.http.request import Request
from pingap.shared_state.local import LocalState
from pingap.shared_state.state import SharedState

if TYPE_CHECKING:
    from pingap.http.ports import Pins, Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsDetails:
    """The TLS properties of a client connection.

    :param version: ``TLSv1.3``.
    :param cipher: its name in OpenSSL.
    :param handshake_seconds: from the connection to the end of the handshake.
    :param client_subject: of the client certificate, as in RFC 4514; empty without one.
    :param client_fingerprint: SHA-256 of that certificate, in hexadecimal.
    :param client_common_name: the first common name of its subject, in the same form; empty without one.
    :param client_names: its alternative names: ``DNS:a.example``, ``email:a@b.example``, ``URI:spiffe://a``,
        ``IP:192.0.2.1``.
    :param client_valid_until: when it expires, in seconds of Unix time; 0 without one.
    """

    version: str
    cipher: str
    handshake_seconds: float
    client_subject: str = ""
    client_fingerprint: str = ""
    client_common_name: str = ""
    client_names: tuple[str, ...] = ()
    client_valid_until: float = 0.0


class Connection:
    """The connection of a client, shared by all its requests.

    :param number: sequence number of the connection in this worker.
    :param remote_addr: address of the peer as text, an IPv4-mapped address as IPv4; empty for a Unix
        socket.
    :param server: name of the server whose listener accepted it.
    :param stats: statistics of the worker that serves it.
    :param shared: state that all workers share.
    :param scheme: ``http`` or ``https``.
    :param tls: properties of its TLS session; None for plain TCP.
    :param trusted: networks whose forwarded headers are trusted (``basic.trusted_proxies``).
    :param family: which forwarded headers are read (``basic.trusted_forwarding``).
    :param unix: the client connected to a Unix socket.
    """

    __slots__ = (
        "began",
        "family",
        "is_trusted",
        "number",
        "pins",
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
        stats: Statistics | None = None,
        shared: SharedState | None = None,
        scheme: str = "http",
        tls: TlsDetails | None = None,
        trusted: tuple[Network, ...] = (),
        family: Family = "any",
        unix: bool = False,
    ) -> None:
        self.number = number
        self.began = time.monotonic()
        self.remote_addr, self.remote_port = shown(remote[0]), remote[1]
        self.server_addr, self.server_port = shown(local[0]), local[1]
        self.server = server
        self.stats = cast("Statistics", stats)  # None only where no request is served
        self.shared = LocalState() if shared is None else shared
        self.scheme = scheme if tls is None else "https"
        self.tls = tls
        self.trusted = trusted
        self.family = family
        self.is_trusted = is_trusted_peer(remote[0], trusted, unix=unix)
        """Whether the peer is a proxy whose forwarded headers are trusted."""
        self.requests = 0
        self.pins: Pins | None = None  # upstream connections that serve only this client's

    def told(self, request: Request) -> Told:
        """Return the forwarded values of a request; empty unless the peer is trusted."""
        if not self.is_trusted:
            return NOTHING
        return read(request.headers, partial(contains, self.trusted), self.family)

    def client_ip(self, request: Request) -> str:
        """Return the address of the client, also behind trusted proxies.

        ``X-Forwarded-For`` is read from its end: trusted proxies are skipped, because only the members
        that they appended can be trusted. If it names no client, ``X-Real-IP`` is used; without either
        header, ``Forwarded``. These headers are ignored unless the peer is a trusted proxy.
        """
        return self.told(request).client or self.remote_addr
