"""The memory store: its budget, its queues, and that nothing takes long."""

from __future__ import annotations

import gc
import os
import random
import time
import tracemalloc
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from pingap_cache.stores.interface import CHUNK
from pingap_cache.stores.kept import VIEW_SHARE, WHOLE
from pingap_cache.stores.memory import MemoryStore
from store_tools import body_of, found, put

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


def key(number: int) -> bytes:
    return b"key-%d" % number


async def test_a_scan_does_not_flush_what_is_used() -> None:
    store = MemoryStore(2 * MIB)
    hot = range(200)
    for number in hot:
        await put(store, key(number), b"x" * 1000)
    for _ in range(3):
        for number in hot:
            assert store.get_now(key(number))
    for number in range(1000, 21_000):  # ten times the budget, each asked for once
        await put(store, key(number), b"x" * 1000)
        assert store.get_now(key(number))
    kept = sum(store.get_now(key(number)) is not None for number in hot)
    assert kept == len(hot)


async def test_what_comes_back_after_its_eviction_stays() -> None:
    store = MemoryStore(2 * MIB)
    for number in range(2000):  # more than fits
        await put(store, key(number), b"x" * 1000)
    known = set(store.keys())
    back = next(key(number) for number in range(1999, 0, -1) if key(number) not in known)
    await put(store, back, b"x" * 1000)  # it is remembered, and goes to the main queue
    await put(store, b"new", b"x" * 1000)
    for number in range(3000, 6000):
        await put(store, key(number), b"x" * 1000)
    assert store.get_now(back) is not None
    assert store.get_now(b"new") is None


async def test_fewer_misses_than_a_plain_queue_on_a_skewed_load() -> None:
    """S3-FIFO against FIFO, on requests of which few are for many."""
    chooser = random.Random(1)
    asked = [int(chooser.paretovariate(0.6)) % 50_000 for _ in range(60_000)]
    store = MemoryStore(1 * MIB)
    missed = 0
    for number in asked:
        if store.get_now(key(number)) is None:
            missed += 1
            await put(store, key(number), b"x" * 500)
    entries = store.figures().entries
    queue: dict[int, None] = {}
    plain = 0
    for number in asked:
        if number not in queue:
            plain += 1
            queue[number] = None
            if len(queue) > entries:
                del queue[next(iter(queue))]
    assert missed < 0.9 * plain


async def test_the_budget_holds_whatever_is_written() -> None:
    store = MemoryStore(4 * MIB)
    sizes = random.Random(2)
    for number in range(3000):
        await put(store, key(number % 700), b"x" * sizes.choice([0, 100, 5000, 200_000, 400_000]))
        assert store.figures().bytes <= 4 * MIB
    assert store.figures().evictions > 0


@pytest.mark.parametrize("tags", [0, 3])
async def test_memory_is_what_is_counted(tags: int) -> None:
    count = 5000
    gc.collect()
    tracemalloc.start()
    try:
        store = MemoryStore(100 * MIB)
        for number in range(count):
            labels = {
                "url": f"https://example.com/path/{number}",
                "tags": [f"tag-{number}-{tag}" for tag in range(tags)],
            }
            await put(store, os.urandom(32), os.urandom(700), head=os.urandom(300), **labels)
        del labels
        gc.collect()
        real = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    views = count * 300 * VIEW_SHARE  # (which nobody has made here)
    assert store.figures().bytes - views == pytest.approx(real, rel=0.1)


async def test_a_large_entry_is_not_taken_and_replaces_what_was_there() -> None:
    store = MemoryStore(8 * MIB)
    assert await put(store, b"k", b"small")
    assert not await put(store, b"k", b"x" * (MIB + 1))
    assert await found(store, b"k") == (b"head", b"small", False)  # given up while it was written
    assert store.figures().bytes < 10_000
    assert await put(store, b"k", b"x" * (MIB - 100_000))
    assert not await put(store, b"h", head=b"x" * (MIB + 1))


