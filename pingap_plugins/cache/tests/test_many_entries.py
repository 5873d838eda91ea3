"""100,000 entries: look-ups take as long as among few, and no work with all of them holds up the event loop."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from types import FrameType
from typing import ClassVar

import anyio
import pytest
from anyio.lowlevel import checkpoint
from click.testing import CliRunner
from pingap_cache.commands import cache
from pingap_cache.plugin import Cache
from pingap_cache.stores import schema
from pingap_cache.stores.disk import DiskStore
from pingap_cache.stores.interface import Labels, Store
from pingap_cache.stores.memory import MemoryStore
from real_processes import until

from pingap import BackgroundTasks, Plugin, hookimpl
from pingap.testing import Proxy, Upstream

MANY = 100_000
FEW = 1000
LONGEST_TURN = 0.01
"""Seconds of processor time. Mostly it is a thousandth; the margin is for busy machines."""
ROUNDS = 3
FRESH = {"Cache-Control": "max-age=600", "Cache-Tag": "all"}


# What a turn of the event loop takes.


class Watch(Plugin):
    """Notes what each turn of its event loop takes.

    It is processor time of the thread, so that other processes and threads do not count; a loop that
    is computing counts in full.
    """

    category = "watch"
    seconds: ClassVar[list[float]] = []

    async def startup(self, tasks: BackgroundTasks) -> None:
        tasks.start_service(watch)

    @hookimpl
    def early_request(self) -> None:
        pass


async def watch() -> None:
    """Let the loop turn until this is cancelled."""
    while True:
        began = time.thread_time()
        await checkpoint()
        Watch.seconds.append(time.thread_time() - began)


def longest_turn(use: Callable[[], object]) -> float:
    """Return what the longest turn took meanwhile; the garbage of the test run is left alone."""
    gc.collect()
    gc.disable()
    Watch.seconds.clear()
    try:
        use()
    finally:
        gc.enable()
    return max(Watch.seconds)


def no_turn_is_long(use: Callable[[], object]) -> None:
    """Check the longest turn of the best of some rounds."""
    worst: list[float] = []
    while not worst or worst[-1] > LONGEST_TURN:
        assert len(worst) < ROUNDS, f"the longest turns took {worst} s"
        worst.append(longest_turn(use))


async def watched(work: Callable[[], Awaitable[None]]) -> None:
    """Do something while the loop is watched."""
    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await checkpoint()
        await work()
        group.cancel_scope.cancel()


def test_a_turn_that_takes_long_is_noticed() -> None:
    async def burn() -> None:
        await checkpoint()
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        await checkpoint()

    assert longest_turn(lambda: anyio.run(watched, burn)) > 0.02 > LONGEST_TURN


# Disk.


def add_many(folder: Path, count: int) -> None:
    """Add entries to the database of a folder: copies of the one whose key is ``copied``."""
    with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as database:
        columns = "raw, store_time, expire_time, access_time, access_count, tag, size, mode, value"
        database.execute("BEGIN")
        database.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
            f" INSERT INTO Cache (key, {columns}) SELECT cast('many-' || n AS BLOB), {columns}"
            f" FROM numbers, (SELECT {columns} FROM Cache WHERE key = ?)",
            (count, b"copied"),
        )
        added = "FROM Cache WHERE cast(key AS TEXT) LIKE 'many-%'"
        url = "cast('http://127.0.0.1/' || key AS BLOB)"
        database.execute(f"INSERT INTO Label SELECT rowid, cast('' AS BLOB), {url}, 4 {added}")
        database.execute(f"INSERT INTO Tag SELECT cast('all' AS BLOB), rowid {added}")
        database.execute("COMMIT")


async def put(store: Store, key: bytes, body: bytes, **labels: object) -> None:
    """Store an entry."""
    writer = store.write(key, b"head", keep=1000.0, **labels)  # type: ignore[arg-type]
    await writer.write(body)
    assert await writer.commit()


async def make_folder(folder: Path) -> None:
    store = DiskStore(folder)
    for number in range(FEW):
        await put(store, b"few-%d" % number, b"text", url=f"http://few/{number}")
    await put(store, b"copied", b"text", url="http://copied/")
    await store.aclose()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders: with few entries, and with many more."""
    few, many = (tmp_path_factory.mktemp("caches") / name for name in ("few", "many"))
    asyncio.run(make_folder(few))
    shutil.copytree(few, many)
    add_many(many, MANY)
    return few, many


