"""Checks a backend with an HTTP request, using httpcore."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import httpcore

from pingap.config.health_check import HealthCheck
from pingap.upstream.connections.alpn import Speaks
from pingap.upstream.health.checks import CheckFailed, Manner, failure

if TYPE_CHECKING:
    from pingap.upstream.peer import Peer

MOST_BODY: Final = 64 * 1024
"""Maximum number of body bytes that are examined."""

_CLOSE_SECONDS: Final = 1.0


class _ToPeer(httpcore.AnyIOBackend):
    """Connects to a peer, regardless of the URL."""

    def __init__(self, peer: Peer, introduction: bytes) -> None:
        self._peer = peer
        self._introduction = introduction

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect; the names in the URL are only used for ``Host`` and SNI."""
        address = self._peer.address
        if isinstance(address, str):
            stream = await self.connect_unix_socket(address, timeout)
        else:
            stream = await super().connect_tcp(*address, timeout, local_address, socket_options)
        if self._introduction:
            await stream.write(self._introduction, timeout)
        return stream


class HttpClients:
    """Makes requests to individual peers.

    :param scheme: ``http`` or ``https``.
    :param http1: whether HTTP/1.1 may be used.
    :param http2: whether HTTP/2 may be used; without TLS and HTTP/1.1, with prior knowledge.
    """

    def __init__(
        self, settings: HealthCheck, scheme: str, manner: Manner, *, http1: bool, http2: bool
    ) -> None:
        self._settings = settings
        self._introduction = manner.introduction
        self._http1, self._http2 = http1, http2
        self._tls = manner.tls_context() if scheme == "https" else None
        self._server_name = manner.server_name(settings.host)
        port = {"http": 80, "https": 443}[scheme]
        self._url = httpcore.URL(
            scheme=scheme, host=settings.host, port=port, target=settings.target
        )
        self._kept: dict[Peer, httpcore.AsyncConnectionPool] = {}

    @asynccontextmanager
    async def stream(
        self,
        peer: Peer,
        method: str,
        headers: list[tuple[bytes, bytes]],
        target: str = "",
        content: bytes | None = None,
    ) -> AsyncIterator[httpcore.Response]:
        """Make a request and yield its response; the block has to end in time, too.

        :raises CheckFailed: there is no response, or not in time.
        """
        settings, url = self._settings, self._url
        if target:
            url = httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=target)
        connect, read = settings.connection_timeout, settings.read_timeout
        limits = {"connect": connect, "read": read, "write": read, "pool": connect}
        kept = self._kept.get(peer)
        client = kept or self._client(peer)
        if settings.reuse:
            self._kept[peer] = client
        try:
            with anyio.fail_after(connect + read):
                extensions = {"timeout": limits, "sni_hostname": self._server_name}
                async with client.stream(
                    method, url, headers=headers, content=content, extensions=extensions
                ) as response:
                    yield response
        except httpcore.ConnectTimeout:
            raise CheckFailed(f"no connection within {connect:g} s") from None
        except (httpcore.TimeoutException, TimeoutError):
            raise CheckFailed(f"no answer within {read:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise failure(error) from None
        finally:
            if not settings.reuse:
                await _close(client)

    def _client(self, peer: Peer) -> httpcore.AsyncConnectionPool:
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=1,
            http1=self._http1,
            http2=self._http2,
            network_backend=_ToPeer(peer, self._introduction),
        )

    async def keep(self, peers: tuple[Peer, ...]) -> None:
        """Close the connections to peers other than these."""
        for peer in [one for one in self._kept if one not in peers]:
            await _close(self._kept.pop(peer))


class HttpCheck:
    """A backend is healthy if a GET returns a good status, and the expected text if one is configured."""

    def __init__(self, settings: HealthCheck, manner: Manner) -> None:
        self._settings = settings
        scheme, speaks = settings.scheme, manner.speaks
        http2 = speaks is Speaks.HTTP2 or (speaks is Speaks.EITHER and scheme == "https")
        http1 = not http2 or scheme == "https"  # with TLS, the backend chooses
        self._clients = HttpClients(settings, scheme, manner, http1=http1, http2=http2)
        self._headers = [(b"Host", settings.host.encode()), (b"User-Agent", b"pingap-health-check")]
        if not (settings.reuse or http2):
            self._headers.append((b"Connection", b"close"))
        self.keep = self._clients.keep

    async def __call__(self, peer: Peer) -> None:
        """Make the request, and examine the response."""
        settings = self._settings
        async with self._clients.stream(peer, "GET", self._headers) as response:
            if not settings.accepts(response.status):
                raise CheckFailed(f"status {response.status}")
            if not (settings.body or settings.reuse):
                return
            wanted, body = settings.body.encode(), await read_some(response)
            if wanted not in body:
                raise CheckFailed(f'"{settings.body}" is not in the body')


async def read_some(response: httpcore.Response) -> bytes:
    """Return the body of a response, or as much of it as is examined."""
    received = bytearray()
    async for chunk in response.aiter_stream():
        received += chunk
        if len(received) >= MOST_BODY:
            break
    return bytes(received[:MOST_BODY])


async def _close(client: httpcore.AsyncConnectionPool) -> None:
    with anyio.move_on_after(_CLOSE_SECONDS, shield=True):  # a hanging peer does not end TLS
        await client.aclose()
