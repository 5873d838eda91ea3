"""A disk that is full, read-only, gone or slow: misses, one warning, and no exception."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from pingap_cache.stores import database
from pingap_cache.stores.disk import DiskStore
from pingap_cache.stores.interface import CHUNK
from pingap_cache.stores.memory import MemoryStore
from pingap_cache.stores.tiered import TieredStore
from store_tools import found, put, start_python

pytestmark = pytest.mark.anyio
BIG = os.urandom(3 * CHUNK)


async def test_a_folder_that_is_removed_while_it_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = DiskStore(tmp_path / "cache")
    await put(store, b"k", BIG)
    for _ in range(3):
        shutil.rmtree(store.path)
        assert await store.get(b"k") is None
        assert await put(store, b"k", BIG)
        assert await found(store, b"k") == (b"head", BIG, False)
    assert len(caplog.records) == 1
    assert "removed or replaced" in caplog.text
    await store.aclose()


async def test_a_removal_that_fails_removes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    store = TieredStore(MemoryStore(2**24), DiskStore(tmp_path / "cache"))
    await put(store, b"j", BIG)
    other_worker = TieredStore(MemoryStore(2**24), DiskStore(tmp_path / "cache"))
    for action in (store.remove(b"k"), store.purge(prefix="http://a/"), store.purge(tag="t")):
        assert await put(store, b"k", b"x", url="http://a/", tags=["t"])
        assert await put(store, b"l", BIG)
        await other_worker.get(b"k")
        assert await found(other_worker, b"k") is not None
        locked = sqlite3.connect(tmp_path / "cache" / "cache.db", isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        await action
        for worker in (store, other_worker):
            for key in (b"k", b"l"):
                assert worker.get_now(key) is None
                assert await worker.get(key) is None
        assert not list(store.disk.path.rglob("*.body"))
        locked.close()
    assert "everything is removed" in caplog.text
    await store.aclose()
    await other_worker.aclose()


async def test_files_that_are_removed_while_they_are_written(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "cache")
    await put(store, b"l", b"x")
    writer = store.write(b"k", b"", keep=100)
    await writer.write(BIG)
    shutil.rmtree(store.path)
    await writer.write(BIG)
    await writer.commit()
    assert await store.get(b"k") is None
    assert await put(store, b"k", BIG)
    await store.aclose()


async def test_a_folder_that_cannot_be_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    disk = DiskStore(tmp_path / "file" / "cache")
    store = TieredStore(MemoryStore(2**24), disk)
    for _ in range(20):
        assert not await put(store, b"k", BIG)
        assert not await put(store, b"k", b"small")
        assert await store.get(b"k") is None
        assert store.get_now(b"k") is None
    assert not await store.remove(b"k")
    assert await store.purge() == 0
    assert await store.entries() == []
    await disk.tend()
    assert len(caplog.records) == 1
    assert "Not a directory" in caplog.text
    assert store.figures().failures > 20
    await store.aclose()


_READ_ONLY = """
import asyncio, os, shutil
from pathlib import Path
from pingap_cache.stores.disk import DiskStore
from store_tools import found, put

async def main():
    folder = Path(sys.argv[1])
    store = DiskStore(folder)
    assert await put(store, b"k", b"small")
    assert await put(store, b"l", b"x" * 200_000)
    if sys.argv[2] == "start":
        await store.aclose()
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if not os.getuid():  # whom no mode holds back
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    if sys.argv[2] == "start":
        store = DiskStore(folder)
    for _ in range(3):
        got = [await found(store, key) for key in (b"k", b"l", b"m")]
        assert got[0] in (None, (b"head", b"small", False)), got
        assert got[1] in (None, (b"head", b"x" * 200_000, False)), got
        assert not await put(store, b"m", b"x" * 200_000)
        await put(store, b"n", b"x")
        await store.remove(b"n")
        await store.purge(prefix="none")
        await store.tend()
    assert store.figures().failures
    await store.aclose()
    print("ok", flush=True)

import logging
logging.basicConfig(stream=sys.stdout)
asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["running", "start"])
async def test_a_folder_that_is_read_only(when: str) -> None:
    folder = Path(f"/tmp/pingap-cache-test-{os.getpid()}-{when}")  # (others may enter /tmp)
    try:
        output, _ = start_python(_READ_ONLY, folder, when).communicate()
        *warnings, last = output.strip().splitlines()
        assert last == "ok"
        assert 1 <= len(set(warnings)) <= 3
        assert len(set(warnings)) == len(warnings), warnings
    finally:
        shutil.rmtree(folder)


