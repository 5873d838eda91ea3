"""TLS for clients: limits handshakes, rejects plain HTTP, then starts the protocol of the connection."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pingap.http.connection import TlsDetails
from pingap.http.date_field import date_line
from pingap.http.networks import shown
from pingap.observability.handshakes import HandshakeStats
from pingap.tls.client_hello import (
    DECODE_ERROR,
    MOST_HELLO,
    ClientHello,
    HelloReader,
    alert,
    objection,
)
from pingap.tls.client_identity import details
from pingap.tls.options import reason
from pingap.tls.replacements import CHALLENGE
from pingap.wire.backlog import Backlog
from pingap.wire.deadlines import Deadlines
from pingap.wire.tls_transport import TlsTransport

log = logging.getLogger("pingap")

MakeProtocol = Callable[[str | None], asyncio.Protocol]
"""Makes the protocol that ALPN selected; None if the client offered no protocol of the server."""

LINGER_SECONDS: Final = 2.0
"""How long a client that sent plain HTTP may take to read the response."""

_TEXT: Final = b"This port speaks HTTPS: the address must begin with https://\n"
_REFUSAL: Final = (
    b"HTTP/1.1 400 Bad Request\r\n%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
)
_CHALLENGE: Final = (CHALLENGE.encode(),)
_NO_CHALLENGES: Final[Mapping[bytes, ssl.SSLContext]] = MappingProxyType({})
_MOST_HELD: Final = 2 * MOST_HELLO
"""Maximum number of record bytes held for one ClientHello."""
_FIRST_OF_METHODS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""The first byte of TLS is 22 (RFC 8446, 5.1); a request begins with a letter."""


class Handshakes:
    """The handshakes in progress on the listeners of one server.

    Clients that send nothing, or half a message, must not keep others out. If there are too many, the oldest
    one that has sent nothing is reset, or else the oldest one.

    :param limit: maximum number of handshakes.
    :param seconds: time limit of a handshake.
    :param stats: counts them.
    :param backlog: of the worker.
    """

    def __init__(
        self,
        limit: int,
        seconds: float,
        deadlines: Deadlines,
        stats: HandshakeStats,
        backlog: Backlog,
    ) -> None:
        self.limit = limit
        self.seconds = seconds
        self.stats = stats
        self.backlog = backlog
        self._deadlines = deadlines
        # In the order of their arrival.
        self._silent: OrderedDict[TlsAcceptor, None] = OrderedDict()
        self._begun: OrderedDict[TlsAcceptor, None] = OrderedDict()

    def begin(self, acceptor: TlsAcceptor) -> None:
        """Add a connection."""
        self._silent[acceptor] = None
        self._deadlines.watch(acceptor)
        if self.under_way > max(1, self.limit):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        # The last of the silent ones is the one that has just arrived.
        oldest = next(iter(self._silent if len(self._silent) > 1 else self._begun))
        self.stats.failed += oldest.is_silent  # the others are counted when they are lost
        oldest.abort()
        self.end(oldest)

    def heard(self, acceptor: TlsAcceptor) -> None:
        """Record that a client has sent data."""
        if acceptor in self._silent:
            del self._silent[acceptor]
            self._begun[acceptor] = None

    def end(self, acceptor: TlsAcceptor) -> None:
        """Remove a handshake that is complete or whose connection is closed."""
        self._silent.pop(acceptor, None)
        self._begun.pop(acceptor, None)
        self._deadlines.forget(acceptor)

    @property
    def under_way(self) -> int:
        """Number of handshakes in progress."""
        return len(self._silent) + len(self._begun)

    def cut(self) -> None:
        """Close all of them: none has a request yet."""
        for acceptor in [*self._silent, *self._begun]:
            acceptor.abort()

    def __repr__(self) -> str:
        return f"<Handshakes {self.under_way} of at most {self.limit}>"


