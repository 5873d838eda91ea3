"""TLS towards upstreams: performs the handshake, then starts the protocol of the connection."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from pingap.http.errors import UpstreamError
from pingap.tls.client_context import ClientTls
from pingap.wire.backlog import LAST_SECONDS, Backlog
from pingap.wire.tcp import MOST_REST, read_rest
from pingap.wire.tls_transport import TlsTransport

if TYPE_CHECKING:
    from pingap.upstream.peer import Peer


C = TypeVar("C", bound=asyncio.Protocol)


class TlsConnector(TlsTransport, Generic[C]):
    """One connection to a peer.

    :param tls: of the upstream.
    :param backlog: of the worker.
    :param make: makes the connection that takes over after the handshake, for the protocol that ALPN
        selected; raises if there is none for it.
    :param complete: gets that connection, or the reason why there is none.
    """

    __slots__ = ("_complete", "_make", "_peer", "_shared", "connected_at", "established_at")

    def __init__(
        self,
        tls: ClientTls,
        peer: Peer,
        backlog: Backlog,
        make: Callable[[str | None], C],
        complete: asyncio.Future[C],
    ) -> None:
        super().__init__(tls.context, backlog, tls.server_name, tls.session_for(peer))
        self._shared = tls
        self._peer = peer
        self._make = make
        self._complete = complete
        self.connected_at = 0.0
        """When the TCP connection was established (``time.monotonic``)."""
        self.established_at = 0.0
        """When the handshake was complete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connected_at = time.monotonic()
        self._shake_hands()

    def established(self) -> asyncio.Protocol | None:
        if self._complete.done():
            return None  # it took too long, or is no longer needed
        try:
            connection = self._make(self._tls.selected_alpn_protocol())
        except UpstreamError as error:
            self._complete.set_exception(error)
            return None
        self.established_at = time.monotonic()
        self._complete.set_result(connection)
        return connection

    def refused(self, error: Exception) -> None:
        if not self._complete.done():
            self._complete.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._complete.done():
            lost = exc or ConnectionResetError(
                "the peer closed the connection during the TLS handshake"
            )
            self._complete.set_exception(lost)
        elif self._app is not None and not isinstance(self._error, ssl.SSLError):
            # Late, because with TLS 1.3 it arrives after the handshake.
            self._shared.remember(self._peer, self._tls.session)
        if exc is not None and self._app is not None and self._raw is not None:
            self._receive_rest(self._raw)
        super().connection_lost(exc)

    def _receive_rest(self, transport: asyncio.Transport) -> None:
        """Receive data from before the loss of the connection: the upstream may have responded early."""
        self._closing = True
        self._raw = None
        until = time.monotonic() + LAST_SECONDS
        self._receive_records(b"")
        for data in read_rest(transport, MOST_REST):
            if time.monotonic() >= until:
                break
            self._receive_records(data)

    def _end_of_peer(self) -> bool:
        """Treat an end without close_notify as a loss: an attacker may have truncated a response.

        A response that is delimited by the end of the connection is then incomplete (RFC 9112, 9.8).
        """
        self._fail(ConnectionResetError("ended the connection without closing TLS"))
        return False
