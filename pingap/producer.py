"""Bodies that the proxy itself sends: from a plugin's bytes or its async iterable."""

from __future__ import annotations

from collections.abc import AsyncIterable

import anyio

from pingap.errors import HTTPError, PluginError
from pingap.exchange import Exchange
from pingap.messages import Response, has_no_body
from pingap.relay import BodyRelay, Filters


class Producer:
    """The source of a body that comes from no upstream.

    An iterable is asked for its next chunk only when the client can take it.
    """

    def __init__(self, x: Exchange, filters: Filters) -> None:
        self._x = x
        self._flowing = anyio.Event()
        self._flowing.set()
        self._relay = x.response_body = BodyRelay(self)
        self._relay.open(x.downstream, filters, x.filters)
        if x.client_full:
            self._relay.set_full(True)

    async def run(self, response: Response) -> None:
        """Send the whole body of a response.

        :raises PingapError: it cannot be completed.
        """
        body = response.body
        if not has_no_body(self._x.request, response):
            self._relay.length = response.content_length
        if isinstance(body, bytes):
            if body:
                self._relay.feed(body)
        else:
            self._x.downstream.flush()
            await self._x.in_task(self._pump(body))
        self._check_length(response)
        self._relay.end(None)

    def _check_length(self, response: Response) -> None:
        """Refuse a body of another length than was announced (filters may not change that, either).

        :raises PluginError: so it is.
        """
        length, size = response.content_length, self._relay.received
        if length is None or size == length or has_no_body(self._x.request, response):
            return
        raise PluginError(self._x.answered_by, "response body") from ValueError(
            f"the body has {size} bytes, and Content-Length says {length}"
        )

    async def _pump(self, body: AsyncIterable[bytes]) -> None:
        try:
            async for chunk in body:
                if chunk:
                    self._relay.feed(chunk)
                await self._flowing.wait()
        except HTTPError:
            raise
        except Exception as error:
            raise PluginError(self._x.answered_by, "response body") from error

    def pause_body(self) -> None:
        """Produce nothing more until ``resume_body``."""
        self._flowing = anyio.Event()

    def resume_body(self) -> None:
        """Go on producing."""
        self._flowing.set()
