"""The store of plugins that survives restarts, in real files and between real processes."""

# ruff: noqa: ASYNC220, ASYNC240
from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from pingap import DurableStore, StoreError
from pingap.plugins import state_directory as places
from pingap.testing import Clock

pytestmark = pytest.mark.anyio

COUNT = """
import sys
from pathlib import Path
import anyio
from pingap import DurableStore

async def main():
    store = DurableStore(Path(sys.argv[1]))
    for number in range(20):
        await store.set(f"{sys.argv[2]}/{number}", sys.argv[2].encode())
    store.close()

anyio.run(main)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store"


async def test_values_survive(folder: Path) -> None:
    store = DurableStore(folder)
    assert await store.get("a") is None
    await store.set("a", b"\0\xff")
    await store.set("a", b"2")
    await store.set("empty", b"")
    store.close()
    again = DurableStore(folder)
    assert (await again.get("a"), await again.get("empty")) == (b"2", b"")
    await again.delete("a")
    await again.delete("nothing")
    assert await again.get("a") is None
    again.close()
    assert await again.get("empty") == b""  # it opens by itself
    again.close()


async def test_keys_by_prefix(folder: Path) -> None:
    store = DurableStore(folder)
    names = ["", "a", "a/", "a/1", "a/\U0010ffff", "b", "\udcff"]
    for key in names[1:]:
        await store.set(key, b"")
    assert await store.keys() == sorted(
        names[1:], key=lambda key: key.encode("utf-8", "surrogatepass")
    )
    assert await store.keys("a/") == ["a/", "a/1", "a/\U0010ffff"]
    assert await store.keys("c") == []
    store.close()


async def test_values_expire_and_make_room(folder: Path) -> None:
    store = DurableStore(folder)
    with Clock() as clock:
        await store.set("a", b"1", seconds=100)
        await store.set("b", b"2")
        clock.advance(99)
        assert (await store.get("a"), await store.keys()) == (b"1", ["a", "b"])
        clock.advance(2)
        assert (await store.get("a"), await store.keys()) == (None, ["b"])
        await store.set("c", b"3")
    assert store._database is not None
    assert store._database.execute("SELECT count(*) FROM entries").fetchone() == (2,)
    store.close()


async def test_nobody_else_can_read_it(folder: Path) -> None:
    before = os.umask(0)
    try:
        store = DurableStore(folder)
        await store.set("a", b"secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) == 3
    store.close()


async def test_it_is_made_when_it_is_used(folder: Path) -> None:
    store = DurableStore(folder)
    store.close()
    assert not folder.exists()


async def fill(store: DurableStore) -> None:
    for number in range(100):
        await store.set(f"{number}", bytes(10_000))


async def test_it_is_bounded(folder: Path) -> None:
    store = DurableStore(folder, limit=256 * 1024)
    with pytest.raises(StoreError, match=r"plugins\.sqlite3: the plugin store is full"):
        await fill(store)
    assert 15 <= len(await store.keys()) <= 26
    assert await store.get("0") == bytes(10_000)
    await store.delete("0")
    await store.delete("1")
    await store.set("new", bytes(10_000))
    store.close()


@pytest.mark.parametrize("key", ["", "x" * 513, "\u00fc" * 257])
async def test_keys_that_there_cannot_be(folder: Path, key: str) -> None:
    with pytest.raises(ValueError, match="a key has 1 to 512 bytes"):
        await DurableStore(folder).set(key, b"")


async def test_only_bytes_are_kept(folder: Path) -> None:
    with pytest.raises(TypeError, match="keeps bytes, not str"):
        await DurableStore(folder).set("a", "text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected a positive number"):
        await DurableStore(folder).set("a", b"", seconds=0)


async def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = DurableStore(tmp_path / "file" / "store")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"cannot be created: .*set PINGAP_STATE_DIR"):
            await store.get("a")


async def test_a_directory_that_others_may_use(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    with pytest.raises(StoreError, match="open to other users"):
        await DurableStore(folder).get("a")
    folder.rmdir()
    folder.symlink_to("/tmp")
    with pytest.raises(StoreError, match="is not a directory"):
        await DurableStore(folder).get("a")


async def test_a_damaged_file(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / "plugins.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="is damaged"):
        await DurableStore(folder).get("a")


@pytest.mark.parametrize("parts", [("", "-wal", "-shm"), ("",)])
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_removed_while_it_is_open(
    folder: Path, caplog: pytest.LogCaptureFixture, parts: tuple[str, ...], replaced: bool
) -> None:
    """All processes go on with one file, whoever makes it."""
    first, second = DurableStore(folder), DurableStore(folder)
    await first.set("a", b"1")
    assert await second.get("a") == b"1"
    for part in parts:
        (folder / f"plugins.sqlite3{part}").unlink()
    later = DurableStore(folder)
    if replaced:
        await later.set("b", b"2")
    await first.set("c", b"3")
    await second.set("d", b"4")
    assert caplog.text.count("was removed or replaced while it was in use") == 2
    for store in (first, second, later):
        assert await store.get("d") == b"4"
        assert await store.get("c") == b"3"
        assert await store.get("b") == (b"2" if replaced else None)
    assert caplog.text.count("was removed or replaced while it was in use") == 2
    for store in (first, second, later):  # the last one to close a file removes what belongs to it
        store.close()
    again = DurableStore(folder)
    assert await again.get("d") == b"4"
    again.close()


async def test_closing_a_file_that_is_gone_harms_no_other(folder: Path) -> None:
    first = DurableStore(folder)
    await first.set("a", b"1")
    for path in folder.iterdir():
        path.unlink()
    later = DurableStore(folder)
    await later.set("b", b"2")
    first.close()
    third = DurableStore(folder)
    assert await third.get("b") == b"2"
    await third.set("c", b"3")
    assert await later.get("c") == b"3"
    later.close()
    third.close()


async def test_many_processes_begin_at_once(folder: Path) -> None:
    command = [sys.executable, "-c", COUNT, str(folder)]
    names = [f"worker{number}" for number in range(4)]
    running = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in names]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
    store = DurableStore(folder)
    assert len(await store.keys("worker")) == 80
    assert await store.get("worker3/19") == b"worker3"
    store.close()


async def test_a_caller_that_is_cancelled_harms_nobody(folder: Path) -> None:
    store = DurableStore(folder)
    for number in range(20):
        with anyio.move_on_after(0.001 * (number % 3)):
            await store.set("a", b"%d" % number)
    await store.set("a", b"last")
    assert await store.get("a") == b"last"
    store.close()


def test_where_state_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PINGAP_STATE_DIR", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert places.state_directory() == Path("/var/lib/pingap")
    owner = 12345678
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    monkeypatch.setenv("HOME", "/home/number")
    assert places.state_directory() == Path("/home/number/.local/state/pingap")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert places.state_directory() == Path("/home/number/.local/state/pingap")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert places.state_directory() == Path("/xdg/pingap")
    monkeypatch.setattr(places, "SYSTEM", tmp_path)
    owner = tmp_path.stat().st_uid
    assert places.state_directory() == tmp_path
    monkeypatch.setenv("STATE_DIRECTORY", "/run/one:/run/two")
    assert places.state_directory() == Path("/run/one")
    monkeypatch.setenv("PINGAP_STATE_DIR", "/mine")
    assert places.state_directory() == Path("/mine")


def test_its_directory_is_known_before_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGAP_STATE_DIR", str(tmp_path / "state"))
    assert DurableStore().directory == tmp_path / "state/store"
    assert DurableStore(tmp_path / "own").directory == tmp_path / "own"
    assert not (tmp_path / "state").exists()
