"""Background tasks and async hooks: isolated, counted, started again, and never in the way of the end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from pingap import BackgroundTasks, Plugin, PluginSettings, Request, Response, hookimpl
from pingap.testing import PluginStartError, Proxy


class Workers(Plugin):
    """Has tasks that fail, a service, and one that goes on."""

    category = "workers"

    def __init__(self, settings: PluginSettings) -> None:
        self.starts = self.beats = 0
        self.shut_down = False

    async def startup(self, tasks: BackgroundTasks) -> None:
        self.tasks = tasks
        tasks.start_soon(self.fail, ValueError("lost the queue"))
        tasks.start_soon(self.fail, SystemExit(3), name="exiting")
        tasks.start_service(self.serve)
        tasks.start_soon(self.beat)
        assert await tasks.start(self.ready) == 7

    async def fail(self, error: BaseException) -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    async def serve(self) -> None:
        self.starts += 1
        await anyio.lowlevel.checkpoint()
        if self.starts < 3:
            raise OSError("lost the database")

    async def beat(self) -> None:
        while True:
            await anyio.sleep(0.01)
            self.beats += 1

    async def ready(self, task_status: Any) -> None:
        task_status.started(7)

    async def shutdown(self) -> None:
        self.shut_down = True

    @hookimpl
    async def request(self) -> Response:
        self.tasks.start_soon(self.fail, KeyError("late"))
        await anyio.lowlevel.checkpoint()
        return Response.text(200, f"{self.starts} {self.beats}")


def test_background_task_that_fails_ends_no_other(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingap.plugins.background_tasks.FIRST_PAUSE", 0.01)
    plugin = Workers(PluginSettings())
    proxy.location("/", plugins=[plugin])
    deadline = time.monotonic() + 10
    while (answer := proxy.get("/")).text.split()[0] != "3" and time.monotonic() < deadline:
        time.sleep(0.01)
    beats = plugin.beats
    while plugin.beats == beats and time.monotonic() < deadline:
        time.sleep(0.01)
    assert answer.text.startswith("3 ")
    assert plugin.beats > beats
    for text in ("lost the queue", "the background task exiting", "lost the database"):
        assert "plugin workers" in proxy.expect_error(text)
    assert proxy.metrics().value("pingap_plugin_failures", plugin="workers") >= 5
    proxy.stop()
    assert plugin.shut_down


class Stubborn(Plugin):
    """Ignores that it is cancelled, everywhere."""

    category = "stubborn"
    ended = False

    async def startup(self, tasks: BackgroundTasks) -> None:
        tasks.start_soon(self.stay)

    async def shutdown(self) -> None:
        await self.stay()

    async def stay(self) -> None:
        until = time.monotonic() + 60
        while not self.ended and time.monotonic() < until:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)

    @hookimpl
    async def request(self) -> None:
        await self.stay()


def test_what_ignores_its_cancellation_holds_up_nothing(proxy: Proxy) -> None:
    proxy.configure("basic", graceful_shutdown_timeout="1s")
    proxy.location("/", plugins=[(Stubborn, {"timeout": "200ms"})])
    began = time.monotonic()
    answer = proxy.get("/")
    assert answer.status == 500
    assert time.monotonic() - began < 10
    proxy.expect_error("TimeoutError")
    began = time.monotonic()
    proxy.stop()
    assert time.monotonic() - began < 15


class Leaving(Plugin):
    """Enters a task group of its own, whose task fails."""

    category = "leaving"
    shut_down = False

    async def startup(self, tasks: BackgroundTasks) -> None:
        self.group = asyncio.TaskGroup()
        await self.group.__aenter__()
        self.group.create_task(self.fail())

    async def fail(self) -> None:
        raise ValueError("in a group of its own")

    async def shutdown(self) -> None:
        self.shut_down = True
        await self.group.__aexit__(None, None, None)


def test_shutdown_runs_whatever_became_of_startup(proxy: Proxy) -> None:
    plugin = Leaving(PluginSettings())
    proxy.location("/", plugins=[plugin, ("mock", {"data": "a"})])
    assert proxy.get("/").text == "a"
    proxy.stop()
    assert plugin.shut_down
    proxy.expect_error("failed in the background")
    proxy.expect_error("in a group of its own")


class Refuses(Plugin):
    """Does not start."""

    category = "refuses"

    async def startup(self, tasks: BackgroundTasks) -> None:
        raise SystemExit(3)


def test_startup_that_exits_is_told(proxy: Proxy) -> None:
    proxy.location("/", plugins=[Refuses(PluginSettings())])
    with pytest.raises(PluginStartError, match=r"refuses cannot start: SystemExit: 3 .*py:\d+"):
        proxy.start()


class Expired(Plugin):
    """Uses time limits that have passed before the first await."""

    category = "expired"

    @hookimpl
    async def request(self, request: Request) -> Response:
        what = request.path[1:]
        task = asyncio.current_task()
        assert task is not None
        if what == "timeout":
            try:
                async with asyncio.timeout(0):
                    await asyncio.sleep(30)
            except TimeoutError:
                return Response.text(200, what)
        if what == "fail_after":
            try:
                with anyio.fail_after(0):
                    await anyio.sleep(30)
            except TimeoutError:
                return Response.text(200, what)
        if what == "move_on":
            with anyio.move_on_after(0):
                await anyio.sleep(30)
            return Response.text(200, what)
        if what == "cancelled_sleep":
            task.cancel()
            await asyncio.sleep(0)
        if what == "cancelled":
            task.cancel()
        if what == "scope":
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anyio.sleep(30)
        if what == "swallowed":
            task.cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                await asyncio.sleep(0.001)
        if what == "below":
            try:
                async with asyncio.timeout(0):
                    await asyncio.create_task(asyncio.sleep(30))
            except TimeoutError:
                return Response.text(200, what)
        return Response.text(200, what)


@pytest.mark.parametrize("http2", [False, True])
def test_limit_that_has_passed_at_once(proxy: Proxy, http2: bool) -> None:
    proxy.location("/", plugins=[Expired(PluginSettings())])
    proxy.configure("servers.web", enabled_h2=True)
    client = proxy.connect_http2() if http2 else proxy.connect()
    kinds = ("timeout", "fail_after", "move_on", "cancelled", "scope", "swallowed", "below")
    for kind in kinds * 3:
        for path in ("fine", kind, kind, "fine"):
            assert client.get(f"/{path}").text == path
    assert client.get("/cancelled_sleep").status == 500
    proxy.expect_error("what it awaited was cancelled")
    assert client.get("/fine").text == "fine"
