"""Memory in front of a disk: it is never behind what any process did on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pingap_cache.stores.disk import DiskStore
from pingap_cache.stores.interface import CHUNK
from pingap_cache.stores.memory import MemoryStore
from pingap_cache.stores.tiered import TieredStore
from store_tools import body_of, found, put

pytestmark = pytest.mark.anyio
MIB = 2**20
BIG = os.urandom(3 * CHUNK + 17)


def make(folder: Path, largest: int = MIB) -> TieredStore:
    return TieredStore(MemoryStore(32 * MIB, largest=largest), DiskStore(folder / "cache"))


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[TieredStore]:
    store = make(tmp_path)
    yield store
    await store.aclose()


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[TieredStore]:
    """The store of another worker, on the same folder."""
    store = make(tmp_path)
    yield store
    await store.aclose()


async def test_what_was_written_is_in_memory_at_once(one: TieredStore) -> None:
    await put(one, b"k", b"x")
    await put(one, b"l", BIG)
    for key in (b"k", b"l"):
        now = one.get_now(key)
        entry = await one.disk.get(key)
        assert now is not None
        assert entry is not None
        assert now.stamp == entry.stamp
    assert await found(one, b"l") == (b"head", BIG, False)


async def test_what_is_found_on_disk_is_in_memory_from_then_on(
    one: TieredStore, two: TieredStore
) -> None:
    await put(one, b"k", b"small")
    await put(one, b"l", BIG)
    await two.get(b"opens it")
    assert two.get_now(b"k") is None
    assert await found(two, b"k") == (b"head", b"small", False)
    assert two.get_now(b"k") is not None
    entry = await two.get(b"l")
    assert entry is not None
    assert await body_of(two, b"l", entry, 0, 10) == BIG[:10]
    assert two.get_now(b"l") is None  # a part of it is not kept
    assert await body_of(two, b"l", entry) == BIG
    kept = two.get_now(b"l")
    assert kept is not None
    assert await body_of(two, b"l", kept) == BIG


async def test_large_entries_stay_on_disk(tmp_path: Path) -> None:
    store = make(tmp_path, largest=CHUNK)
    await put(store, b"k", BIG)
    assert store.get_now(b"k") is None
    assert await found(store, b"k") == (b"head", BIG, False)
    assert store.get_now(b"k") is None
    await store.aclose()


async def test_what_one_worker_changes_is_gone_from_the_memory_of_another(
    one: TieredStore, two: TieredStore
) -> None:
    async def both_have_it() -> None:
        await put(one, b"k", b"old", url="http://a/b", tags=["t"], namespace="n")
        await two.get(b"k")
        assert await found(two, b"k") == (b"head", b"old", False)
        assert two.get_now(b"k") is not None
        assert one.get_now(b"k") is not None

    await both_have_it()
    await both_have_it()
    await put(one, b"k", b"new")
    assert two.get_now(b"k") is None
    assert await found(two, b"k") == (b"head", b"new", False)

    await both_have_it()
    await one.remove(b"k")
    assert two.get_now(b"k") is None
    assert await two.get(b"k") is None

    for conditions in ({}, {"prefix": "http://a"}, {"tag": "t"}, {"namespace": "n"}):
        await both_have_it()
        assert await one.purge(**conditions) == 1
        assert two.get_now(b"k") is one.get_now(b"k") is None
        await both_have_it()
        assert await one.purge(soft=True, **conditions) == 1
        assert await found(two, b"k") == await found(one, b"k") == (b"head", b"old", True)

    await both_have_it()
    entry = await one.get(b"k")
    assert entry is not None
    assert await one.replace_head(b"k", entry, b"new head", 1000)
    assert two.get_now(b"k") is None
    assert await found(two, b"k") == (b"new head", b"old", False)


async def test_what_the_disk_evicts_leaves_memory_too(tmp_path: Path) -> None:
    """Else a purge, which looks on disk, would not find it."""
    store = TieredStore(MemoryStore(32 * MIB), DiskStore(tmp_path / "cache", size_limit=MIB))
    for number in range(40):
        await put(store, b"%d" % number, b"x" * 60_000, url="http://a/")
    assert store.disk.figures().evictions
    for number in range(40):
        kept = store.get_now(b"%d" % number)
        assert (kept is None) == (await store.disk.get(b"%d" % number) is None)
    await store.aclose()


async def test_a_body_that_was_replaced_while_it_was_read_is_not_kept(
    one: TieredStore, two: TieredStore
) -> None:
    await put(one, b"k", BIG)
    await two.get(b"k")
    entry = await two.get(b"k")
    assert entry is not None
    reading = two.read(b"k", entry, 0, entry.size)
    read = await anext(reading)
    await put(one, b"k", b"new")
    async for chunk in reading:
        read += chunk
    assert read == BIG
    assert two.get_now(b"k") is None
    assert await found(two, b"k") == (b"head", b"new", False)


async def test_a_body_that_is_not_read_to_its_end_takes_no_memory(
    one: TieredStore, two: TieredStore
) -> None:
    await put(one, b"k", BIG)
    await two.get(b"k")
    entry = await two.get(b"k")
    assert entry is not None
    reading = two.read(b"k", entry, 0, entry.size)
    await anext(reading)
    assert two.memory.figures().bytes >= CHUNK
    await reading.aclose()
    assert two.memory.figures().bytes == 0
    assert two.disk.figures().reading == 0


async def test_memory_is_forgotten_with_the_folder(one: TieredStore) -> None:
    await put(one, b"k", b"x")
    shutil.rmtree(one.disk.path)
    await one.get(b"another")
    assert one.get_now(b"k") is None
    assert await one.get(b"k") is None
    await put(one, b"k", b"y")
    assert one.get_now(b"k") is not None