def test_requests_fills_purges_and_commands_on_a_disk(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGAP_STATE_DIR", str(tmp_path))
    number = itertools.count()

    def round_of_use() -> None:
        folder = tmp_path / f"cache-{next(number)}"
        shutil.copytree(folders[1], folder)
        with Upstream() as upstream, site(upstream, folder, tmp_path) as proxy:
            Watch.seconds.clear()
            use(proxy)

    no_turn_is_long(round_of_use)


@contextmanager
def site(upstream: Upstream, folder: Path, state: Path) -> Iterator[Proxy]:
    """Run a proxy with a cache in a folder that has no room for more than it has."""
    for page in range(50):
        body = b"x" * (100, 30_000, 300_000)[page % 3]
        upstream.reply(f"/page/{page}", body, headers=FRESH)
    room = sum(path.stat().st_size for path in folder.rglob("*"))
    settings = {"directory": f"{folder}?max_size={room}", "purge_ip_list": ["127.0.0.1"]}
    proxy = Proxy(upstream=upstream, state_directory=state)
    proxy.location("/", name="site", plugins=[Watch, (Cache, settings)])
    with proxy:
        until(lambda: list(state.rglob("*.sock")))  # by which ``pingap cache`` reaches it
        yield proxy


def use(proxy: Proxy) -> None:
    """Do everything that there is to do, while others make requests."""
    over = threading.Event()

    def visit() -> None:
        page = 0
        with proxy.connect() as client:
            while not over.is_set():
                page += 1
                assert client.get(f"/page/{page % 50}").status == 200

    with ThreadPoolExecutor(1) as thread:
        visiting = thread.submit(visit)
        try:
            assert "\n  disk " in run("stats")
            listed = json.loads(run("list", "--limit", "10000", "--json"))
            assert len(listed) == 10_000
            # (The oldest entries are evicted meanwhile.)
            assert count(run("purge", "--tag", "all", "--soft")) > MANY // 2
            assert count(run("purge", "--prefix", "http://127.0.0.1/many-9")) > MANY // 20
            assert proxy.request("PURGE", "/page/*", client_ip="127.0.0.1").status == 200
            assert count(run("purge", "--all")) > MANY // 4
        finally:
            over.set()
        visiting.result()


def run(*arguments: str) -> str:
    """Run ``pingap cache``."""
    result = CliRunner().invoke(cache, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def count(output: str) -> int:
    """Return how many entries were purged."""
    return int("".join(filter(str.isdigit, output)))


def test_a_look_up_on_disk_takes_as_long_as_among_few(folders: tuple[Path, Path]) -> None:
    stores = [DiskStore(folder) for folder in folders]
    times: list[list[float]] = [[], []]
    for turn in range(40):
        for place, store in enumerate(stores):
            began = time.thread_time()
            for key in range(turn, FEW, 50):
                assert store._folder.look_up(b"few-%d" % key) is not None
            times[place].append(time.thread_time() - began)
    for store in stores:
        store._folder.close_mine()
    few, many = map(median, times)
    assert many < 3 * few


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 FROM Cache WHERE key = x'00' AND raw = 1",
        "SELECT 1 FROM Cache WHERE filename = 'x'",
        "SELECT 1 FROM Cache WHERE expire_time < 1",
        "SELECT 1 FROM Cache WHERE access_time < 1",
        "SELECT 1 FROM Cache ORDER BY store_time LIMIT 10",
        schema.BY_TAG,
        schema.BY_URL,
        schema.FIRST_NAMESPACE,
        schema.NEXT_NAMESPACE.replace("?", "x'00'"),
        schema.LISTED,
    ],
)
def test_every_query_uses_an_index(folders: tuple[Path, Path], query: str) -> None:
    names = ("tag", "namespace", "first", "last", "entry", "url", "limit", "now")
    with closing(sqlite3.connect(folders[0] / "cache.db")) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN {query}", dict.fromkeys(names, 1)).fetchall()
    steps = [row[3] for row in plan]
    scans = [step for step in steps if step.startswith("SCAN") and "USING" not in step]
    sorts = [step for step in steps if "TEMP B-TREE" in step]
    assert (scans, sorts) == ([], []), steps


# Memory.


async def fill(store: MemoryStore, entries: int) -> None:
    for number in range(entries):
        url, tags = f"http://host/{number % 10}/{number}", ("all",)
        store.put(b"key-%d" % number, b"head", [b"text"], Labels(url, tags), keep=1000.0)
        if not number % 50:
            await asyncio.sleep(0)


async def use_memory() -> None:
    store = MemoryStore(2**30)
    await fill(store, MANY)
    assert len(await store.entries(limit=10_000)) == 10_000
    assert await store.purge(tag="all", soft=True) == MANY
    assert await store.purge(prefix="http://host/3/") == MANY // 10
    assert await store.purge(tag="all") == MANY * 9 // 10
    await fill(store, MANY // 2)
    assert await store.purge() == MANY // 2
    await fill(store, MANY // 2)
    store.clear()
    await checkpoint()
    assert store.figures().entries == 0
    await store.aclose()


def test_purges_in_memory() -> None:
    no_turn_is_long(lambda: anyio.run(watched, use_memory))


def test_a_look_up_in_memory_takes_as_long_as_among_few() -> None:
    """It is a step in a dictionary, whatever there is: no bytecode is run for other entries."""

    async def steps_of_a_look_up(entries: int) -> int:
        store = MemoryStore(2**30)
        await fill(store, entries)
        steps = 0

        def note(frame: FrameType, event: str, argument: object) -> object:
            nonlocal steps
            frame.f_trace_opcodes = True
            steps += event == "opcode"
            return note

        sys.settrace(note)
        try:
            store.get_now(b"key-7")
        finally:
            sys.settrace(None)
        return steps

    few, many = (anyio.run(steps_of_a_look_up, entries) for entries in (FEW, MANY // 4))
    assert 0 < few == many
