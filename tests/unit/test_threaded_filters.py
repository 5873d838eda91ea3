"""Body filters in threads: in order, never more at once than allowed, and abandoned when no call runs."""

from __future__ import annotations

import asyncio
import threading
from random import Random

import anyio
import pytest
from support.relays import FakeExchange

from pingap import BodyFilter, Headers, RequestOutcome, ThreadedBodyFilter
from pingap.http.errors import PluginError
from pingap.plugins.threaded_filter import FILTER_THREADS, GATHERED, _threads
from pingap.plugins.worker_threads import in_thread

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Busy(BodyFilter):
    """Notes where its methods run, and may have to wait in ``feed``."""

    hold_head = 7

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.began, self.left = threading.Event(), threading.Event()
        self.chunks: list[bytes] = []
        self.threads: set[int] = set()
        self.runs = self.ended = 0
        self.outcomes: list[RequestOutcome] = []

    def feed(self, chunk: bytes) -> bytes:
        self.runs += 1
        self.threads.add(threading.get_ident())
        self.chunks.append(chunk)
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        self.runs -= 1
        return chunk.upper()

    def end(self, trailers: Headers) -> bytes:
        self.ended += 1
        trailers.add("X-T", "t")
        return b"!"

    def abandoned(self, outcome: RequestOutcome) -> None:
        assert not self.runs
        self.outcomes.append(outcome)
        self.left.set()


async def happens(event: threading.Event) -> None:
    assert await anyio.to_thread.run_sync(event.wait, 10)


async def free(limiter: anyio.CapacityLimiter) -> None:
    """Return when no thread has a place."""
    async with asyncio.timeout(10):
        while limiter.borrowed_tokens:  # noqa: ASYNC110  (threads tell nobody)
            await asyncio.sleep(0.001)


async def test_results_are_those_of_the_filter() -> None:
    busy = Busy()
    threaded = ThreadedBodyFilter(busy)
    assert threaded.hold_head == 7
    x = FakeExchange((threaded, "busy"))
    sink = x.open()
    for number in range(50):
        x.relay.feed(b"x%d," % number)
        await asyncio.sleep(0)
    x.relay.end(None)
    await x.finished()
    assert sink.body == b"".join(b"X%d," % number for number in range(50)) + b"!"
    assert sink.trailers == Headers({"X-T": "t"})
    assert threading.get_ident() not in busy.threads
    assert (busy.ended, busy.outcomes) == (1, [])


async def test_small_chunks_share_a_call() -> None:
    gate = threading.Event()
    busy = Busy(gate)
    x = FakeExchange((ThreadedBodyFilter(busy), "busy"))
    x.open()
    x.relay.feed(b"a" * GATHERED)
    await happens(busy.began)
    for _ in range(100):
        x.relay.feed(b"b" * 1000)
    gate.set()
    x.relay.end(None)
    await x.finished()
    assert [len(one) for one in busy.chunks] == [GATHERED, 65_000, 35_000]


async def test_a_filter_that_fails_in_its_thread_is_named_with_its_line() -> None:
    class Failing(BodyFilter):
        def feed(self, chunk: bytes) -> bytes:
            raise ValueError("no")

    x = FakeExchange((ThreadedBodyFilter(Failing()), "broken"))
    x.open()
    x.relay.feed(b"a")
    await x.finished()
    assert isinstance(x.failure, PluginError)
    assert isinstance(x.failure.__cause__, ValueError)
    assert "test_threaded_filters.py" in x.failure.place


async def test_the_threads_of_all_filters_together_are_bounded() -> None:
    gate = threading.Event()
    filters = [Busy(gate) for _ in range(FILTER_THREADS + 3)]
    exchanges = [FakeExchange((ThreadedBodyFilter(one), "busy")) for one in filters]
    for x in exchanges:
        x.open()
        x.relay.feed(b"a" * GATHERED)
    for one in filters[:FILTER_THREADS]:
        await happens(one.began)
    assert _threads.get().borrowed_tokens == FILTER_THREADS
    assert not any(one.began.is_set() for one in filters[FILTER_THREADS:])
    gate.set()
    for x in exchanges:
        x.relay.end(None)
        await x.finished()
    await free(_threads.get())


async def test_a_filter_may_have_a_limiter_of_its_own() -> None:
    gate = threading.Event()
    limiter = anyio.CapacityLimiter(1)
    filters = [Busy(gate) for _ in range(2)]
    exchanges = [FakeExchange((ThreadedBodyFilter(one, limiter), "busy")) for one in filters]
    for x in exchanges:
        x.open()
        x.relay.feed(b"a" * GATHERED)
    await happens(filters[0].began)
    assert (limiter.borrowed_tokens, _threads.get().borrowed_tokens) == (1, 0)
    assert not filters[1].began.is_set()
    gate.set()
    for x in exchanges:
        x.relay.end(None)
        await x.finished()


