"""Requests to other services, whole or streamed."""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from pingap.client.call import Call
from pingap.client.pools import Kind, Pools
from pingap.client.stream import MOST_BODY, SideCallStream
from pingap.client.target import Target
from pingap.client.tls import ClientTLS
from pingap.host.threads import in_thread
from pingap.http.headers import Headers

if TYPE_CHECKING:
    import httpcore

TIMEOUT: Final = 10.0
"""Seconds for a call, or for a step of a streamed one, unless the caller says otherwise."""
_ANTICIPATE_BODIES: Final = frozenset(("POST", "PUT", "PATCH"))


@dataclass(frozen=True, slots=True)
class SideCallResponse:
    """The response to a side call.

    :param body: the whole body.
    """

    status: int
    headers: Headers
    body: bytes


class HTTPClient:
    """Makes HTTP/1.1 requests to http and https URLs; connections are kept and shared.

    Redirects are not followed, and proxies of the environment are not used. Certificates are
    verified. Use the shared instance, ``pingap.http_client``.
    """

    def __init__(self) -> None:
        self._pools = Pools()
        self._default_context: ssl.SSLContext | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109  # of the whole call; see fail_after below
        max_body: int = MOST_BODY,
        uds: str | os.PathLike[str] | None = None,
        tls: ClientTLS | None = None,
    ) -> SideCallResponse:
        """Make a request and return the response.

        :param timeout: seconds for the whole call.
        :param max_body: maximum size of the response body in bytes.
        :param uds: path of a Unix socket to connect to; the host of ``url`` is then only sent.
        :param tls: options for an https URL.
        :raises SideCallError: no connection, no response in time, or a response that is too large.
        :raises ValueError: ``url`` is not an absolute http or https URL.
        """
        call = Call(f"{method} {Target.of(url).shown}", timeout)
        try:
            with anyio.fail_after(timeout):
                async with self.stream(
                    method, url, headers=headers, body=body, timeout=math.inf, uds=uds, tls=tls
                ) as answer:
                    received = await answer.read(max_body)
                    return SideCallResponse(answer.status, answer.headers, received)
        except TimeoutError:
            raise call.error(f"no answer within {timeout:g} s") from None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] = b"",
        timeout: float = TIMEOUT,  # noqa: ASYNC109  # of each step
        total_timeout: float = math.inf,
        uds: str | os.PathLike[str] | None = None,
        tls: ClientTLS | None = None,
    ) -> AsyncIterator[SideCallStream]:
        """Make a request and read the response as it arrives.

        An async context manager, entered when the head of the response has arrived. Leaving the block
        closes the connection, unless the whole body was read::

            async with http_client.stream("GET", url) as answer:
                async for chunk in answer.chunks():
                    ...

        :param body: of the request. Pieces are sent in chunks, unless ``headers`` has a
            ``Content-Length``; the response is read after all of them have been sent.
        :param timeout: seconds for each step: waiting for a free connection, connecting, the handshake,
            sending a piece, waiting for the head, and waiting for each piece of the response.
        :param total_timeout: seconds from the beginning of the call to the last piece of the response.
        :param uds: path of a Unix socket to connect to; the host of ``url`` is then only sent.
        :param tls: options for an https URL.
        :raises SideCallError: no connection, or no head in time.
        :raises ValueError: ``url`` is not an absolute http or https URL.
        """
        target = Target.of(url)
        call = Call(f"{method} {target.shown}", timeout, total_timeout)
        request = _request(method, target, headers or {}, body)
        encrypted = target.scheme == "https"
        context = await self._context(tls) if encrypted else None
        if tls is not None and tls.server_name is not None:
            request.extensions["sni_hostname"] = tls.server_name
        kind = Kind(None if uds is None else os.fspath(uds), encrypted, tls if encrypted else None)
        async with self._pools.here().use(kind, context) as pool:
            answer = SideCallStream(call, await call.send(pool, request))
            try:
                yield answer
            finally:
                await answer._close()

    async def _context(self, tls: ClientTLS | None) -> ssl.SSLContext:
        if tls is not None:
            return tls._context
        if self._default_context is None:  # loading all certificate authorities takes long
            self._default_context = await in_thread(ssl.create_default_context)
        return self._default_context

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self._pools.close()


def _request(
    method: str, target: Target, headers: Mapping[str, str], body: bytes | AsyncIterable[bytes]
) -> httpcore.Request:
    import httpcore

    return httpcore.Request(
        method,
        target.to_httpcore(),
        headers=list(_fields(method, target, headers, body)),
        content=body,
    )


def _fields(
    method: str, target: Target, headers: Mapping[str, str], body: bytes | AsyncIterable[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    names = {name.lower() for name in headers}
    if "host" not in names:
        yield b"Host", target.authority.encode()
    for name, value in headers.items():
        yield name.encode("latin-1", "replace"), _encoded(value)
    if names & {"content-length", "transfer-encoding"}:
        return
    if not isinstance(body, bytes):
        yield b"Transfer-Encoding", b"chunked"
    elif body or method in _ANTICIPATE_BODIES:  # 0 is sent as well (RFC 9110, 8.6)
        yield b"Content-Length", b"%d" % len(body)


def _encoded(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")


http_client = HTTPClient()
"""The client that all plugins of a worker share."""
