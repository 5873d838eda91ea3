"""Writes of one turn of the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pingap.wire.write_batch import WriteBatch


class Wire:
    """Takes what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts what is to be called in its next turns."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def call_soon(self, *arguments: Any, **keywords: Any) -> asyncio.Handle:
        self.calls += 1
        return super().call_soon(*arguments, **keywords)


def test_what_a_turn_writes_leaves_together_by_one_call() -> None:
    batch, first, second = WriteBatch(), Wire(), Wire()
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)

        async def turn() -> int:
            before = loop.calls
            for number in range(5):
                batch.write(first, b"%d" % number)  # type: ignore[arg-type]
            batch.write(second, b"x")  # type: ignore[arg-type]
            called = loop.calls - before
            assert first.written == []
            await asyncio.sleep(0)
            return called

        assert runner.run(turn()) == 1
        assert (first.written, second.written) == ([b"01234"], [b"x"])


def test_much_is_written_at_once_behind_what_waits() -> None:
    batch, wire = WriteBatch(), Wire()

    async def turn() -> None:
        batch.write(wire, b"a")  # type: ignore[arg-type]
        batch.write(wire, b"b" * 20_000)  # type: ignore[arg-type]
        assert wire.written == [b"a" + b"b" * 20_000]
        batch.write(wire, b"c")  # type: ignore[arg-type]
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert wire.written[1:] == [b"c"]


def test_what_waits_is_written_or_dropped_before_a_connection_ends() -> None:
    batch, closed, cut = WriteBatch(), Wire(), Wire()

    async def turn() -> None:
        batch.write(closed, b"last words")  # type: ignore[arg-type]
        batch.write(cut, b"nobody reads")  # type: ignore[arg-type]
        batch.settle(closed)  # type: ignore[arg-type]
        assert closed.written == [b"last words"]
        batch.forget(cut)  # type: ignore[arg-type]
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert (closed.written, cut.written) == ([b"last words"], [])


def test_a_write_that_fails_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Wire):
        aborted = False

        def write(self, data: bytes) -> None:
            raise RuntimeError("the handler is closed")

        def abort(self) -> None:
            self.aborted = True

    batch, first, broken, last = WriteBatch(), Wire(), Broken(), Wire()

    async def turn() -> None:
        for wire in (first, broken, last):
            batch.write(wire, b"x")  # type: ignore[arg-type]
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert (first.written, last.written, broken.aborted) == ([b"x"], [b"x"], True)
    assert "cannot write" in caplog.text
