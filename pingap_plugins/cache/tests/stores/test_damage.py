"""Damage at any place of a folder: what is found is what was stored, or nothing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pingap_cache.stores.disk import DiskStore
from pingap_cache.stores.interface import EntryGone
from store_tools import found, put

SIZES = (0, 10, 3000, 65_000, 70_000, 200_000)
WANTED = {b"key-%d" % size: (b"head-%d" % size, bytes([size % 251]) * size) for size in SIZES}


async def _fill(folder: Path) -> None:
    store = DiskStore(folder)
    for number, (key, (head, body)) in enumerate(WANTED.items()):
        labels = {"url": f"http://host/{number}", "tags": ["all", str(number)]}
        assert await put(store, key, body, head=head, **labels)
    await store.aclose()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "cache"
    asyncio.run(_fill(folder))
    return folder


async def _check(store: DiskStore) -> int:
    """Look at all entries; return how many are there."""
    count = 0
    for key, wanted in WANTED.items():
        try:
            got = await found(store, key)
        except EntryGone:
            got = None
            assert await store.get(key) is None
        assert got is None or got[:2] == wanted
        count += got is not None
    return count


async def _use(folder: Path) -> None:
    store = DiskStore(folder)
    await _check(store)
    await store.entries()
    await store.purge(tag="1", soft=True)
    await store.tend()
    await _check(store)
    await store.purge(tag="all")
    await store.purge()
    await store.tend()
    assert await _check(store) == 0
    await put(store, b"notices", b"what is damaged by now")
    for key, (head, body) in WANTED.items():
        assert await put(store, key, body, head=head)
    assert await _check(store) == len(WANTED)
    await store.aclose()


@pytest.mark.timeout(300)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_damage_at_any_place(whole: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "cache"
        shutil.copytree(whole, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
        path = data.draw(st.sampled_from([folder / "cache.db", *files]))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(content) - 1))
            length = data.draw(st.sampled_from([1, 1, 4, 100, 5000]))
            content[place : place + length] = data.draw(st.binary(min_size=1, max_size=1)) * min(
                length, len(content) - place
            )
        path.write_bytes(content)
        asyncio.run(_use(folder))


@pytest.mark.parametrize(
    ("place", "what"),
    [(16, b"\0"), (18, b"\5"), (19, b"\5"), (44, b"\5"), (25, b"\5" * 100), (0, b"\0" * 100)],
    ids=["page size", "write version", "read version", "schema format", "most", "all"],
)
def test_damage_in_the_header_of_the_database(
    whole: Path, tmp_path: Path, place: int, what: bytes
) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(whole, folder)
    with (folder / "cache.db").open("r+b") as file:
        file.seek(place)
        file.write(what)
    asyncio.run(_use(folder))


@pytest.mark.anyio
async def test_damage_where_the_database_counts_its_rows(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    assert await put(store, b"key", b"body")
    overwrite_table(tmp_path / "cache.db", "Settings")
    assert await found(store, b"key") is None
    assert await put(store, b"key", b"body")
    assert await found(store, b"key") == (b"head", b"body", False)
    await store.aclose()


def overwrite_table(path: Path, name: str) -> None:
    """Overwrite the first page of a table."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page_size,),) = database.execute("PRAGMA page_size")
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        ((page,),) = database.execute(query, (name,))
    with path.open("r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(b"\xff" * page_size)
