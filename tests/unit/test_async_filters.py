"""Async body filters: order, back-pressure, time limits, errors, and their end at every step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from support.relays import FakeExchange, FakeSink

from pingap import AsyncBodyFilter, BodyFilter, Headers, HTTPError, RequestOutcome
from pingap.http.errors import PluginError
from pingap.proxy.filter_chain import MOST_WAITING

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Upper(AsyncBodyFilter):
    """Takes some turns of the event loop for each call, and counts what becomes of it."""

    def __init__(self, turns: Callable[[], int] = lambda: 3, gather: int = 0) -> None:
        self.turns, self.gather = turns, gather
        self.calls: list[bytes] = []
        self.running = self.ended = self.abandoned_as = 0

    async def wait(self) -> None:
        assert not self.running, "two calls at once"
        self.running += 1
        try:
            for _ in range(self.turns()):
                await asyncio.sleep(0)
        finally:
            self.running -= 1

    async def feed(self, chunk: bytes) -> bytes:
        self.calls.append(chunk)
        await self.wait()
        return chunk.upper()

    async def flush(self) -> bytes:
        await self.wait()
        return b""

    async def end(self, trailers: Headers) -> bytes:
        self.ended += 1
        await self.wait()
        trailers.add("X-Calls", str(len(self.calls)))
        return b"!"

    def abandoned(self, outcome: RequestOutcome) -> None:
        assert not self.running
        self.abandoned_as += 1


class Gate(AsyncBodyFilter):
    """Waits in each call until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.calls: list[bytes] = []

    async def feed(self, chunk: bytes) -> bytes:
        self.calls.append(chunk)
        await self.opened.wait()
        return chunk


class Hold(BodyFilter):
    """A sync one that lets everything out at the end."""

    def __init__(self) -> None:
        self.kept = b""

    def feed(self, chunk: bytes) -> bytes:
        self.kept += chunk
        return b""

    def end(self, trailers: Headers) -> bytes:
        return self.kept[::-1]


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# What comes out.


async def test_results_keep_their_order_whatever_the_calls_take() -> None:
    random = Random(1)
    upper = Upper(lambda: random.randrange(5))
    x = FakeExchange((upper, "upper"), (Upper(lambda: random.randrange(5)), "upper"))
    sink = x.open()
    for number in range(100):
        x.relay.feed(b"%d," % number)
        await turns(random.randrange(3))
    x.relay.end(None)
    await x.finished()
    assert sink.body == b"".join(b"%d," % number for number in range(100)) + b"!!"
    assert (sink.ended, x.filters, x.failure) == (True, [], None)
    assert sink.trailers is not None
    assert sink.trailers.items() == [("X-Calls", "100"), ("X-Calls", "101")]


@pytest.mark.parametrize("seed", range(30))
async def test_sync_and_async_filters_mix(seed: int) -> None:
    random = Random(seed)
    filters: list[Any] = []
    for _ in range(random.randint(1, 4)):
        steps = random.randrange(3)
        make = [BodyFilter, Hold, lambda steps=steps: Upper(lambda: steps, random.choice((0, 5)))]
        filters.append(random.choice(make)())
    body = bytes(random.choices(b"abc", k=random.randrange(40)))
    expected = body
    for one in filters:
        if isinstance(one, Hold):
            expected = expected[::-1]
        elif isinstance(one, Upper):
            expected = expected.upper() + b"!"
    x = FakeExchange(*((one, "one") for one in filters))
    sink = FakeSink()
    opened_at = random.randrange(len(body) + 1)
    for place, byte in enumerate(body):
        if place == opened_at:
            x.open(sink)
        x.relay.feed(bytes([byte]))
        if random.random() < 0.2 and place >= opened_at:
            x.relay.set_full(True)
        await turns(random.randrange(3))
        if random.random() < 0.5 and place >= opened_at:
            x.relay.set_full(False)
    x.relay.end(None)
    if opened_at == len(body):
        x.open(sink)
    x.relay.set_full(False)
    await x.finished()
    assert (sink.body, sink.ended, x.filters) == (expected, True, [])


async def test_calls_that_wait_for_nothing_leave_no_task() -> None:
    x = FakeExchange((Upper(lambda: 0), "upper"))
    sink = x.open()
    x.relay.feed(b"a")
    x.relay.end(None)
    await turns()
    assert (sink.body, sink.ended) == (b"A!", True)
    assert not x.tasks._running


# Back-pressure.


async def test_the_source_waits_while_much_waits_for_a_filter() -> None:
    gate = Gate()
    x = FakeExchange((gate, "gate"))
    sink = x.open()
    x.relay.feed(b"a" * MOST_WAITING)  # this one is in work
    x.relay.feed(b"b" * MOST_WAITING)
    assert not x.source.paused
    x.relay.feed(b"c")
    assert x.source.paused
    gate.opened.set()
    await turns()
    assert x.source.switches == ["pause", "resume"]
    assert len(sink.body) == 2 * MOST_WAITING + 1


