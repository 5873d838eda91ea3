"""Bodies that the proxy itself sends: from a plugin's bytes or its async iterable."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

import anyio

from pingap.http.errors import PingapError, PluginError
from pingap.http.messages import Response, has_no_body
from pingap.proxy.body_relay import BodyRelay, Filters
from pingap.proxy.exchange import Exchange


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
        """Send the whole body.

        :raises PingapError: it cannot be completed.
        """
        body = response.body
        length = None if has_no_body(self._x.request, response) else response.content_length
        self._relay.length = length
        if isinstance(body, bytes):
            if body:
                self._relay.feed(body)
        else:
            x = self._x
            outcome = x.begin(self._pump(body, length))
            if not outcome.done:
                x.downstream.flush()
            try:
                await x.finish(outcome)
            except PingapError:
                raise
            except Exception as error:
                raise self._failure(body) from error
        self._relay.end(None)

    async def _pump(self, body: AsyncIterable[bytes], length: int | None) -> None:
        """Send what is produced, and see that it is what was announced."""
        size = 0
        async for chunk in body:
            if not isinstance(chunk, bytes):
                raise TypeError(f"the chunks of a body are bytes, not {type(chunk).__name__}")
            size += len(chunk)
            if length is not None and size > length:
                break
            if chunk:
                self._relay.feed(chunk)
            await self._flowing.wait()
        if length is not None and size != length:
            than = "more" if size > length else f"{size}, less"
            raise ValueError(f"the body has {than} bytes than its content_length of {length}")

    def _failure(self, body: Any) -> PluginError:
        """Say whose body it is, and where it is produced, if it is a generator's."""
        code = getattr(body, "ag_code", None)
        place = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""
        names = self._x.answered_by or ", ".join(owner.name for _, owner in self._x.chains.response)
        return PluginError(names, "response body", place)

    def pause_body(self) -> None:
        """Produce nothing more until ``resume_body``."""
        self._flowing = anyio.Event()

    def resume_body(self) -> None:
        """Go on producing."""
        self._flowing.set()
