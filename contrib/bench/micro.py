"""Figures that need no processes: costs of a plugin, a location, a choice and a shared number."""

from __future__ import annotations

import asyncio
import random
import time
import timeit
from collections import deque
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, Final

import uvloop

from pingap import (
    Connection,
    Headers,
    Peer,
    Plugin,
    PluginSettings,
    Quota,
    Request,
    RequestContext,
    Response,
    SharedState,
    hookimpl,
)
from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import parse
from pingap.plugins.balancer import BalancerOptions
from pingap.plugins.chains import Instance, freeze
from pingap.proxy.async_hooks import HookTasks
from pingap.proxy.exchange import Exchange
from pingap.proxy.hook_runner import call_all, call_first
from pingap.proxy.routes import Route
from pingap.proxy.routing import Router
from pingap.shared_state.local import LocalState
from pingap.shared_state.segment import SharedSegment
from pingap.upstream.balancing.selection import Balancing, Selection
from pingap.upstream.balancing.standard import pingap_balancers
from pingap.wire.deadlines import Deadlines

AT_A_TIME: Final = 10
MORE: Final = 10
"""How many more plugins; the difference is divided by it."""


class NoOp(Plugin):
    """Takes part in two phases and does nothing."""

    category = "no_op"

    @hookimpl
    def request(self, request: Request, ctx: RequestContext) -> None:
        """Let the request continue."""

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        """Leave it as it is."""


def best(call: Callable[[], object], number: int) -> float:
    """Return the microseconds of a call, in the best of seven runs."""
    return min(timeit.repeat(call, number=number, repeat=7, timer=time.process_time)) / number * 1e6


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
        """Let the request continue."""


class _Nobody:
    """The client's side of exchanges that nobody waits for."""

    def __init__(self) -> None:
        self.tasks = HookTasks(Deadlines())
        self.ended = asyncio.Event()
        self.left = 0

    def exchange_ended(self) -> None:
        """Wake the bench after the last one."""
        self.left -= 1
        if not self.left:
            self.ended.set()


def one_more_async_plugin() -> float:
    """Return the microseconds that one more async plugin, with its time limit, adds to a phase."""

    async def difference() -> float:
        return (await _async_phase(3) - await _async_phase(1)) / 2

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(difference())


async def _async_phase(plugins: int) -> float:
    """Return the microseconds of a phase, for requests of which ten are under way at a time."""
    chain = freeze(
        [Instance(f"no{i}", AsyncNoOp(PluginSettings())) for i in range(plugins)]
    ).request
    request = Request("GET", "/", Headers())
    ctx = RequestContext(Connection(1, ("", 0), ("", 0)), 0.0)
    nobody: Any = _Nobody()
    server: Any = None  # only failing plugins are reported to it

    async def phase(x: Exchange) -> None:
        if (waiting := call_first(x, chain, "request", request, ctx)) is not None:
            await waiting  # type: ignore[misc]

    times = []
    for _ in range(7):
        began = time.process_time()
        for _ in range(500):
            nobody.left = AT_A_TIME
            nobody.ended.clear()
            for _ in range(AT_A_TIME):
                x = Exchange(server, nobody, request, ctx)
                x.lifecycle = phase(x).__await__()
                x.step()
            await nobody.ended.wait()
        times.append(time.process_time() - began)
    return min(times) / (500 * AT_A_TIME) * 1e6


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

    quotas = state.quotas("limit")
    full = Quota(bytes(16), 60.0, used_up=False)

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
        "quota changed": cost(lambda: quotas.change("192.0.2.7", lambda _: full)),
    }


def dictionary_update() -> float:
    """Return the microseconds of adding to a number in a dictionary."""
    numbers = {"requests": 0}

    def update() -> None:
        numbers["requests"] += 1

    return best(update, 20_000)


ALGOS: Final = ("round_robin", "least_conn", "p2c", "random", "hash:path", "hash:ip", "sticky:id")


COOKIE: Final = "session=0123456789abcdef; theme=dark"


def one_choice(algo: str, backends: int, *, whole: bool = False) -> float:
    """Return the microseconds of choosing a backend, with two requests in flight on each.

    :param whole: count the request as well, and tell the balancer of its end, if it wants to know.
    """
    selection, peers = _selection(algo, backends)
    now = time.monotonic()
    for peer in peers:
        peer.latency, peer.latency_at = random.uniform(0.001, 0.002), now
    ctx = RequestContext(Connection(1, ("192.0.2.1", 0), ("", 0)), now)
    ctx.upstream_connected_at, ctx.upstream_head_at = now, now + 0.001
    requests = [
        Request("GET", f"/some/page/{at}", Headers({"Cookie": COOKIE})) for at in range(100)
    ]
    flying: deque[Peer] = deque()
    turn = 0

    def run() -> None:
        nonlocal turn
        turn += 1
        peer = selection.choose(requests[turn % 100], ctx)
        peer.in_flight += 1
        flying.append(peer)
        if len(flying) > 2 * backends:
            ended = flying.popleft()
            ended.in_flight -= 1
            if ended.bookkeeper is not None:
                ended.bookkeeper.ended(ended, ctx, failed=False)

    for _ in range(6 * backends):
        run()
    if whole:
        return best(run, 5_000)
    request = requests[0]
    return best(lambda: selection.choose(request, ctx), 5_000)


BREAKERS: Final = {
    "failures in a row": "circuit_break_max_consecutive_failures = 5",
    "percentage": "circuit_break_max_failure_percent = 50",
}


def one_guarded_attempt(limit: str, workers: int) -> float:
    """Return the microseconds that a closed circuit breaker adds to an attempt that goes well.

    :param limit: of ``BREAKERS``.
    """
    toml = f'[upstreams.up]\naddrs = ["10.0.0.1:80"]\n{BREAKERS[limit]}'
    runtime = build(parse(toml), installed_registry())
    runtime.count_with(SharedSegment(workers=workers).attach(0) if workers > 1 else LocalState())
    upstream = runtime.upstreams["up"]
    breakers = upstream.breakers
    assert breakers is not None
    ctx = RequestContext(Connection(1, ("192.0.2.1", 0), ("", 0)), time.monotonic())
    request = Request("GET", "/", Headers())

    def run() -> None:
        peer = upstream.choose_peer(request, ctx, ())
        breakers.attempted(peer, ctx, None, 200)
        breakers.release(peer, ctx)

    choice = best(lambda: upstream.selection.choose(request, ctx, ()), 5_000)
    return best(run, 5_000) - choice


def one_ring(backends: int) -> float:
    """Return the milliseconds of building an upstream that hashes."""
    return best(lambda: _selection("hash:path", backends), 1) / 1000


def _selection(algo: str, backends: int) -> tuple[Selection, list[Peer]]:
    word, _, argument = algo.partition(":")
    addresses = [(f"10.0.{at // 250}.{at % 250}", 80) for at in range(backends)]
    peers = [Peer("app", (host, port), f"{host}:{port}") for host, port in addresses]
    options = BalancerOptions(argument=argument, secret=b"a secret of the bench")
    return Selection(
        "up", peers, Balancing(factory=pingap_balancers()[word], options=options)
    ), peers


def main() -> None:
    """Print what choosing costs."""
    for algo in ALGOS:
        for backends in (10, 1000):
            alone, whole = one_choice(algo, backends), one_choice(algo, backends, whole=True)
            print(
                f"{algo:12}{backends:5} backends: {alone:4.2f} us; {whole:4.2f} us with all it needs"
            )
    print(f"hash:path    {one_ring(1000):5.1f} ms to build with 1000 backends")


if __name__ == "__main__":
    main()