async def test_nothing_is_filtered_for_a_sink_that_is_full() -> None:
    gate = Gate()
    x = FakeExchange((gate, "gate"))
    sink = x.open()
    for chunk in (b"a", b"b", b"c"):
        x.relay.feed(chunk)
    x.relay.end(None)
    x.relay.set_full(True)
    gate.opened.set()
    await turns()
    assert (sink.body, gate.calls) == (b"a", [b"a"])
    x.relay.set_full(False)
    await x.finished()
    assert (sink.body, sink.ended) == (b"abc", True)


async def test_a_sink_that_was_full_before_is_respected() -> None:
    x = FakeExchange((Upper(), "upper"))
    x.relay.set_full(True)
    x.relay.feed(b"a")
    sink = x.open()
    await turns()
    assert sink.body == b""
    x.relay.set_full(False)
    await turns()
    assert sink.body == b"A"


async def test_a_filter_waits_for_a_slower_one_behind_it() -> None:
    first, gate = Upper(), Gate()
    x = FakeExchange((first, "first"), (gate, "gate"))
    sink = x.open()
    chunk = b"a" * (MOST_WAITING // 2 + 1)
    for _ in range(8):
        x.relay.feed(chunk)
    await turns(40)
    assert len(first.calls) == 3  # one is in work behind, two wait there
    assert x.source.paused
    gate.opened.set()
    x.relay.end(None)
    await x.finished()
    assert len(sink.body) == 8 * len(chunk) + 1


# Gathering.


async def test_chunks_are_joined_as_far_as_they_are_there() -> None:
    upper = Upper(gather=4)
    x = FakeExchange((upper, "upper"))
    sink = x.open()
    x.relay.feed(b"a")
    assert upper.calls == []
    for byte in b"bcdefg":
        x.relay.feed(bytes([byte]))
    x.relay.feed(b"longer than that")
    await turns(50)
    assert upper.calls == [b"abcd", b"efg", b"longer than that"]
    assert sink.body == b"ABCDEFGLONGER THAN THAT"


async def test_a_few_bytes_are_taken_when_no_more_come() -> None:
    upper = Upper(gather=1000)
    x = FakeExchange((upper, "upper"))
    x.open()
    x.relay.feed(b"a")
    x.relay.feed(b"b")
    await turns()
    assert upper.calls == [b"ab"]
    x.relay.feed(b"c")
    x.relay.end(None)
    await x.finished()
    assert upper.calls == [b"ab", b"c"]


async def test_what_an_async_filter_lets_out_is_gathered_for_the_next() -> None:
    second = Upper(gather=1000)
    x = FakeExchange((Upper(), "first"), (second, "second"))
    x.open()
    for byte in b"abc":
        x.relay.feed(bytes([byte]))
    await turns(40)
    assert second.calls == [b"ABC"]


# What goes wrong.


class Failing(AsyncBodyFilter):
    """Raises in one of its methods, or returns something else."""

    def __init__(self, method: str, error: BaseException | None, late: bool) -> None:
        self.method, self.error, self.late = method, error, late
        self.was_abandoned = 0

    async def run(self, method: str) -> bytes:
        if method != self.method:
            return b""
        if self.late:
            await asyncio.sleep(0)
        if self.error is None:
            return "text"  # type: ignore[return-value]
        raise self.error

    async def feed(self, chunk: bytes) -> bytes:
        return await self.run("feed")

    async def flush(self) -> bytes:
        return await self.run("flush")

    async def end(self, trailers: Headers) -> bytes:
        return await self.run("end")

    def abandoned(self, outcome: RequestOutcome) -> None:
        self.was_abandoned += 1


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("method", ["feed", "flush", "end"])
@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), asyncio.CancelledError(), None, HTTPError(422, "no")]
)
async def test_a_filter_that_fails_ends_the_exchange(
    method: str, error: BaseException | None, late: bool
) -> None:
    failing = Failing(method, error, late)
    x = FakeExchange((failing, "broken"), (Upper(), "upper"))
    sink = x.open()
    x.relay.feed(b"a")
    await turns()
    if method == "end":
        x.relay.end(None)
    await x.finished()
    x.relay.feed(b"more")
    await x.abandon(RequestOutcome.BROKEN_OFF)
    assert (sink.body, sink.ended) == (b"", False)
    assert failing.was_abandoned == (method != "end")
    if isinstance(error, HTTPError):
        assert x.failure is error
    else:
        assert isinstance(x.failure, PluginError)
        assert x.failure.instance == "broken"
        assert "test_async_filters.py" in x.failure.place
        assert isinstance(x.failure.__cause__, type(error) if error is not None else TypeError) or (
            not isinstance(error, Exception)
        )
    assert not x.tasks._running


