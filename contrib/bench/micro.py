"""Figures that need no process: what one more plugin and one more location cost."""

from __future__ import annotations

import asyncio
import timeit
from collections.abc import Callable
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
    hookimpl,
)
from pingap.chains import Instance, freeze
from pingap.exchange import Exchange
from pingap.hook_tasks import HookTasks
from pingap.net.deadlines import Deadlines
from pingap.phases import call_all, call_first
from pingap.routing import Route, Router

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
