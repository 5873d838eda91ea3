"""Performs single health checks. This module has the TCP check; other checks have their own modules."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio.streams.tls import TLSStream

from pingap.config.health_check import HealthCheck
from pingap.protocol.proxy_protocol import proxy_header
from pingap.tls.options import reason as tls_reason
from pingap.upstream.connections.alpn import Speaks
from pingap.upstream.connections.connect_errors import is_ours

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from pingap.tls.client_context import ClientTls
    from pingap.upstream.peer import Peer


class CheckFailed(Exception):
    """A backend is not healthy; the message gives the reason, for the log."""


class CheckImpossible(Exception):
    """A backend could not be checked because this host lacks a resource; the message names it."""


class Check(Protocol):
    """A kind of health check."""

    async def __call__(self, peer: Peer) -> None:
        """Check a backend.

        :raises CheckFailed: it is not healthy.
        :raises CheckImpossible: its health is unknown.
        """

    async def keep(self, peers: tuple[Peer, ...]) -> None:
        """Close connections kept for backends other than these."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How backends are connected to: in the same way as for requests.

    :param introduction: the beginning of every connection (``proxy_protocol``).
    :param tls: that of the upstream; None if its requests use no TLS.
    :param speaks: the versions of HTTP.
    """

    introduction: bytes = b""
    tls: ClientTls | None = None
    speaks: Speaks = Speaks.HTTP1

    def tls_context(self) -> ssl.SSLContext:
        """Return a new context; if requests use no TLS, one that accepts every certificate."""
        if self.tls is not None:
            return self.tls.context_of_its_own()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def server_name(self, otherwise: str) -> str:
        """Return the name for SNI."""
        return otherwise if self.tls is None else self.tls.server_name


class TcpCheck:
    """A backend is healthy if it accepts a connection, with a TLS handshake if configured."""

    def __init__(self, settings: HealthCheck, manner: Manner) -> None:
        self._timeout = settings.connection_timeout
        self._introduction = manner.introduction
        self._tls = manner.tls_context() if settings.tls else None
        self._server_name = manner.server_name(settings.host)

    async def __call__(self, peer: Peer) -> None:
        """Make a connection, and close it."""
        try:
            with anyio.fail_after(self._timeout):
                stream = await reach(peer)
                async with stream:
                    if self._introduction:
                        await stream.send(self._introduction)
                    if self._tls is not None:
                        await TLSStream.wrap(
                            stream,
                            server_side=False,
                            hostname=self._server_name or None,
                            ssl_context=self._tls,
                            standard_compatible=False,
                        )
        except TimeoutError:
            raise CheckFailed(f"no connection within {self._timeout:g} s") from None
        except anyio.EndOfStream:
            raise CheckFailed("the connection was closed during the TLS handshake") from None
        except (OSError, anyio.BrokenResourceError) as error:
            raise failure(error) from None

    async def keep(self, peers: tuple[Peer, ...]) -> None:
        """Nothing is kept."""


async def reach(peer: Peer) -> ByteStream:
    """Return a new connection to a peer.

    :raises OSError: it cannot be reached.
    """
    if isinstance(peer.address, str):
        return await anyio.connect_unix(peer.address)
    host, port = peer.address
    return await anyio.connect_tcp(host, port)


def reason(error: BaseException) -> str:
    """Return the most specific description of an error."""
    text = ""
    below: object = error
    while isinstance(below, BaseException):
        text = (tls_reason(below) if isinstance(below, ssl.SSLError) else str(below)) or text
        if isinstance(below, OSError) and not isinstance(below, ssl.SSLError) and below.errno:
            text = os.strerror(below.errno)  # the error's own text depends on the event loop
            # httpcore sets no cause on its errors, only a context.
        below = below.__cause__ or (below.args[0] if below.args else None)
    return text or type(error).__name__


def failure(error: BaseException) -> CheckFailed | CheckImpossible:
    """Return the consequence of an error for the backend."""
    below: object = error
    while isinstance(below, BaseException):
        if is_ours(below):
            return CheckImpossible(reason(error))
        below = below.__cause__ or (below.args[0] if below.args else None)
    return CheckFailed(reason(error))


def make_check(
    settings: HealthCheck,
    proxy_protocol: str = "",
    tls: ClientTls | None = None,
    speaks: Speaks = Speaks.HTTP1,
) -> Check:
    """Return the configured check of an upstream. This may take time, because libraries are loaded.

    :param proxy_protocol: version of the header at the beginning of connections; empty: none.
    :param tls: that of the upstream, as is ``speaks``.
    """
    introduction = b""
    if proxy_protocol:  # the connection is our own, not that of a client
        introduction = proxy_header(proxy_protocol, ("", 0), ("", 0))
    manner = Manner(introduction, tls, speaks)
    if settings.scheme == "tcp":
        return TcpCheck(settings, manner)
    if settings.scheme == "grpc":
        from pingap.upstream.health.grpc_check import GrpcCheck

        return GrpcCheck(settings, manner)
    from pingap.upstream.health.http_check import HttpCheck

    return HttpCheck(settings, manner)
