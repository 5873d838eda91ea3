"""What a request awaits of plugins: tasks are lent, limits are kept, and stand still for slow clients."""

from __future__ import annotations

import asyncio
import time

import pytest

from pingap.proxy.async_hooks import HookTasks, Outcome
from pingap.wire.deadlines import Deadlines

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Tasks:
    """Hook tasks, and what wakes whoever waits for them."""

    def __init__(self) -> None:
        self.deadlines = Deadlines()
        self.tasks = HookTasks(self.deadlines)
        self.woken = asyncio.Event()

    def start(self, awaitable: object, limit: float | None = None) -> Outcome:
        return self.tasks.start(awaitable, self.woken.set, limit)  # type: ignore[arg-type]

    async def finish(self, *outcomes: Outcome) -> None:
        async with asyncio.timeout(10):
            while not all(one.done for one in outcomes):
                self.woken.clear()
                await self.woken.wait()

    def pass_time(self, seconds: float) -> None:
        self.deadlines.sweep(time.monotonic() + seconds)


async def test_what_begins_another_beginning_waits_in_a_task_of_its_own() -> None:
    x = Tasks()
    inner: list[Outcome] = []
    tasks = set()

    async def wait(*, nested: int) -> int:
        if nested:
            inner.append(x.start(wait(nested=nested - 1)))
        tasks.add(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.add(asyncio.current_task())
        return nested

    for _ in range(3):
        outcome = x.start(wait(nested=2))
        await x.finish(outcome, *inner)
        assert sorted(one.value for one in (outcome, *inner)) == [0, 1, 2]
        assert len(tasks) == 3
        inner.clear()
        tasks.clear()
    assert not x.tasks._running


async def test_spare_tasks_are_used_again_and_end_with_the_others() -> None:
    x = Tasks()

    async def at_once(nested: int) -> asyncio.Task[object] | None:
        if nested:
            x.start(at_once(nested - 1))
        return asyncio.current_task()

    before = len(asyncio.all_tasks())
    first = {x.start(at_once(0)).value for _ in range(10)}
    assert len(first) == 1
    x.start(at_once(3))
    assert len(asyncio.all_tasks()) == before + 4
    await x.tasks.end()
    assert len(asyncio.all_tasks()) == before


async def test_the_limit_stands_still_while_the_client_is_waited_for() -> None:
    x = Tasks()
    came, stays = asyncio.Event(), asyncio.Event()

    async def read() -> str:
        with x.tasks.without_limit():
            await came.wait()
        await stays.wait()
        return "read"

    outcome = x.start(read(), 5.0)
    for _ in range(4):
        x.pass_time(100)
        await asyncio.sleep(0)
        assert not outcome.done
    came.set()
    for _ in range(3):
        await asyncio.sleep(0)
    x.pass_time(4.5)  # all of its time begins again
    await asyncio.sleep(0)
    assert not outcome.done
    x.pass_time(5.5)
    await x.finish(outcome)
    assert isinstance(outcome.error, TimeoutError)
    assert not x.tasks._excused


async def test_what_is_excused_can_be_cancelled() -> None:
    x = Tasks()

    async def read() -> None:
        with x.tasks.without_limit():
            await asyncio.sleep(60)

    outcome = x.start(read(), 5.0)
    outcome.cancel(ValueError("the client left"))
    await x.finish(outcome)
    assert isinstance(outcome.error, ValueError)
    assert not x.tasks._excused
    assert not x.deadlines._watched


async def test_tasks_that_are_no_hooks_need_no_excuse() -> None:
    x = Tasks()
    with x.tasks.without_limit():
        await asyncio.sleep(0)
    outcome = x.start(asyncio.sleep(60), 5.0)
    await asyncio.sleep(0)
    x.pass_time(5.5)
    await x.finish(outcome)
    assert isinstance(outcome.error, TimeoutError)