async def test_a_filter_is_abandoned_when_its_call_has_ended() -> None:
    gate = threading.Event()
    busy = Busy(gate)
    x = FakeExchange((ThreadedBodyFilter(busy), "busy"))
    sink = x.open()
    x.relay.feed(b"a" * GATHERED)
    await happens(busy.began)
    await x.abandon()
    assert busy.outcomes == []
    assert _threads.get().borrowed_tokens == 1  # it takes up a thread as long as it runs
    gate.set()
    await happens(busy.left)
    await free(_threads.get())
    assert (busy.outcomes, busy.ended, sink.body) == ([RequestOutcome.CLIENT_GONE], 0, b"")


async def test_a_filter_that_waits_for_a_thread_is_abandoned_at_once() -> None:
    limiter = anyio.CapacityLimiter(1)
    await limiter.acquire_on_behalf_of("somebody")
    busy = Busy()
    x = FakeExchange((ThreadedBodyFilter(busy, limiter), "busy"))
    x.open()
    x.relay.feed(b"a" * GATHERED)
    await asyncio.sleep(0)
    await x.abandon()
    assert (busy.outcomes, busy.chunks) == ([RequestOutcome.CLIENT_GONE], [])
    limiter.release_on_behalf_of("somebody")
    assert limiter.borrowed_tokens == 0


async def test_a_filter_whose_end_never_ran_is_abandoned() -> None:
    limiter = anyio.CapacityLimiter(1)
    await limiter.acquire_on_behalf_of("somebody")
    busy = Busy()
    x = FakeExchange((ThreadedBodyFilter(busy, limiter), "busy"))
    x.open()
    x.relay.end(None)
    await asyncio.sleep(0)
    await x.abandon()
    assert (busy.ended, busy.outcomes) == (0, [RequestOutcome.CLIENT_GONE])


@pytest.mark.parametrize("seed", range(20))
async def test_exactly_one_of_end_and_abandoned_is_called(seed: int) -> None:
    random = Random(seed)
    for _ in range(20):
        busy = Busy()
        x = FakeExchange((ThreadedBodyFilter(busy), "busy"))
        x.open()
        x.relay.feed(b"a" * GATHERED)
        if random.random() < 0.7:
            x.relay.end(None)
        for _ in range(random.randrange(40)):
            await asyncio.sleep(random.choice((0, 0, 0, 0.0001)))
        await x.abandon()
        await free(_threads.get())
        assert busy.ended + len(busy.outcomes) == 1


async def test_a_late_abandoned_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Busy):
        def abandoned(self, outcome: RequestOutcome) -> None:
            super().abandoned(outcome)
            raise ValueError("no")

    gate = threading.Event()
    busy = Bad(gate)
    x = FakeExchange((ThreadedBodyFilter(busy), "busy"))
    x.open()
    x.relay.feed(b"a" * GATHERED)
    await happens(busy.began)
    await x.abandon()
    gate.set()
    await happens(busy.left)
    await free(_threads.get())
    assert "Bad failed in abandoned" in caplog.text


async def test_cancelling_a_call_at_any_moment_leaks_no_place() -> None:
    limiter = anyio.CapacityLimiter(2)
    calls: list[int] = []
    random = Random(1)
    for number in range(300):
        task = asyncio.create_task(in_thread(limiter, lambda number=number: calls.append(number)))
        for _ in range(random.randrange(8)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await free(limiter)
    assert len(set(calls)) == len(calls)
    assert 0 < len(calls) < 300


class Sometimes(ThreadedBodyFilter):
    """Uses a thread for more than three bytes."""

    def needs_thread(self, method: str, size: int) -> bool:
        return size > 3


async def test_quick_calls_are_made_in_the_event_loop() -> None:
    busy = Busy()
    x = FakeExchange((Sometimes(busy), "busy"))
    sink = x.open()
    x.relay.feed(b"a" * GATHERED)
    x.relay.feed(b"abc")
    x.relay.end(None)
    await x.finished()
    assert sink.body == b"A" * GATHERED + b"ABC!"
    assert len(busy.threads) == 2
    assert threading.get_ident() in busy.threads
    assert (busy.ended, busy.outcomes) == (1, [])


async def test_a_quick_end_waits_for_nothing() -> None:
    busy = Busy()
    x = FakeExchange((Sometimes(busy), "busy"))
    sink = x.open()
    x.relay.feed(b"abc")
    x.relay.end(None)
    assert (sink.body, sink.ended) == (b"ABC!", True)


async def test_a_quick_call_that_fails_is_named() -> None:
    class Broken(BodyFilter):
        def feed(self, chunk: bytes) -> bytes:
            raise LookupError("no such byte")

    x = FakeExchange((Sometimes(Broken()), "broken"))
    x.open()
    x.relay.feed(b"abc")
    x.relay.end(None)
    assert isinstance(x.failure, PluginError)
    assert isinstance(x.failure.__cause__, LookupError)
