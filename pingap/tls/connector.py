"""The upstream's side of TLS: shakes hands, then serves a connection to the upstream."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from pingap.tls.client_context import ClientTls
from pingap.tls.transport import TlsTransport

if TYPE_CHECKING:
    from pingap.upstream.upstream import Peer


class TlsConnector(TlsTransport):
    """One connection to a peer.

    :param tls: of the upstream.
    :param connection: goes on once the handshake is complete.
    :param complete: is told then, or why it will not be.
    """

    __slots__ = ("_complete", "_connection", "_peer", "_shared")

    def __init__(
        self,
        tls: ClientTls,
        peer: Peer,
        connection: asyncio.Protocol,
        complete: asyncio.Future[None],
    ) -> None:
        super().__init__(tls.context, tls.server_name, tls.session_for(peer))
        self._shared = tls
        self._peer = peer
        self._connection = connection
        self._complete = complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._handshake()

    def established(self) -> asyncio.Protocol | None:
        if self._complete.done():
            return None  # it took too long, or nobody wants it any more
        self._complete.set_result(None)
        return self._connection

    def refused(self, error: Exception) -> None:
        if not self._complete.done():
            self._complete.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._complete.done():
            lost = exc or ConnectionResetError("the peer left during the TLS handshake")
            self._complete.set_exception(lost)
        elif self._app is not None and not isinstance(self._error, ssl.SSLError):
            # Late, because with TLS 1.3 it comes after the handshake.
            self._shared.remember(self._peer, self._tls.session)
        super().connection_lost(exc)

    def _end_of_peer(self) -> bool:
        """Take an end without the word of TLS for a loss: somebody may have cut an answer short.

        (RFC 9112, 9.8: an answer that only ends with the connection is incomplete then.)
        """
        self._fail(ConnectionResetError("ended without a close of TLS"))
        return False
