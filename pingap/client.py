"""The client for side calls: what a plugin asks of another service while it handles a request.

Built on httpcore, loaded on first use. Requests that are proxied do not come this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from pingap.http.errors import PingapError
from pingap.http.headers import Headers

if TYPE_CHECKING:
    import httpcore

_MOST_CONNECTIONS: Final = 100
_IDLE_SECONDS: Final = 30.0


class SideCallError(PingapError):
    """A side call brought no answer; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class SideCallResponse:
    """The answer to a side call.

    :param body: all of it.
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
        # One for each event loop: connections of one cannot be used in another, and tests run
        # several workers in one process.
        self._pools: dict[asyncio.AbstractEventLoop, httpcore.AsyncConnectionPool] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109  # of the whole call; see fail_after below
        max_body: int = 1024 * 1024,
    ) -> SideCallResponse:
        """Make a request and return its answer.

        :param timeout: seconds for the whole call.
        :param max_body: bytes the answer's body may have.
        :raises SideCallError: no connection, no answer in time, or one that is too large.
        :raises ValueError: ``url`` is not an absolute http or https URL.
        """
        import httpcore

        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not an http or https URL")
        try:
            with anyio.fail_after(timeout):
                return await self._request(method, url, headers or {}, body, max_body)
        except TimeoutError:
            raise SideCallError(f"{method} {url}: no answer within {timeout:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise SideCallError(f"{method} {url}: {error or type(error).__name__}") from error

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, max_body: int
    ) -> SideCallResponse:
        received = bytearray()
        pool = self._open_pool()
        async with pool.stream(
            method, url, headers=list(headers.items()), content=body or None
        ) as response:
            async for chunk in response.aiter_stream():
                received += chunk
                if len(received) > max_body:
                    raise SideCallError(f"{method} {url}: the answer is over {max_body} bytes")
            fields = [(name.lower(), b"%b: %b" % (name, value)) for name, value in response.headers]
            return SideCallResponse(response.status, Headers(fields), bytes(received))

    def _open_pool(self) -> httpcore.AsyncConnectionPool:
        import ssl

        import httpcore

        loop = asyncio.get_running_loop()
        if (pool := self._pools.get(loop)) is None:
            pool = self._pools[loop] = httpcore.AsyncConnectionPool(
                ssl_context=ssl.create_default_context(),
                max_connections=_MOST_CONNECTIONS,
                keepalive_expiry=_IDLE_SECONDS,
            )
        return pool

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.aclose()


http_client = HTTPClient()
"""The client that all plugins of a worker share."""