async def test_a_sync_filter_that_fails_behind_an_async_one_is_named() -> None:
    class Broken(BodyFilter):
        def feed(self, chunk: bytes) -> bytes:
            raise ValueError(chunk)

    x = FakeExchange((Upper(), "fine"), (Broken(), "broken"))
    x.open()
    x.relay.feed(b"a")
    await x.finished()
    assert isinstance(x.failure, PluginError)
    assert x.failure.instance == "broken"


async def test_a_length_that_was_announced_is_checked() -> None:
    x = FakeExchange((Upper(), "upper"))
    x.open(length=1)
    x.relay.feed(b"a")
    x.relay.end(None)
    await x.finished()
    assert "upper failed" in str(x.failure)


async def test_methods_of_the_wrong_kind_are_named() -> None:
    class Plain(AsyncBodyFilter):
        def feed(self, chunk: bytes) -> bytes:  # type: ignore[override]
            return chunk

    class Coroutine(BodyFilter):
        async def feed(self, chunk: bytes) -> bytes:  # type: ignore[override]
            return chunk

    x = FakeExchange((Plain(), "plain"))
    x.open()
    x.relay.feed(b"a")
    await turns()
    assert "it returned bytes" in str(x.failure.__cause__)  # type: ignore[union-attr]
    x = FakeExchange((Coroutine(), "coroutine"))
    x.open()
    with pytest.raises(PluginError) as caught:
        x.relay.feed(b"a")
    assert "pingap.AsyncBodyFilter" in str(caught.value.__cause__)


async def test_each_call_has_the_time_limit_of_the_plugin() -> None:
    gate = Gate()
    x = FakeExchange((gate, "gate"), timeout=5.0)
    x.open()
    x.relay.feed(b"a")
    await turns()
    x.deadlines.sweep(time.monotonic() + 4.5)
    await turns()
    gate.opened.set()  # the first call ends in time, and the next one has all of it again
    await turns()
    gate.opened.clear()
    x.relay.feed(b"b")
    await turns()
    assert x.failure is None
    x.deadlines.sweep(time.monotonic() + 5.5)
    await x.finished()
    assert isinstance(x.failure, PluginError)
    assert isinstance(x.failure.__cause__, TimeoutError)
    assert gate.calls == [b"a", b"b"]


# Ends before the end.


@pytest.mark.parametrize("number", range(40))
async def test_an_exchange_that_ends_at_any_step_leaves_nothing(number: int) -> None:
    filters = [Upper(), Upper(gather=3), Upper(lambda: 0)]
    x = FakeExchange(*((one, "one") for one in filters))
    sink = x.open()
    for step, chunk in enumerate((b"a", b"bb", b"ccccc", b"d")):
        if step == number:
            break
        x.relay.feed(chunk)
    else:
        x.relay.end(None)
    await turns(number)
    complete = x.relay.finished
    await x.abandon()
    await turns()
    assert sink.ended is complete
    for one in filters:
        assert (one.ended + one.abandoned_as, one.running) == (1, 0)
    assert (x.filters, dict(x.tasks._running)) == ([], {})


async def test_a_call_that_ignores_its_cancellation_is_not_waited_for() -> None:
    class Stubborn(AsyncBodyFilter):
        over = abandoned_first = False

        async def feed(self, chunk: bytes) -> bytes:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await go_on.wait()
            self.over = True
            return chunk

        def abandoned(self, outcome: RequestOutcome) -> None:
            self.abandoned_first = not self.over

    go_on = asyncio.Event()
    stubborn = Stubborn()
    x = FakeExchange((stubborn, "stubborn"))
    sink = x.open()
    x.relay.feed(b"a")
    await turns()
    over = asyncio.create_task(x.abandon())
    await turns()
    x.deadlines.sweep(time.monotonic() + 2)
    await over
    assert stubborn.abandoned_first
    go_on.set()
    await turns()
    assert (stubborn.over, sink.body) == (True, b"")
    assert not x.tasks._running


# Another sink.


@pytest.mark.parametrize("ended", [False, True])
async def test_what_a_call_returns_after_the_sink_was_lost_goes_to_the_next_one(
    ended: bool,
) -> None:
    x = FakeExchange((Upper(), "upper"))
    x.relay.keep()
    first = x.open()
    x.relay.feed(b"a")
    await turns()
    x.relay.feed(b"b")
    if ended:
        x.relay.end(None)
        await turns(5)  # into ``end`` of the filter
    x.relay.detach()
    await turns()
    assert first.body == b"A" + (b"B" if ended else b"")
    if not ended:
        x.relay.end(None)
    second = x.open()
    await x.finished()
    assert (second.body, second.ended) == (b"AB!", True)
