"""Checking a backend once. A connection is all it takes here; other checks have modules of their own."""

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
    """A backend is not as it should be; the message says why, for the log."""


class CheckImpossible(Exception):
    """A backend could not be checked, for want of something on this host; the message says of what."""


class Check(Protocol):
    """A way to check backends."""

    async def __call__(self, peer: Peer) -> None:
        """Check a backend.

        :raises CheckFailed: it is not healthy.
        :raises CheckImpossible: it is not known whether it is.
        """

    async def keep(self, peers: tuple[Peer, ...]) -> None:
        """Close what was kept for other backends than these."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How backends are spoken to: as by requests.

    :param introduction: what every connection begins with (``proxy_protocol``).
    :param tls: that of the upstream; None if its requests go without.
    :param speaks: which versions of HTTP.
    """

    introduction: bytes = b""
    tls: ClientTls | None = None
    speaks: Speaks = Speaks.HTTP1

    def tls_context(self) -> ssl.SSLContext:
        """Return a new context; without TLS for requests, one that believes every certificate."""
        if self.tls is not None:
            return self.tls.context_of_its_own()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def server_name(self, otherwise: str) -> str:
        """Return what is sent as SNI."""
        return otherwise if self.tls is None else self.tls.server_name


class TcpCheck:
    """A backend is healthy if a connection to it can be made, by TLS if that is asked for."""

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
            raise CheckFailed("it left during the TLS handshake") from None
        except (OSError, anyio.BrokenResourceError) as error:
            raise failure(error) from None

    async def keep(self, peers: tuple[Peer, ...]) -> None:
        """Nothing is kept."""


async def reach(peer: Peer) -> ByteStream:
    """Return a new connection to a peer.

    :raises OSError: there is none.
    """
    if isinstance(peer.address, str):
        return await anyio.connect_unix(peer.address)
    host, port = peer.address
    return await anyio.connect_tcp(host, port)


def reason(error: BaseException) -> str:
    """Return what went wrong, as far down as something is known of it."""
    text = ""
    below: object = error
    while isinstance(below, BaseException):
        text = (tls_reason(below) if isinstance(below, ssl.SSLError) else str(below)) or text
        if isinstance(below, OSError) and not isinstance(below, ssl.SSLError) and below.errno:
            text = os.strerror(below.errno)  # what it says of itself depends on the event loop
        # (httpcore gives its errors no cause, but what they were made from.)
        below = below.__cause__ or (below.args[0] if below.args else None)
    return text or type(error).__name__


def failure(error: BaseException) -> CheckFailed | CheckImpossible:
    """Return what an error means for the backend."""
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
    """Return the check that an upstream is configured with. It may take time: libraries are loaded.

    :param proxy_protocol: version of the header that connections begin with; empty: none.
    :param tls: that of the upstream, as is what it speaks.
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
