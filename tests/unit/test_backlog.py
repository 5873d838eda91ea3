"""Work that is left over to later turns of the event loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from pingap.wire import backlog as module
from pingap.wire.backlog import Backlog, Leftover
from pingap.wire.write_batch import WriteBatch


class Busy:
    """Takes all the time of a turn, so many times."""

    def __init__(self, backlog: Backlog, name: str, turns: int, done: list[str]) -> None:
        self._backlog, self._name, self._left, self._done = backlog, name, turns, done

    def on_turn(self) -> None:
        while self._backlog.has_time():
            time.sleep(0.001)
        self._done.append(self._name)
        self._left -= 1
        if self._left:
            self._backlog.add(self)


def test_those_that_wait_take_turns_one_after_the_other() -> None:
    async def run() -> list[str]:
        backlog, done = Backlog(WriteBatch()), list[str]()
        for name in "abc":
            backlog.add(Busy(backlog, name, 3, done))
        while len(done) < 9:
            before = len(done)
            await asyncio.sleep(0)
            assert len(done) - before <= 1  # a whole turn of the loop is one's own
        await asyncio.sleep(0)
        assert "0 connections" in repr(backlog)
        return done

    assert asyncio.run(run()) == list("abc" * 3)


def test_the_time_of_a_turn_is_shared_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)

    async def run() -> None:
        nonlocal now
        backlog = Backlog(WriteBatch())
        assert backlog.has_time()
        now += module.SECONDS / 2
        assert backlog.has_time()
        now += module.SECONDS
        assert not backlog.has_time()
        for _ in range(3):
            await asyncio.sleep(0)
        assert backlog.has_time()

    asyncio.run(run())


def test_a_connection_that_fails_keeps_nobody_waiting() -> None:
    class Broken:
        def on_turn(self) -> None:
            raise ValueError("a defect")

    async def run() -> list[str]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        backlog, done = Backlog(WriteBatch()), list[str]()
        backlog.add(Broken())
        backlog.add(Busy(backlog, "a", 1, done))
        for _ in range(5):
            await asyncio.sleep(0)
        return done

    assert asyncio.run(run()) == ["a"]


def test_bytes_that_are_left_over() -> None:
    left = Leftover()
    left.put(b"abc")
    assert left.take(2) == b"ab"
    left.put(b"def")
    assert (len(left), left.take(100), len(left)) == (4, b"cdef", 0)
    left.put(b"gh")
    assert left.take(1) + left.take(1) == b"gh"
    assert not left
