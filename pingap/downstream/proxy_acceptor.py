"""The PROXY protocol at the beginning of a connection: a trusted proxy sends the client's address.

Once the header has been read, the connection is passed to the protocol that would have served it from its
first byte: HTTP/1.1, the detection of HTTP/1.1 or HTTP/2, or TLS. For that protocol, the peer of the
transport is the client.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, cast

from pingap.http.networks import Network, is_trusted_peer, shown
from pingap.protocol.proxy_protocol import Endpoint, ProxyHeaderDecoder, ProxyProtocolError
from pingap.wire.deadlines import Deadlines

log = logging.getLogger("pingap")

MOST_WAITING: Final = 1024
"""Maximum number of a server's connections that wait for the header; beyond it, the oldest one is reset."""


class ProxyHeaders:
    """The connections of one server that wait for the header.

    :param trusted: networks of the trusted proxies; other peers are not served.
    :param seconds: how long a header may take.
    :param make: makes the protocol that takes over.
    """

    def __init__(
        self,
        trusted: tuple[Network, ...],
        seconds: float,
        deadlines: Deadlines,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        self.trusted = trusted
        self.seconds = seconds
        self.make = make
        self._deadlines = deadlines
        self._open: OrderedDict[ProxyAcceptor, None] = OrderedDict()  # the oldest one first

    def begin(self, acceptor: ProxyAcceptor) -> None:
        """Add a connection. Silent ones do not keep others out."""
        if len(self._open) >= MOST_WAITING:
            oldest = next(iter(self._open))
            oldest.cut()
            self.end(oldest)
        self._open[acceptor] = None
        self._deadlines.watch(acceptor)

    def end(self, acceptor: ProxyAcceptor) -> None:
        """Remove a connection whose header has been read, or that is closed."""
        self._open.pop(acceptor, None)
        self._deadlines.forget(acceptor)

    @property
    def under_way(self) -> int:
        """Number of connections that have not sent their header yet."""
        return len(self._open)

    def cut(self) -> None:
        """Close all of them: none has a request yet."""
        for acceptor in list(self._open):
            acceptor.cut()

    def __repr__(self) -> str:
        return f"<ProxyHeaders {len(self._open)} of at most {MOST_WAITING}>"


class ProxyAcceptor(asyncio.Protocol):
    """One connection until its header is read."""

    __slots__ = ("_decoder", "_headers", "_peer", "_transport", "deadline")

    def __init__(self, headers: ProxyHeaders) -> None:
        self._headers = headers
        self._decoder = ProxyHeaderDecoder()
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self.deadline = time.monotonic() + headers.seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        unix = not isinstance(peer, tuple)
        self._peer = "" if unix else shown(str(peer[0]))
        if not is_trusted_peer(self._peer, self._headers.trusted, unix=unix):
            log.debug("no PROXY header is accepted from %s: it is not trusted", self._peer)
            transport.abort()
        else:
            self._headers.begin(self)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            found = self._decoder.feed(data)
        except ProxyProtocolError as error:
            log.debug("no PROXY header from %s: %s", self._peer, error)
            self.cut()
            return
        if found is None:
            return
        header, rest = found
        self._headers.end(self)
        self._transport = None
        protocol = self._headers.make()
        transport.set_protocol(protocol)
        if header.source is not None:
            transport = cast("asyncio.Transport", ForwardedTransport(transport, header.source))
        protocol.connection_made(transport)
        if rest and not transport.is_closing():
            protocol.data_received(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._headers.end(self)

    def on_deadline(self) -> None:
        """Called by the sweep when the header takes too long."""
        self.deadline = math.inf
        self.cut()

    def cut(self) -> None:
        """Close the connection immediately."""
        if self._transport is not None:
            self._transport.abort()


class ForwardedTransport:
    """A transport whose peer is the client of a proxy.

    :param transport: the connection of the proxy.
    :param client: address and port.
    """

    __slots__ = ("_client", "_transport")

    def __init__(self, transport: asyncio.Transport, client: Endpoint) -> None:
        self._transport = transport
        self._client = client

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return properties of the connection."""
        if name == "peername":
            return self._client
        return self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
