"""The disk store: what is shared, what is removed, what is damaged."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from pingap_cache.stores.disk import CHECKED_FIRST, DiskStore
from pingap_cache.stores.interface import CHUNK, EntryGone
from pingap_cache.stores.trouble import EVERY_SECONDS, Trouble
from store_tools import body_of, found, line, put, start_python

pytestmark = pytest.mark.anyio
BIG = os.urandom(5 * CHUNK + 17)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    store = DiskStore(tmp_path / "cache")
    yield store
    await store.aclose()


def bodies(store: DiskStore) -> list[Path]:
    return sorted(store.path.rglob("*.body"))


async def test_it_survives_a_restart(store: DiskStore) -> None:
    await put(store, b"k", b"small", head=b"one")
    await put(store, b"l", BIG, head=b"two")
    await store.aclose()
    again = DiskStore(store.path)
    assert await found(again, b"k") == (b"one", b"small", False)
    assert await found(again, b"l") == (b"two", BIG, False)
    await again.aclose()


async def test_large_bodies_are_read_in_chunks(store: DiskStore) -> None:
    await put(store, b"k", BIG)
    entry = await store.get(b"k")
    assert entry is not None
    assert entry.body is None
    chunks = [chunk async for chunk in store.read(b"k", entry, 0, entry.size)]
    assert max(map(len, chunks)) == CHUNK
    assert b"".join(chunks) == BIG


async def test_nothing_is_left_of_what_was_replaced_removed_or_discarded(
    store: DiskStore,
) -> None:
    await put(store, b"k", BIG)
    await put(store, b"k", BIG)
    assert len(bodies(store)) == 1
    await put(store, b"k", b"small")
    assert bodies(store) == []
    await put(store, b"k", BIG)
    await store.remove(b"k")
    assert bodies(store) == []
    writer = store.write(b"k", b"", keep=10)
    await writer.write(BIG)
    assert len(bodies(store)) == 1
    writer.discard()
    await store.get(b"k")
    await store.remove(b"k")  # (after all that was begun before)
    assert bodies(store) == []
    assert store.figures().writing == 0


async def test_an_entry_that_was_replaced_can_be_read_to_its_end(store: DiskStore) -> None:
    await put(store, b"k", BIG)
    entry = await store.get(b"k")
    assert entry is not None
    reading = store.read(b"k", entry, 0, entry.size)
    read = await anext(reading)
    await put(store, b"k", b"another")
    async for chunk in reading:
        read += chunk
    assert read == BIG
    with pytest.raises(EntryGone):
        await body_of(store, b"k", entry)


async def test_after_it_was_closed_nothing_is_found_or_stored(store: DiskStore) -> None:
    await put(store, b"k", BIG)
    entry = await store.get(b"k")
    assert entry is not None
    writer = store.write(b"l", b"", keep=10)
    await writer.write(BIG)
    await store.aclose()
    assert await store.get(b"k") is None
    with pytest.raises(EntryGone):
        await body_of(store, b"k", entry)
    assert not await writer.commit()
    assert not await put(store, b"l", BIG)
    assert not await store.remove(b"k")
    assert await store.purge() == 0
    assert len(bodies(store)) == 1
    await store.aclose()


async def test_levels(tmp_path: Path) -> None:
    for levels, depth in (((), 0), ((1,), 1), ((1, 2), 2)):
        store = DiskStore(tmp_path / str(depth), levels=levels)
        await put(store, b"k", BIG)
        (path,) = bodies(store)
        parts = path.relative_to(store.path).parts
        assert tuple(map(len, parts[:-1])) == levels
        await store.aclose()


async def test_the_size_limit_holds_and_the_oldest_goes_first(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "cache", size_limit=4 * 2**20)
    for number in range(40):
        await put(store, b"%d" % number, os.urandom(300_000))
        assert store.figures().bytes <= 4 * 2**20
    there = [number for number in range(40) if await store.get(b"%d" % number) is not None]
    assert there == list(range(there[0], 40))
    assert store.figures().evictions == 40 - len(there)
    assert sum(path.stat().st_size for path in bodies(store)) == 300_000 * len(there)
    await store.aclose()


async def test_what_nobody_asks_for_is_removed(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "cache", inactive=3600)
    for key in (b"used", b"unused"):
        await put(store, key, BIG)
    with sqlite3.connect(store.path / "cache.db") as database:
        database.execute("UPDATE Cache SET access_time = access_time - 3000")
    database.close()
    assert await store.get(b"used") is not None
    store._upkeep._touched -= 3600  # as if an hour had passed
    await store.tend()
    with sqlite3.connect(store.path / "cache.db") as database:
        database.execute("UPDATE Cache SET access_time = access_time - 1000")
    database.close()
    await store.tend()
    assert await store.get(b"used") is not None
    assert await store.get(b"unused") is None
    assert len(bodies(store)) == 1
    await store.aclose()


async def test_what_is_over_is_not_found_and_removed(store: DiskStore) -> None:
    await put(store, b"k", BIG, keep=0.0)
    await put(store, b"l", BIG, keep=float("inf"))
    assert await store.get(b"k") is None
    assert not await store.remove(b"k")
    await put(store, b"k", BIG, keep=0.0)
    await store.tend()
    assert len(bodies(store)) == 1
    assert store.figures().corrupt == 0


async def test_limits_of_reading_and_writing(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "cache", reading_max=1, writing_max=1)
    await put(store, b"k", b"x")
    results = []

    async def get() -> None:
        results.append(await store.get(b"k"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(get)
    assert [one is None for one in results].count(False) == 1
    first = store.write(b"1", b"", keep=10)
    assert not await put(store, b"2")
    assert await first.commit()
    assert await put(store, b"2")
    await store.aclose()


async def test_small_bodies_have_no_file_and_files_need_no_row_twice(store: DiskStore) -> None:
    await put(store, b"k", b"x" * CHUNK)
    assert bodies(store) == []
    await put(store, b"k", b"x" * (CHUNK + 1))
    assert len(bodies(store)) == 1


# Damage


@pytest.mark.parametrize("place", [0, CHUNK, 3 * CHUNK + 5, len(BIG) - 1])
async def test_a_damaged_file_is_a_miss(
    store: DiskStore, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    await put(store, b"k", BIG)
    (path,) = bodies(store)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([BIG[place] ^ 1]))
    entry = await store.get(b"k")
    assert entry is not None
    with pytest.raises(EntryGone):
        await anext(store.read(b"k", entry, 0, entry.size))  # before the first chunk
    assert await store.get(b"k") is None
    assert store.figures().corrupt == 1
    await store.tend()
    assert bodies(store) == []
    assert "a damaged entry was removed" in caplog.text


@pytest.mark.parametrize("change", ["cut", "longer", "empty", "gone"])
async def test_a_file_of_another_length_is_a_miss(store: DiskStore, change: str) -> None:
    await put(store, b"k", BIG)
    (path,) = bodies(store)
    if change == "gone":
        path.unlink()
    else:
        length = {"cut": len(BIG) - 1, "longer": len(BIG) + 1, "empty": 0}[change]
        os.truncate(path, length)
    assert await store.get(b"k") is None
    assert store.figures().corrupt == 1
    assert await put(store, b"k", BIG)
    assert await found(store, b"k") == (b"head", BIG, False)


async def test_damage_in_a_file_that_is_being_read_ends_the_reading(store: DiskStore) -> None:
    body = os.urandom(20 * CHUNK)
    await put(store, b"k", body)
    (path,) = bodies(store)
    entry = await store.get(b"k")
    assert entry is not None
    reading = store.read(b"k", entry, 0, entry.size)
    read = bytearray(await anext(reading))
    damage(path)
    with pytest.raises(EntryGone):
        await _rest(reading, read)
    assert 0 < len(read) < len(body)
    assert body.startswith(read)
    assert await store.get(b"k") is None


async def _rest(reading: AsyncIterator[bytes], read: bytearray) -> None:
    async for chunk in reading:
        read += chunk


def damage(path: Path) -> None:
    """Change the last byte of a file."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))


