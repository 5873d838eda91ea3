"""Locks that tasks wait for, with one worker and between several."""

from __future__ import annotations

import math

import anyio
import pytest

from pingap import SharedState
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment
from pingap.shared_state.state import Sizes
from pingap.testing import Clock

pytestmark = pytest.mark.anyio
SMALL = Sizes(locks=16)


class Workers:
    """Two views of one state."""

    def __init__(self, kind: str) -> None:
        self.segment = SharedSegment(workers=2, sizes=SMALL)
        self.one: SharedState = self.segment.attach(0)
        self.other: SharedState = self.segment.attach(1)
        if kind == "local":
            self.one = self.other = LocalState(SMALL)


@pytest.fixture(params=["local", "segment"])
def workers(request: pytest.FixtureRequest) -> Workers:
    return Workers(request.param)


async def is_free(state: SharedState, key: str = "a") -> bool:
    """Try to get a lock without waiting for another holder."""
    with anyio.move_on_after(0.02):
        async with state.lock(key, 60):
            return True
    return False


async def test_one_after_the_other(workers: Workers) -> None:
    inside, most = 0, 0

    async def work(state: SharedState) -> None:
        nonlocal inside, most
        for _ in range(3):
            async with state.lock("a", 60) as lock:
                inside += 1
                most = max(most, inside)
                await anyio.lowlevel.checkpoint()
                assert lock.is_held
                inside -= 1

    async with anyio.create_task_group() as tasks:
        for state in (workers.one, workers.other) * 2:
            tasks.start_soon(work, state)
    assert most == 1


async def test_keys_do_not_hinder_each_other(workers: Workers) -> None:
    async with workers.one.lock("a", 60):
        assert not await is_free(workers.other, "a")
        assert await is_free(workers.other, "b")
    assert await is_free(workers.other, "a")


async def test_an_error_lets_go(workers: Workers) -> None:
    with pytest.raises(ZeroDivisionError):
        async with workers.one.lock("a", 60):
            raise ZeroDivisionError
    assert await is_free(workers.other)


async def test_a_holder_that_takes_too_long_loses_it(workers: Workers) -> None:
    with Clock() as clock:
        async with workers.one.lock("a", 60) as first:
            clock.advance(59)
            assert first.is_held
            assert not await is_free(workers.other)
            clock.advance(2)
            assert not first.is_held
            async with workers.other.lock("a", 60) as second:
                assert second.is_held
                assert not first.is_held
                await first.__aexit__(None, None, None)  # takes nothing from the second one
                assert second.is_held
                assert not await is_free(workers.one)
    assert await is_free(workers.one)


async def test_a_lock_is_taken_once_and_again(workers: Workers) -> None:
    lock = workers.one.lock("a", 60)
    assert not lock.is_held
    async with lock:
        with pytest.raises(RuntimeError, match="held by this object"):
            await lock.__aenter__()
    assert not lock.is_held
    async with lock:
        assert lock.is_held


async def test_a_dead_worker_holds_nothing() -> None:
    workers = Workers("segment")
    await workers.one.lock("a", 3600).__aenter__()
    kept = workers.other.lock("b", 3600)
    await kept.__aenter__()
    assert not await is_free(workers.other)
    workers.segment.release_worker(0)
    assert await is_free(workers.other)
    assert kept.is_held


async def test_held_locks_never_give_way(workers: Workers) -> None:
    held = [workers.one.lock(f"{number}", 60) for number in range(16)]
    with Clock() as clock:
        for lock in held:
            await lock.__aenter__()
        assert not await is_free(workers.other, "another")
        assert all(lock.is_held for lock in held)
        await held[3].__aexit__(None, None, None)
        assert await is_free(workers.other, "another")
        clock.advance(61)
        for number in range(40):
            assert await is_free(workers.other, f"new {number}")
    assert workers.other.stats().used["locks"] <= 16


@pytest.mark.parametrize("key", ["", "\0", "\udcff", "x" * 10_000])
async def test_every_text_is_a_key(workers: Workers, key: str) -> None:
    async with workers.one.lock("x" * 10_001, 60), workers.one.lock(key, 60):
        assert not await is_free(workers.other, key)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
async def test_seconds_are_positive(workers: Workers, seconds: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        workers.one.lock("a", seconds)
