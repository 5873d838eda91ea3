"""Bodies that the proxy itself sends: bytes or an async iterable of a plugin, or a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable
from typing import Any, Final

import anyio

from pingap.http.errors import ClientGone, FileBodyError, PingapError, PluginError
from pingap.http.ports import Sink
from pingap.http.response import Response, has_no_body
from pingap.plugins.file_body import PIECE, FileBody, OpenFile
from pingap.proxy.async_hooks import Outcome
from pingap.proxy.body_relay import BodyRelay
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters
from pingap.proxy.suspending import suspend

READ_SECONDS: Final = 30.0
"""How long opening a file, or reading a piece of it, may take."""
TURNS_TO_FAIL: Final = 2
"""Turns of the event loop within which an iterable that cannot produce its first chunk has failed."""


async def produce(x: Exchange, response: Response, filters: Filters, sink: Sink) -> None:
    """Send the whole body of a response that does not come from an upstream.

    :raises PingapError: it cannot be completed.
    """
    body, length = response.body, response.content_length
    if has_no_body(x.request, response):
        length = None
        if isinstance(body, FileBody):
            body.close()
            body = b""
    if isinstance(body, FileBody):
        await FileProducer(x, filters, sink, length).run(body)
    else:
        await Producer(x, filters, sink, length).run(body)


class Producer:
    """The source of a body of bytes or of an iterable.

    An iterable is asked for its next chunk only when the client can accept it.

    :param length: bytes that were announced; None if none were.
    """

    def __init__(self, x: Exchange, filters: Filters, sink: Sink, length: int | None) -> None:
        self._x = x
        self._length = length
        self._flowing = anyio.Event()
        self._flowing.set()
        self._relay = x.response_body = BodyRelay(self)
        if x.client_full:
            self._relay.set_full(True)
        self._relay.open(sink, filters, length)

    async def run(self, body: bytes | AsyncIterable[bytes]) -> None:
        """Send the whole body.

        :raises PingapError: it cannot be completed.
        """
        x = self._x
        if not isinstance(body, bytes):
            outcome = x.begin(self._pump(body))
            try:
                await self._let_fail_early(outcome)
                if not outcome.done:
                    x.downstream.flush()
                await x.finish(outcome)
            except PingapError:
                raise
            except Exception as error:
                raise self._failure(body) from error
        elif body:
            self._relay.feed(body)
        await self._end()

    async def _let_fail_early(self, outcome: Outcome) -> None:
        """Delay the head until the body has begun, so that an error page can replace it.

        Raises nothing: ``finish`` ends the await if the client disconnects in the meantime.
        """
        for _ in range(TURNS_TO_FAIL):
            if not outcome.done and self._x.failure is None:
                asyncio.get_running_loop().call_soon(self._x.wake)
                await suspend()

    async def _end(self) -> None:
        """End the body, and wait for async filters that are still busy."""
        self._relay.end(None)
        if not self._relay.finished:
            await self._x.relay_response()

    async def _pump(self, body: AsyncIterable[bytes]) -> None:
        """Send the produced chunks, and check them against the announced length."""
        size, length = 0, self._length
        try:
            async for chunk in body:
                if not isinstance(chunk, bytes):
                    raise TypeError(f"the chunks of a body are bytes, not {type(chunk).__name__}")
                size += len(chunk)
                if length is not None and size > length:
                    break
                if chunk:
                    self._relay.feed(chunk)
                await self._flowing.wait()
        finally:
            if isinstance(body, AsyncGenerator):  # releases its resources now
                await body.aclose()
        if length is not None and size != length:
            than = "more" if size > length else f"{size}, less"
            raise ValueError(f"the body has {than} bytes than its content_length of {length}")

    def _failure(self, body: Any) -> PluginError:
        """Return an error with the owner of the body, and the place of its generator."""
        code = getattr(body, "ag_code", None)
        place = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""
        names = self._x.answered_by or ", ".join(owner.name for _, owner in self._x.chains.response)
        return PluginError(names, "response body", place)

    def pause_body(self) -> None:
        """Produce no more until ``resume_body``."""
        self._flowing = anyio.Event()

    def resume_body(self) -> None:
        """Go on producing."""
        self._flowing.set()


class FileProducer(Producer):
    """The source of a body that is read from a file.

    Cached pieces are read directly, a piece in each turn of the event loop. After the first piece that is not
    cached, the rest is read in threads, each while the client receives the previous one.
    """

    async def run(self, body: FileBody) -> None:  # type: ignore[override]
        """Send the whole body.

        :raises PingapError: it cannot be completed.
        """
        if body.content_length:
            await self._send(body)
        body.close()
        await self._end()

    async def _send(self, body: FileBody) -> None:
        place, end = body.start, body.start + body.content_length
        opening = self._begin(body.open())
        opening.discard = OpenFile.close
        file = await self._finish(opening)
        ahead: Outcome | None = None
        cached = True
        try:
            while place < end:
                piece = file.read_cached(place, min(PIECE, end - place)) if cached else None
                if piece is None:
                    cached = False
                    piece = await self._finish(
                        ahead or self._begin(file.read(place, min(PIECE, end - place)))
                    )
                place += len(piece)
                if place < end and not cached:
                    ahead = self._begin(file.read(place, min(PIECE, end - place)))
                self._relay.feed(piece)
                if place < end:
                    await self._wait_for_room()
        finally:
            if ahead is not None:
                ahead.cancel(ClientGone())
            file.close()

    def _begin(self, reading: Awaitable[Any]) -> Outcome:
        return self._x.begin(reading, READ_SECONDS)

    async def _finish(self, reading: Outcome) -> Any:
        try:
            return await self._x.finish(reading)
        except TimeoutError:
            raise FileBodyError(f"reading a file took longer than {READ_SECONDS:.0f} s") from None

    async def _wait_for_room(self) -> None:
        """Let others have their turn, and wait until the client can accept more."""
        asyncio.get_running_loop().call_soon(self._x.wake)
        await self._x.woken()
        while not self._flowing.is_set():
            await self._x.woken()

    def resume_body(self) -> None:
        """Go on reading."""
        super().resume_body()
        self._x.wake()