async def test_an_entry_that_is_evicted_before_its_body_is_read(
    store: DiskStore, caplog: pytest.LogCaptureFixture
) -> None:
    """By another worker, say: that is no damage."""
    for replaced in (False, True):
        await put(store, b"k", BIG)
        entry = await store.get(b"k")
        assert entry is not None
        await store.remove(b"k")
        if replaced:
            await put(store, b"k", BIG[::-1])
        with pytest.raises(EntryGone):
            await body_of(store, b"k", entry)
    assert await found(store, b"k") == (b"head", BIG[::-1], False)
    assert store.figures().corrupt == 0
    assert caplog.records == []


@pytest.mark.parametrize("size", [20 * CHUNK, CHECKED_FIRST + CHUNK])
@pytest.mark.parametrize("was_read", [False, True])
async def test_damage_to_a_file_that_was_whole_is_a_miss(
    store: DiskStore, size: int, was_read: bool
) -> None:
    """Not even its first byte is read, although the last one is damaged."""
    body = os.urandom(size)
    await put(store, b"k", body)
    if was_read:
        assert await found(store, b"k") == (b"head", body, False)
    (path,) = bodies(store)
    before = path.stat().st_mtime_ns
    damage(path)
    os.utime(path, ns=(before, before + 1))  # (both may be in one tick of the clock of the system)
    entry = await store.get(b"k")
    assert entry is not None
    with pytest.raises(EntryGone):
        await anext(store.read(b"k", entry, 0, entry.size))
    assert await store.get(b"k") is None
    assert store.figures().corrupt == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE Cache SET value = zeroblob(100)",
        "UPDATE Cache SET value = 'text'",
        "UPDATE Cache SET value = 5",
        "UPDATE Cache SET value = NULL",
        "UPDATE Cache SET value = substr(value, 1, length(value) - 1)",
        "UPDATE Cache SET mode = 4",
        "UPDATE Cache SET mode = 'x'",
        "UPDATE Cache SET filename = '../../x.body'",
        "UPDATE Cache SET filename = '0123.body'",
        "UPDATE Cache SET filename = x'ff'",
        "UPDATE Cache SET filename = cast(x'ff' AS TEXT)",
        "UPDATE Cache SET key = x'6c'",
        "UPDATE Cache SET expire_time = 'x'",
    ],
)
async def test_a_damaged_row_is_a_miss(store: DiskStore, statement: str) -> None:
    await put(store, b"k", b"body")
    with sqlite3.connect(store.path / "cache.db") as database:
        database.execute(statement)
    database.close()
    key = b"l" if "SET key" in statement else b"k"
    assert await store.get(key) is None
    assert await store.get(key) is None
    assert store.figures().corrupt == 1
    assert await put(store, key, b"new")
    assert await found(store, key) == (b"head", b"new", False)