class TlsAcceptor(TlsTransport):
    """One connection of a client.

    :param context: of the server (``ServerTls.context``).
    :param spoken: the protocols that ALPN offers.
    :param make: makes the protocol that takes over after the handshake.
    :param challenges: name -> the context that answers a challenge for it (``ServerTls.challenges``).
    """

    __slots__ = (
        "_began",
        "_challenges",
        "_details",
        "_handshakes",
        "_held",
        "_hello",
        "_is_challenge",
        "_make",
        "_spoken",
        "deadline",
        "is_silent",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        spoken: frozenset[bytes],
        handshakes: Handshakes,
        make: MakeProtocol,
        challenges: Mapping[bytes, ssl.SSLContext] = _NO_CHALLENGES,
    ) -> None:
        super().__init__(context, handshakes.backlog)
        self._spoken = spoken
        self._hello: HelloReader | None = HelloReader()
        self._challenges = challenges
        self._held: bytes | None = b""  # of the ClientHello; None: passed to OpenSSL
        self._is_challenge = False
        self._handshakes = handshakes
        self._make = make
        self._details: TlsDetails | None = None
        self.is_silent = True
        """Whether no data has been received."""
        self._began = time.monotonic()
        self.deadline = self._began + handshakes.seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._handshakes.begin(self)

    def _handshake(self, data: bytes = b"") -> None:
        if self.is_silent:
            self.is_silent = False
            self._handshakes.heard(self)
            if data[0] in _FIRST_OF_METHODS:
                self._refuse_plain()
                return
        if self._hello is not None:
            if (hello := self._hello.feed(data)) is not None:
                self._hello = None
                self._begin_challenge(hello)
                if not self._is_challenge and (description := objection(hello, self._spoken)):
                    self._refuse_hello(description)
                    return
            elif self._challenges and self._held is not None:
                # OpenSSL must not see it before the context is known.
                self._held += data
                if len(self._held) > _MOST_HELD:
                    self._refuse_hello(DECODE_ERROR)
                return
            data, self._held = (self._held or b"") + data, None
        super()._handshake(data)

    def _begin_challenge(self, hello: ClientHello) -> None:
        """Continue with the context that answers a challenge, if the client requests that."""
        if hello.protocols != _CHALLENGE or hello.server_name is None or self._held is None:
            return
        name = hello.server_name.lower().removesuffix(b".")
        if (context := self._challenges.get(name)) is not None:
            self._is_challenge = True
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _refuse_hello(self, description: int) -> None:
        """End the handshake with an alert."""
        assert self._raw is not None
        self._raw.write(alert(description))
        self._fail(ConnectionAbortedError(f"alert {description}"))

    def _refuse_plain(self) -> None:
        """Answer a plain HTTP request; further data from the client is discarded."""
        assert self._raw is not None
        log.debug("plain HTTP from %s on a TLS port", self._peer)
        self._closing = True
        self._raw.write(_REFUSAL % (date_line(), len(_TEXT), _TEXT))
        self._raw.write_eof()
        self.deadline = time.monotonic() + LINGER_SECONDS

    def established(self) -> asyncio.Protocol | None:
        self._handshakes.end(self)
        self.deadline = math.inf
        seconds = time.monotonic() - self._began
        self._details = details(self._tls, seconds)
        self._handshakes.stats.complete(seconds, resumed=bool(self._tls.session_reused))
        if self._is_challenge:
            return None  # nothing else is sent (RFC 8737, 3)
        protocol = self._tls.selected_alpn_protocol()
        if protocol == "h2" and self._details.version == "TLSv1.1":
            return None  # HTTP/2 needs TLS 1.2 (RFC 9113, 9.2)
        return self._make(protocol)

    def refused(self, error: Exception) -> None:
        text = reason(error) if isinstance(error, ssl.SSLError) else str(error)
        log.debug("TLS handshake with %s failed: %s", self._peer, text)

    @property
    def _peer(self) -> str:
        """The peer as shown in logs."""
        name = self.get_extra_info("peername")
        return f"{shown(name[0])}, port {name[1]}" if isinstance(name, tuple) else "a Unix socket"

    def connection_lost(self, exc: Exception | None) -> None:
        self._handshakes.end(self)
        if self._details is None and not self.is_silent:  # not a probe that only connects
            self._handshakes.stats.failed += 1
        super().connection_lost(exc)

    def on_deadline(self) -> None:
        """Called by the sweep when the handshake takes too long."""
        self.deadline = math.inf
        self.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "tls_details":
            return self._details
        return super().get_extra_info(name, default)
