"""Longest turns of the event loop in a worker with 10,000 locations.

Reports figures in which every location has changed, reloads, and frees the old graph, while a probe
measures each turn. Prints the longest turns in milliseconds: the budget of docs/performance.md is 5
for reports and for freeing.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.build.runtime import Runtime
from pingap.config import Config, Snapshot, load_snapshot
from pingap.worker.channel import Channel, pair
from pingap.worker.dismantle import dismantle
from pingap.worker.event_loop import run_loop
from pingap.worker.figures import figures_of
from pingap.worker.rebuild import Rebuild
from pingap.worker.reporter import Reporter
from pingap.worker.resources import settle_memory


def configuration(count: int) -> str:
    """Return TOML for one server with ``count`` locations."""
    lines = [
        '[plugins.h]\ncategory = "response_headers"\nset_headers = ["X-A: b"]',
        *(f'[upstreams.u{i}]\naddrs = ["127.0.0.1:9"]\nhealth_check = "none"' for i in range(100)),
        *(
            f'[locations.l{i}]\nhost = "h{i}.example"\npath = "/p{i}"\nupstream = "u{i % 100}"\n'
            'plugins = ["pingap:requestId", "h"]'
            for i in range(count)
        ),
        '[servers.web]\naddr = "127.0.0.1:0"',
        f"locations = {[f'l{i}' for i in range(count)]}",
    ]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def longest_turn(what: str) -> AsyncIterator[None]:
    """Print the longest turn of the loop inside the block: CPU time of this thread, and wall time."""
    cpu, wall = [], []

    async def probe() -> None:
        while True:
            cpu_before, wall_before = time.thread_time(), time.perf_counter()
            await anyio.lowlevel.checkpoint()
            cpu.append(time.thread_time() - cpu_before)
            wall.append(time.perf_counter() - wall_before)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(probe)
        await anyio.lowlevel.checkpoint()
        yield
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    print(f"{what:40} {max(cpu) * 1e3:9.2f} {max(wall) * 1e3:9.2f} {sum(cpu) * 1e3:9.1f}")


async def measure(runtime: Runtime, text: str) -> None:
    """Run all measurements on a runtime."""
    print(f"{'ms':40} {'CPU':>9} {'wall':>9} {'all CPU':>9}")
    ours, theirs = pair()
    reporter = Reporter(Channel(ours), lambda: runtime)
    with theirs:
        async with longest_turn("report, nothing changed"):
            await reporter.report()
        for stats in runtime.stats.locations.values():
            stats.processing += 1
        async with longest_turn("report, every location changed"):
            await reporter.report()
    async with longest_turn("all figures at once (for comparison)"):
        figures_of(runtime)

    def load() -> Config:
        snapshot = Snapshot.of_text(text, "bench.toml")
        return load_snapshot(snapshot, claims=runtime.registry.claims)

    async with longest_turn("building the next graph"):
        new = await Rebuild(runtime, load, "").run()
    new.take_effect()
    async with longest_turn("freeing the old graph"):
        await dismantle(runtime)
    async with longest_turn("collecting garbage (for comparison)"):
        gc.unfreeze()
        gc.collect()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--locations", type=int, default=10_000)
    count = parser.parse_args().locations
    text = configuration(count)
    gc.disable()
    registry = installed_registry()
    began = time.perf_counter()
    config = load_snapshot(Snapshot.of_text(text, "bench.toml"), claims=registry.claims)
    runtime = build(config, registry)
    runtime.take_effect()
    print(f"loading and building {count} locations: {time.perf_counter() - began:.2f} s")
    settle_memory()
    run_loop(lambda: measure(runtime, text))


if __name__ == "__main__":
    main()