_FULL = """
import asyncio, resource, signal
from pathlib import Path
from pingap_cache.stores.disk import DiskStore
from store_tools import found, put

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = DiskStore(Path(sys.argv[1]))
    assert await put(store, b"k", b"small")
    assert await put(store, b"l", b"x" * 200_000)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
    for _ in range(30):
        assert not await put(store, b"m", b"x" * 2_000_000)
        await put(store, b"n", b"x" * 60_000)
        assert await store.get(b"m") is None
        missing = [None] if sys.argv[2] == "1" else []  # (the database itself cannot be opened)
        assert await found(store, b"k") in [*missing, (b"head", b"small", False)]
        assert await found(store, b"l") in [*missing, (b"head", b"x" * 200_000, False)]
        assert await found(store, b"n") in (None, (b"head", b"x" * 60_000, False))
    await store.tend()
    assert store.figures().failures
    if len(sys.argv) > 3:  # what is removed is gone, though the database cannot be written
        await (store.remove(b"k") if sys.argv[3] == "remove" else store.purge())
        assert await store.get(b"k") is None
        assert sys.argv[3] == "remove" or await store.get(b"l") is None
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert await put(store, b"m", b"x" * 2_000_000)
    assert await found(store, b"m") == (b"head", b"x" * 2_000_000, False)
    assert len(list(store.path.rglob("*.body"))) == 2 or len(sys.argv) > 3
    await store.aclose()
    print("ok", flush=True)

import logging
logging.basicConfig(stream=sys.stdout)
asyncio.run(main())
"""


@pytest.mark.parametrize("removal", ["remove", "purge"])
async def test_what_is_removed_from_a_full_disk_is_gone(tmp_path: Path, removal: str) -> None:
    output, _ = start_python(_FULL, tmp_path / "cache", 300_000, removal).communicate()
    assert output.strip().splitlines()[-1] == "ok"


@pytest.mark.parametrize("limit", [1, 1_000_000])
async def test_a_disk_that_is_full(tmp_path: Path, limit: int) -> None:
    """No file may grow: what the kernel says is another word, what happens is the same."""
    output, _ = start_python(_FULL, tmp_path / "cache", limit).communicate()
    *warnings, last = output.strip().splitlines()
    assert last == "ok"
    assert len(set(warnings)) == len(warnings) <= 3, warnings


async def test_a_database_that_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    store = DiskStore(tmp_path / "cache")
    assert await put(store, b"k", b"x")
    other = sqlite3.connect(store.path / "cache.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert not await put(store, b"l", b"x")
    assert await found(store, b"k") == (b"head", b"x", False)
    assert "keeps the database locked" in caplog.text
    other.execute("ROLLBACK")
    other.close()
    assert await put(store, b"l", b"x")
    await store.aclose()


@pytest.mark.timeout(120)
async def test_nothing_holds_up_the_event_loop(tmp_path: Path) -> None:
    """While everything is busy, a task that wants to run every millisecond does.

    What a call does in the event loop is measured as processor time of this thread, so that others on
    the machine do not count.
    """
    store = TieredStore(MemoryStore(2**23), DiskStore(tmp_path / "cache", size_limit=2**24))
    slices: list[float] = []
    over = threading.Event()

    async def watch() -> None:
        while not over.is_set():
            began = time.thread_time()
            await anyio.lowlevel.checkpoint()
            slices.append(time.thread_time() - began)

    async def work(task: int) -> None:
        for number in range(40):
            key = b"%d-%d" % (task, number % 7)
            size = (100, 60_000, 900_000)[number % 3]
            await put(store, key, bytes([number]) * size, url=f"http://{task}/{number}", tags=["t"])
            await found(store, key)
            if number % 10 == 9:
                await store.purge(tag="t", soft=bool(number % 20 == 9))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        async with anyio.create_task_group() as workers:
            for task in range(4):
                workers.start_soon(work, task)
        over.set()
    await store.aclose()
    slices.sort()
    assert len(slices) > 200
    assert slices[-1] < 0.05
    assert slices[int(len(slices) * 0.99)] < 0.01