async def test_entries_that_are_being_written_count_and_have_a_limit() -> None:
    store = MemoryStore(8 * MIB)
    writers = [store.write(key(number), b"", keep=10) for number in range(20)]
    for writer in writers:
        for _ in range(8):
            await writer.write(b"x" * 100_000)
    figures = store.figures()
    assert figures.bytes <= 4 * MIB
    assert 0 < figures.writing < 20
    stored = [await writer.commit() for writer in writers]
    assert 1 < sum(stored) == store.figures().entries
    for writer in writers:
        writer.discard()
    assert store.figures().writing == 0


async def test_a_forgotten_writer_gives_its_memory_back() -> None:
    store = MemoryStore(8 * MIB)
    writer = store.write(b"k", b"", keep=10)
    await writer.write(b"x" * 100_000)
    assert store.figures().bytes == 100_000
    del writer
    gc.collect()
    assert store.figures().bytes == 0


async def test_a_large_body_is_in_blocks_and_never_copied_whole() -> None:
    store = MemoryStore(64 * MIB)
    body = os.urandom(WHOLE + 1)
    await put(store, b"k", body, step=777)
    entry = store.get_now(b"k")
    assert entry is not None
    assert entry.body is None
    chunks = [chunk async for chunk in store.read(b"k", entry, 0, entry.size)]
    assert max(map(len, chunks)) <= CHUNK
    assert b"".join(chunks) == body


async def test_an_evicted_entry_can_still_be_read() -> None:
    store = MemoryStore(8 * MIB)
    body = os.urandom(900_000)
    await put(store, b"k", body)
    entry = store.get_now(b"k")
    assert entry is not None
    await store.purge()
    assert store.get_now(b"k") is None
    assert await body_of(store, b"k", entry) == body


async def test_what_is_over_is_not_found() -> None:
    store = MemoryStore(MIB)
    assert await put(store, b"k", b"x", keep=0.0)
    assert await put(store, b"l", b"x", keep=float("inf"))
    assert store.get_now(b"k") is None
    assert store.get_now(b"l") is not None
    assert not await store.remove(b"k")


async def test_so_many_entries_at_most() -> None:
    store = MemoryStore(64 * MIB, most=10)
    for number in range(100):
        await put(store, key(number), b"x")
    assert store.figures().entries == 10


@pytest.mark.parametrize("index_tags", [True, False])
async def test_a_cancelled_purge_leaves_the_index_whole(index_tags: bool) -> None:
    store = MemoryStore(64 * MIB, index_tags=index_tags)
    for number in range(3000):
        await put(store, key(number), tags=["all"])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(store.purge, tag="all"))
        while store.figures().entries == 3000:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    left = store.figures().entries
    assert 0 < left < 3000
    assert await store.purge(tag="all", soft=True) == left
    assert await store.purge(tag="all") == left
    assert store.figures().entries == 0


async def test_purges_while_entries_come_and_go() -> None:
    """Whatever is there all the time is purged, though it moves in the queues meanwhile."""
    store = MemoryStore(3 * MIB)
    for number in range(1500):
        await put(store, key(number), b"x" * 1000, url="old/")
        store.get_now(key(number))
        store.get_now(key(number))

    async def disturb() -> None:
        for number in range(10_000, 12_000):
            await put(store, key(number), b"x" * 1000, url="new/")
            if not number % 20:
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(disturb)
        await store.purge(prefix="old/")
    listed = await store.entries(limit=10_000)
    assert listed
    assert not [one for one in listed if one.url == "old/"]


async def test_look_ups_stay_fast_with_many_entries() -> None:
    """The same keys, found among few and among many entries (the best of many tries)."""
    times = []
    for count in (1000, 50_000):
        store = MemoryStore(1024 * MIB)
        for number in range(count):
            await put(store, key(number), b"x")
        best = 1.0
        for _ in range(50):
            began = time.perf_counter()
            for _ in range(100):
                store.get_now(b"key-1")
            best = min(best, (time.perf_counter() - began) / 100)
        times.append(best)
    assert times[1] < 2 * times[0]
    assert times[1] < 5e-6