@pytest.mark.parametrize("damage", ["no database", "empty", "header", "settings", "pages"])
async def test_a_damaged_database_begins_anew(
    store: DiskStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(50):
        await put(store, b"%d" % number, b"x" * 1000)
    await put(store, b"k", BIG)
    await store.aclose()
    path = store.path / "cache.db"
    content = bytearray(path.read_bytes())
    if damage == "no database":
        path.write_bytes(b"not a database" * 1000)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "header":
        path.write_bytes(b"\xff" * 100 + content[100:])
    elif damage == "pages":
        path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    else:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE Settings SET value = 'x' WHERE key = 'sqlite_cache_size'")
            database.execute("INSERT INTO Settings VALUES ('eviction_policy2', x'ff')")
            database.execute("DELETE FROM Settings WHERE key = 'size'")
        database.close()
    again = DiskStore(store.path)
    assert await again.get(b"k") is None or damage == "settings"
    await put(again, b"k", b"may fail")  # (it is noticed by now)
    assert await put(again, b"l", BIG)
    assert await found(again, b"l") == (b"head", BIG, False)
    await again.tend()
    assert len(bodies(again)) == 1
    await again.aclose()


# Processes

_WRITES = """
import asyncio, os
from pathlib import Path
from pingap_cache.stores.disk import DiskStore
from store_tools import put

async def main():
    store = DiskStore(Path(sys.argv[1]))
    await put(store, b"before", b"x" * 200_000)
    writer = store.write(b"k", b"head", keep=1000)
    await writer.write(b"x" * 200_000)
    print("writing", flush=True)
    sys.stdin.readline()
    print(await writer.commit(), flush=True)
    sys.stdin.readline()
    await store.aclose()

asyncio.run(main())
"""


async def test_a_killed_writer_leaves_nothing_behind(store: DiskStore) -> None:
    process = start_python(_WRITES, store.path)
    assert line(process) == "writing"
    assert len(bodies(store)) == 2
    await store.tend()
    assert len(bodies(store)) == 2  # of a process that lives
    process.kill()
    process.communicate()
    assert await store.get(b"k") is None
    assert await found(store, b"before") == (b"head", b"x" * 200_000, False)
    store._folder.scan_due = True  # as after a start, and every hour
    await store.tend()
    assert len(bodies(store)) == 1
    assert await put(store, b"k", BIG)


async def test_two_processes_share_a_folder(store: DiskStore) -> None:
    process = start_python(_WRITES, store.path)
    assert line(process) == "writing"
    assert await store.get(b"k") is None
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert line(process) == "True"
    assert await found(store, b"k") == (b"head", b"x" * 200_000, False)
    assert await store.purge(prefix="") == 2
    process.communicate("\n")
    assert process.returncode == 0


async def test_a_purge_in_one_process_holds_for_a_writer_in_another(store: DiskStore) -> None:
    process = start_python(_WRITES, store.path)
    assert line(process) == "writing"
    assert await store.purge() == 1
    output, _ = process.communicate("\n\n")
    assert output.strip() == "False"
    assert await store.get(b"k") is None
    assert bodies(store) == []


_WRITES_ON = """
import asyncio
from pathlib import Path
from pingap_cache.stores.disk import DiskStore

async def main():
    store = DiskStore(Path(sys.argv[1]), size_limit=3_000_000)
    number = 0
    while True:
        number += 1
        key, body = b"%d" % (number % 20), bytes([number % 251]) * 50_000
        writer = store.write(key, b"head", keep=1000.0)
        for _ in range((1, 2, 6)[number % 3]):
            print("a step", flush=True)
            await writer.write(body)
        print("a step", flush=True)
        await writer.commit()
        if not number % 7:
            print("a step", flush=True)
            await store.remove(key)

asyncio.run(main())
"""


@pytest.mark.timeout(120)
async def test_killed_at_any_time_there_is_never_a_wrong_answer(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for turn in range(6):
        processes = [start_python(_WRITES_ON, folder) for _ in range(2)]
        for number, process in enumerate(processes):
            for _ in range(60 + 7 * turn + 3 * number):  # each time, another step is the last one
                assert line(process) == "a step"
            process.kill()
        for process in processes:
            process.communicate()
        store = DiskStore(folder)
        seen = 0
        for number in range(20):
            got = await found(store, b"%d" % number)
            if got is not None:
                seen += 1
                assert got[1] == got[1][:1] * len(got[1])
                assert len(got[1]) in (50_000, 100_000, 300_000)
        await store.tend()
        await store.tend()
        with sqlite3.connect(folder / "cache.db") as database:
            rows = database.execute("SELECT filename FROM Cache WHERE filename NOT NULL")
            named = {row[0] for row in rows}
        database.close()
        assert {str(path.relative_to(folder)) for path in bodies(store)} == named
        assert store.figures().failures == 0
        await store.aclose()
        assert seen


_FORKS = """
import asyncio, os
from pathlib import Path
from pingap_cache.stores.disk import DiskStore
from store_tools import found, put

store = DiskStore(Path(sys.argv[1]))
if sys.argv[2] == "used":
    asyncio.run(put(store, b"parent", b"x"))

async def main(name):
    assert await put(store, name, b"x" * 100_000)
    assert await found(store, name)
    await store.aclose()

children = []
for name in (b"one", b"two"):
    if not (child := os.fork()):
        asyncio.run(main(name))
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children], flush=True)
"""


@pytest.mark.parametrize("before", ["unused", "used"])
async def test_after_a_fork_each_process_opens_it_for_itself(store: DiskStore, before: str) -> None:
    process = start_python(_FORKS, store.path, before)
    assert process.communicate()[0].strip() == "[0, 0]"
    for key in (b"one", b"two"):
        assert await found(store, key) == (b"head", b"x" * 100_000, False)


# Speed


@pytest.mark.timeout(180)
async def test_the_time_of_a_look_up_does_not_grow(store: DiskStore) -> None:
    times = []
    written = 0
    for count in (100, 3000):
        while written < count:
            await put(store, b"%d" % written, b"x", url=f"http://host/{written}")
            written += 1
        best = 1.0
        for _ in range(50):
            began = time.perf_counter()
            for number in range(0, 100, 10):
                store._folder.look_up(b"%d" % number)
            best = min(best, (time.perf_counter() - began) / 10)
        times.append(best)
    store._folder.close_mine()
    assert times[1] < 2 * times[0]


def test_a_warning_is_said_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    del tmp_path
    trouble = Trouble("/x")
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            trouble.failed("the disk is full")
    assert [record.getMessage() for record in caplog.records] == [
        "the cache in /x: the disk is full; it is not cached, or not found"
    ]
    assert trouble.failures == 100


def test_one_fault_is_one_warning_whatever_it_is_called(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble("/x")
    trouble.failed("No space left on device")
    trouble.failed("database or disk is full")
    trouble.found_corrupt("its checksum is wrong")
    trouble.warn("everything is removed", kind="emptied")  # (which is no fault, but what was done)
    assert (trouble.failures, trouble.corrupt, len(caplog.records)) == (2, 1, 2)
    later = time.monotonic() + EVERY_SECONDS
    monkeypatch.setattr("pingap_cache.stores.trouble.time.monotonic", lambda: later)
    trouble.failed("database or disk is full")
    assert (
        caplog.records[-1]
        .getMessage()
        .endswith("(2 such warnings were left out since the last one)")
    )
