"""What the group of a plugin's background tasks promises, beside that it isolates them (``tests/contract``)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from pingap.plugins import background_tasks as module
from pingap.plugins.background_tasks import FIRST_PAUSE, LONGEST_PAUSE, BackgroundTasks


def run(body: Callable[[BackgroundTasks], Awaitable[None]]) -> list[str]:
    """Run something with a group; return what was reported."""
    reported: list[str] = []

    async def main() -> None:
        tasks = BackgroundTasks("p", lambda error, name: reported.append(f"{name}: {error}"))
        await asyncio.wait_for(body(tasks), 10)
        assert await tasks.end() == 0
        assert not tasks._running

    asyncio.run(main())
    return reported


async def stay() -> None:
    await asyncio.sleep(60)


def test_a_service_is_restarted_after_longer_and_longer_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, pauses, runs = 0.0, list[float](), 0
    enough = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def fail() -> None:
        nonlocal now, runs
        runs += 1
        if runs == 9:
            now += LONGEST_PAUSE + 1  # it worked for a while
        if runs == 11:
            enough.set()
            return
        raise OSError(str(runs))

    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    monkeypatch.setattr(module.asyncio, "sleep", pause)

    async def body(tasks: BackgroundTasks) -> None:
        tasks.start_service(fail, name="s")
        await enough.wait()

    assert run(body) == [f"s: {number}" for number in range(1, 11)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, FIRST_PAUSE, 2]


def test_start_returns_what_the_task_says_or_raises_what_it_raised() -> None:
    async def broken(task_status: Any) -> None:
        raise KeyError("early")

    async def silent(task_status: Any) -> None:
        pass

    async def twice(task_status: Any) -> None:
        task_status.started()
        task_status.started()

    async def body(tasks: BackgroundTasks) -> None:
        with pytest.raises(KeyError, match="early"):
            await tasks.start(broken)
        with pytest.raises(RuntimeError, match=r"silent ended without task_status.started"):
            await tasks.start(silent)
        assert await tasks.start(twice) is None
        await asyncio.sleep(0)

    [text] = run(body)
    assert "called 'started' twice" in text


def test_who_no_longer_waits_for_a_start_ends_its_task() -> None:
    async def never(task_status: Any) -> None:
        await stay()

    async def body(tasks: BackgroundTasks) -> None:
        with anyio.move_on_after(0.01):
            await tasks.start(never)
        [task] = tasks._running
        await asyncio.wait([task], timeout=5)
        assert task.done()

    assert run(body) == []


def test_the_scope_cancels_all_tasks_and_only_those() -> None:
    async def body(tasks: BackgroundTasks) -> None:
        first = tasks.create_task(stay())
        tasks.start_soon(stay)
        await asyncio.sleep(0)
        tasks.cancel_scope.cancel()
        assert tasks.cancel_scope.cancel_called
        await asyncio.wait(set(tasks._running))
        assert first.cancelled()
        assert await tasks.create_task(asyncio.sleep(0, 7))

    assert run(body) == []


def test_a_task_that_awaited_what_was_cancelled_has_failed() -> None:
    async def fooled() -> None:
        inner = asyncio.create_task(stay())
        inner.cancel()
        await inner

    async def body(tasks: BackgroundTasks) -> None:
        await asyncio.wait([tasks.create_task(fooled(), name="f")])

    assert run(body) == ["f: "]


def test_nothing_starts_after_the_end() -> None:
    async def main() -> None:
        tasks = BackgroundTasks("p", lambda error, name: None)
        await tasks.end()
        for begin in (tasks.start_soon, tasks.start_service):
            with pytest.raises(RuntimeError, match="background tasks of plugin p have ended"):
                begin(stay)
        coroutine = stay()
        with pytest.raises(RuntimeError, match="have ended"):
            tasks.create_task(coroutine)
        assert coroutine.cr_frame is None  # closed: there is no warning that it was never awaited

    asyncio.run(main())
