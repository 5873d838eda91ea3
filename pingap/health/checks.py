"""Checking a backend once. A connection is all it takes here; other checks have modules of their own."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Protocol

import anyio

from pingap.config.health_check import HealthCheck
from pingap.protocol.proxy_protocol import proxy_header
from pingap.upstream.connect_errors import is_ours

if TYPE_CHECKING:
    from anyio.abc import ByteStream

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


class TcpCheck:
    """A backend is healthy if a connection to it can be made.

    :param introduction: what every connection begins with (``proxy_protocol``).
    """

    def __init__(self, settings: HealthCheck, introduction: bytes) -> None:
        self._timeout = settings.connection_timeout
        self._introduction = introduction

    async def __call__(self, peer: Peer) -> None:
        """Make a connection, and close it."""
        try:
            with anyio.fail_after(self._timeout):
                stream = await reach(peer)
                async with stream:
                    if self._introduction:
                        await stream.send(self._introduction)
        except TimeoutError:
            raise CheckFailed(f"no connection within {self._timeout:g} s") from None
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
        text = str(below) or text
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


def make_check(settings: HealthCheck, proxy_protocol: str) -> Check:
    """Return the check that an upstream is configured with. It may take time: libraries are loaded.

    :param proxy_protocol: version of the header that connections begin with; empty: none.
    """
    introduction = b""
    if proxy_protocol:  # the connection is our own, not that of a client
        introduction = proxy_header(proxy_protocol, ("", 0), ("", 0))
    if settings.scheme == "tcp":
        return TcpCheck(settings, introduction)
    if settings.scheme == "grpc":
        from pingap.health.grpc_check import GrpcCheck

        return GrpcCheck(settings, introduction)
    from pingap.health.http_check import HttpCheck

    return HttpCheck(settings, introduction)
