"""Figures that need no process: what a plugin, a location, and a shared number cost."""

from __future__ import annotations

import asyncio
import timeit
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, Final

from pingap import (
    Connection,
    Headers,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    SharedState,
    hookimpl,
)
from pingap.chains import Instance, freeze
from pingap.exchange import Exchange
from pingap.hook_tasks import HookTasks
from pingap.net.deadlines import Deadlines
from pingap.phases import call_all, call_first
from pingap.routing import Route, Router
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment

MORE: Final = 10
"""How many more plugins; the difference is divided by it."""


class NoOp(Plugin):
    """Takes part in two phases and does nothing."""

    category = "no_op"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        """Let it go on."""

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Leave it as it is."""


def best(call: Callable[[], object], number: int) -> float:
    """Return the microseconds of a call, in the best of seven runs."""
    return min(timeit.repeat(call, number=number, repeat=7)) / number * 1e6


def one_more_plugin() -> float:
    """Return the microseconds that one more sync plugin adds to both phases of a request."""
    few, many = _two_phases(1), _two_phases(1 + MORE)
    return (best(many, 20_000) - best(few, 20_000)) / MORE


def _two_phases(plugins: int) -> Callable[[], None]:
    chains = freeze([Instance(f"no{i}", NoOp(PluginSettings())) for i in range(plugins)])
    request = Request("GET", "/", Headers())
    ctx = RequestContext(Connection(1, ("", 0), ("", 0)), 0.0)
    response = Response(200)
    exchange: Any = SimpleNamespace()  # only async plugins would touch it

    def run() -> None:
        call_first(exchange, chains.request, "request", request, ctx)
        call_all(exchange, chains.response, "response", request, response, ctx)

    return run


class AsyncNoOp(Plugin):
    """An async plugin that awaits nothing."""

    category = "async_no_op"

    @hookimpl
    async def request(self, request: Request, ctx: RequestContext) -> None:
        """Let it go on."""


class _Nobody:
    """The client's side of exchanges that nobody waits for."""

    def __init__(self) -> None:
        self.tasks = HookTasks(Deadlines())

    def exchange_ended(self) -> None:
        """Do nothing."""


def one_more_async_plugin() -> float:
    """Return the microseconds that one more async plugin, with its time limit, adds to a phase."""

    async def difference() -> float:
        return best(_async_phase(1 + MORE), 5_000) - best(_async_phase(1), 5_000)

    return asyncio.run(difference()) / MORE


def _async_phase(plugins: int) -> Callable[[], None]:
    chain = freeze(
        [Instance(f"no{i}", AsyncNoOp(PluginSettings())) for i in range(plugins)]
    ).request
    request = Request("GET", "/", Headers())
    ctx = RequestContext(Connection(1, ("", 0), ("", 0)), 0.0)
    nobody: Any = _Nobody()
    server: Any = None  # only failing plugins are reported to it

    def run() -> None:
        assert (
            call_first(Exchange(server, nobody, request, ctx), chain, "request", request, ctx)
            is None
        )

    return run


def one_lookup(locations: int) -> float:
    """Return the microseconds of finding a location among so many, half of them by host."""
    routes = [
        Route(target=i, path=f"/service{i}/", host=f"host{i}.test" if i % 2 else None)
        for i in range(locations)
    ]
    router = Router([*routes, Route(target=-1, path="/")])
    request = Request("GET", "/", Headers())
    asked = [locations // 4 * turn + turn % 2 for turn in range(4)]
    hosts = [(f"host{i}.test", f"/service{i}/page") for i in asked] + [("other.test", "/nowhere")]

    def run() -> None:
        for host, path in hosts:
            router.match(host, path, request)

    return best(run, 2_000) / len(hosts)


def shared_updates(workers: int) -> dict[str, float]:
    """Return the microseconds of updates of the shared state, looking up the key included.

    Only one worker is at work; the locks of tables, which it takes all the same, are free.
    """
    state: SharedState = SharedSegment(workers=workers).attach(0) if workers > 1 else LocalState()
    table = state.table("breaker", "qdd")
    table.set("peer", (0, 0.0, 0.0))
    numbers = count()

    def cost(call: Callable[[], object]) -> float:
        # (Short runs, so that some of them are not disturbed.)
        return min(timeit.repeat(call, number=200, repeat=400)) / 200 * 1e6

    def change() -> None:
        with table.locked("peer") as record:
            failures, since, until = record.values or (0, 0.0, 0.0)
            record.values = (failures + 1, since, until)

    for _ in range(100_000):  # there is no room left
        state.window(f"full {next(numbers)}", 60.0).add()
    return {
        "counter": cost(lambda: state.counter("requests").add()),
        "gauge": cost(lambda: state.gauge("requests").add()),
        "window": cost(lambda: state.window("192.0.2.7", 60.0).add()),
        "window of a new key, which needs room": cost(
            lambda: state.window(f"new {next(numbers)}", 60.0).add()
        ),
        "record read": cost(lambda: table.get("peer")),
        "record changed": cost(change),
    }


def dictionary_update() -> float:
    """Return the microseconds of adding to a number in a dictionary."""
    numbers = {"requests": 0}

    def update() -> None:
        numbers["requests"] += 1

    return best(update, 20_000)
