"""What a request awaits of plugins: limits are kept, and stand still for slow clients."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

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

    outcome = x.start(wait(nested=2))
    await x.finish(outcome)
    await x.finish(*inner)
    assert sorted(one.value for one in (outcome, *inner)) == [0, 1, 2]
    assert len(tasks) == 3
    assert not x.tasks._running


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_what_is_cancelled_ends_with_the_reason(turns: int) -> None:
    x = Tasks()

    async def wait() -> None:
        await asyncio.sleep(60)

    outcome = x.start(wait())
    for _ in range(turns):
        await asyncio.sleep(0)
    outcome.cancel(ValueError("the client left"))
    await x.finish(outcome)
    assert isinstance(outcome.error, ValueError)
    assert not x.tasks._running


async def test_a_value_that_comes_too_late_is_discarded() -> None:
    x = Tasks()
    discarded: list[object] = []

    async def stubborn() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await came.wait()
        return "late"

    came = asyncio.Event()
    outcome = x.start(stubborn())
    outcome.discard = discarded.append
    await asyncio.sleep(0)
    outcome.cancel(ValueError("the client left"))
    await asyncio.sleep(0)
    x.pass_time(10)
    await x.finish(outcome)
    assert isinstance(outcome.error, ValueError)
    came.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert discarded == ["late"]
    assert not x.tasks._running


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, ZeroDivisionError])
async def test_whatever_is_raised_is_an_error_of_the_outcome(kind: type[BaseException]) -> None:
    x = Tasks()

    async def fail() -> None:
        raise kind

    outcome = x.start(fail())
    await x.finish(outcome)
    assert kind.__name__ in repr(outcome.error)


async def test_awaiting_what_was_cancelled_is_an_error() -> None:
    x = Tasks()
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    async def wait() -> None:
        await cancelled

    outcome = x.start(wait())
    await x.finish(outcome)
    assert str(outcome.error) == "what it awaited was cancelled"


async def test_the_limit_stands_still_while_the_client_is_waited_for() -> None:
    x = Tasks()
    came, stays = asyncio.Event(), asyncio.Event()

    async def read() -> str:
        with x.tasks.without_limit():
            await came.wait()
        await stays.wait()
        return "read"

    outcome = x.start(read(), 5.0)
    await asyncio.sleep(0)
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
