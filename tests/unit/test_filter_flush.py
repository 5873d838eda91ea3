"""When body filters are flushed: once nothing came for a turn of the event loop, in order, and not at the end."""

from __future__ import annotations

import asyncio

import pytest
from support.relays import FakeExchange

from pingap import AsyncBodyFilter, BodyFilter, Headers, WholeBodyFilter
from pingap.http.body_filters import overrides_flush
from pingap.plugins.threaded_filter import ThreadedBodyFilter

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Keep(BodyFilter):
    """Keeps what came until it is flushed, or to the end."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        self.name, self.kept = name, b""
        self.log = [] if log is None else log

    def feed(self, chunk: bytes) -> bytes:
        self.log.append(f"{self.name} feed {chunk.decode()}")
        self.kept += chunk
        return b""

    def flush(self) -> bytes:
        self.log.append(f"{self.name} flush")
        kept, self.kept = self.kept, b""
        return kept and kept + self.name.encode()

    def end(self, trailers: Headers) -> bytes:
        self.log.append(f"{self.name} end")
        return self.kept


class AsyncKeep(AsyncBodyFilter):
    """The same, but it awaits something in each call."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.inner = Keep(name, log)

    async def feed(self, chunk: bytes) -> bytes:
        await asyncio.sleep(0)
        return self.inner.feed(chunk)

    async def flush(self) -> bytes:
        await asyncio.sleep(0)
        return self.inner.flush()

    async def end(self, trailers: Headers) -> bytes:
        await asyncio.sleep(0)
        return self.inner.end(trailers)


async def turns(number: int = 6) -> None:
    """Let the event loop turn."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_what_comes_in_turns_that_follow_one_another_is_flushed_once() -> None:
    keep = Keep()
    x = FakeExchange((keep, "keep"))
    sink = x.open()
    for chunk in (b"a", b"b", b"c"):
        x.relay.feed(chunk)
        await turns(1)
    assert sink.chunks == []
    await turns()
    assert sink.chunks == [b"abc"]
    assert keep.log.count(" flush") == 1


async def test_no_filter_is_flushed_twice_without_a_chunk_in_between() -> None:
    keep = Keep()
    x = FakeExchange((keep, "keep"))
    x.open()
    x.relay.feed(b"a")
    await turns(20)
    assert keep.log == [" feed a", " flush"]
    x.relay.feed(b"b")
    await turns(20)
    assert keep.log == [" feed a", " flush", " feed b", " flush"]


async def test_a_filter_that_got_nothing_is_not_flushed() -> None:
    log: list[str] = []
    x = FakeExchange((WholeBodyFilter(100), "whole"), (Keep("k", log), "keep"))
    x.open()
    x.relay.feed(b"a")
    await turns()
    assert log == []


async def test_what_is_flushed_goes_to_the_filters_behind_which_are_then_flushed() -> None:
    log: list[str] = []
    x = FakeExchange(*((Keep(name, log), name) for name in "xyz"))
    sink = x.open()
    x.relay.feed(b"a")
    await turns()
    assert sink.chunks == [b"axyz"]
    assert log == ["x feed a", "x flush", "y feed ax", "y flush", "z feed axy", "z flush"]


async def test_an_end_that_comes_first_is_no_pause() -> None:
    keep = Keep()
    x = FakeExchange((keep, "keep"))
    sink = x.open()
    x.relay.feed(b"a")
    x.relay.end(None)
    await turns()
    assert (sink.body, keep.log) == (b"a", [" feed a", " end"])


async def test_what_was_held_for_the_sink_is_flushed_as_well() -> None:
    x = FakeExchange((Keep(), "keep"))
    x.relay.feed(b"a")
    await turns()
    sink = x.open()
    await turns()
    assert sink.body == b"a"


async def test_an_abandoned_body_is_not_flushed() -> None:
    keep = Keep()
    x = FakeExchange((keep, "keep"))
    x.open()
    x.relay.feed(b"a")
    await x.abandon()
    await turns()
    assert keep.log == [" feed a"]


async def test_a_flush_that_fails_ends_the_exchange_and_names_the_plugin() -> None:
    class Failing(BodyFilter):
        def flush(self) -> bytes:
            raise ValueError("no")

    x = FakeExchange((Failing(), "broken"))
    x.open()
    x.relay.feed(b"a")
    await x.finished()
    assert "plugin broken failed" in str(x.failure)
    assert isinstance(x.failure.__cause__, ValueError)  # type: ignore[union-attr]


async def test_a_flush_passes_async_filters_in_order() -> None:
    log: list[str] = []
    filters = (Keep("x", log), AsyncKeep("y", log), Keep("z", log))
    x = FakeExchange(*((one, "keep") for one in filters))
    sink = x.open()
    x.relay.feed(b"a")
    await turns(30)
    assert sink.chunks == [b"axyz"]
    assert log == ["x feed a", "x flush", "y feed ax", "y flush", "z feed axy", "z flush"]


async def test_an_async_filter_is_not_flushed_while_chunks_wait_for_it() -> None:
    log: list[str] = []
    go_on = asyncio.Event()

    class Slow(AsyncKeep):
        async def feed(self, chunk: bytes) -> bytes:
            await go_on.wait()
            return await super().feed(chunk)

    x = FakeExchange((Slow("s", log), "slow"))
    x.open()
    x.relay.feed(b"a")
    await turns(20)
    x.relay.feed(b"b")
    go_on.set()
    await turns(30)
    assert log == ["s feed a", "s feed b", "s flush"]


def test_only_filters_that_override_flush_are_watched() -> None:
    """With any other, a body needs no event loop to get through."""
    for make in (BodyFilter, lambda: WholeBodyFilter(1)):
        x = FakeExchange((make(), "one"))
        sink = x.open()
        x.relay.feed(b"ab")
        x.relay.end(None)
        assert sink.body == b"ab"
    assert not overrides_flush(AsyncBodyFilter())
    assert not overrides_flush(ThreadedBodyFilter(BodyFilter()))
    assert overrides_flush(ThreadedBodyFilter(Keep()))
