"""Both sides of a body, and the exchange between them, that only take notes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pingap.http.body_filters import AnyBodyFilter
from pingap.http.errors import PingapError
from pingap.http.headers import Headers
from pingap.http.outcome import RequestOutcome
from pingap.plugins.chains import Owner
from pingap.proxy.async_hooks import HookTasks
from pingap.proxy.body_relay import BodyRelay
from pingap.proxy.filter_chain import stage_of
from pingap.proxy.filter_stages import Stage
from pingap.wire.deadlines import Deadlines


class FakeSource:
    def __init__(self) -> None:
        self.paused = False
        self.switches: list[str] = []

    def pause_body(self) -> None:
        assert not self.paused, "paused twice"
        self.paused = True
        self.switches.append("pause")

    def resume_body(self) -> None:
        assert self.paused, "resumed without pause"
        self.paused = False
        self.switches.append("resume")


class FakeSink:
    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.trailers: Headers | None = None
        self.ended = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def send_chunk(self, chunk: bytes) -> None:
        assert chunk, "an empty chunk would end a chunked body"
        assert not self.ended
        self.chunks.append(chunk)

    def send_end(self, trailers: Headers | None) -> None:
        assert not self.ended
        self.ended, self.trailers = True, trailers


class FakeExchange:
    """Holds the filters of one body.

    :param filters: with the names of their plugins.
    :param timeout: seconds that a call of an async filter may take.
    """

    def __init__(self, *filters: tuple[AnyBodyFilter, str], timeout: float | None = None) -> None:
        self.deadlines = Deadlines()
        self.tasks = HookTasks(self.deadlines)
        self.filters: list[Stage] = [
            stage_of(self, one, Owner(name, timeout=timeout)) for one, name in filters
        ]
        self.stages: Sequence[Stage] = tuple(self.filters)
        self.failure: PingapError | None = None
        self.woken = asyncio.Event()
        self.source, self.sink = FakeSource(), FakeSink()
        self.relay = BodyRelay(self.source)

    def fail(self, failure: PingapError) -> None:
        assert self.failure is None
        self.failure = failure
        self.wake()

    def wake(self) -> None:
        self.woken.set()

    def open(self, sink: FakeSink | None = None, length: int | None = None) -> FakeSink:
        """Open the relay, with a new sink unless one is given."""
        self.sink = sink or FakeSink()
        self.relay.open(self.sink, self.stages, length)
        return self.sink

    async def finished(self) -> None:
        """Return when the body was sent, or filtering it failed."""
        async with asyncio.timeout(10):
            while not (self.relay.finished or self.failure):
                await self._wait()

    async def abandon(self, outcome: RequestOutcome = RequestOutcome.CLIENT_GONE) -> None:
        """End before the body has, as an exchange does it."""
        self.relay.stop()
        filters, self.filters = self.filters, []
        calls = [stage.stop() for stage in filters]
        async with asyncio.timeout(10):
            for stage, call in zip(filters, calls, strict=True):
                while call is not None and not call.done:
                    await self._wait()
                stage.abandon(outcome)

    async def _wait(self) -> None:
        self.woken.clear()
        await self.woken.wait()
