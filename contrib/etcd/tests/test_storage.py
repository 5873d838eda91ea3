"""Reading, writing, watching and locking with a real etcd."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import anyio
import pytest
from etcd_server import Etcd, free_port, needs_etcd
from pingap_etcd import session, watching
from pingap_etcd.location import parse_location
from pingap_etcd.storage import EtcdStorage

from pingap import ConfigSnapshot, StorageConflict, StorageError

pytestmark = needs_etcd


def storage_of(etcd: Etcd, prefix: str, query: str = "") -> EtcdStorage:
    return EtcdStorage(parse_location(f"etcd://{etcd.hosts}{prefix}?{query}"))


def read(storage: EtcdStorage) -> ConfigSnapshot:
    return anyio.run(storage.read)


def write(storage: EtcdStorage, documents: dict[str, str | None], expected: str) -> str:
    return anyio.run(partial(storage.write, documents, expected=expected))


def test_all_keys_are_read_in_order(etcd: Etcd, prefix: str) -> None:
    etcd.put(f"{prefix}/servers/web.toml", "b")
    etcd.put(f"{prefix}/basic.toml", "a é")
    etcd.put(f"{prefix}-other/basic.toml", "not ours")
    assert read(storage_of(etcd, prefix)).files == (
        (f"{prefix}/basic.toml", "a é"),
        (f"{prefix}/servers/web.toml", "b"),
    )


def test_a_value_that_is_no_text_is_a_problem_of_its_key(etcd: Etcd, prefix: str) -> None:
    etcd.put(f"{prefix}/a.toml", b"[basic]\nname = '\xff'")
    (problem,) = read(storage_of(etcd, prefix)).problems
    assert str(problem) == f"{prefix}/a.toml:2: is not UTF-8 text"


def test_an_empty_prefix_is_an_error(etcd: Etcd, prefix: str) -> None:
    with pytest.raises(StorageError, match=f"there is no key below {prefix}/"):
        read(storage_of(etcd, prefix))


def test_documents_are_written_together(etcd: Etcd, prefix: str) -> None:
    storage = storage_of(etcd, prefix)
    etcd.put(f"{prefix}/a.toml", "1")
    etcd.put(f"{prefix}/b.toml", "1")
    before = read(storage)
    changes = {f"{prefix}/a.toml": "2", f"{prefix}/b.toml": None, "locations/c.toml": "3"}
    version = write(storage, changes, before.version)
    assert etcd.get(f"{prefix}/") == {f"{prefix}/a.toml": "2", f"{prefix}/locations/c.toml": "3"}
    assert read(storage).version == version
    assert etcd.get(f"{prefix}-history") == {}
    write(storage, {"d.toml": "4"}, version)


def test_previous_texts_are_kept_with_history(etcd: Etcd, prefix: str) -> None:
    storage = storage_of(etcd, prefix, "enable_history")
    etcd.put(f"{prefix}/servers/a.toml", "1")
    revision = etcd.revision
    version = write(storage, {"servers/a.toml": "2", "b.toml": "new"}, read(storage).version)
    write(storage, {"servers/a.toml": None}, version)
    found = etcd.get(f"{prefix}-history/")
    assert list(found.values()) == ["1", "2"]
    first, second = found
    assert first.startswith(f"{prefix}-history/servers/a.toml/{revision}-1")
    later = int(second.removeprefix(f"{prefix}-history/servers/a.toml/").partition("-")[0])
    assert later > revision


def test_a_write_that_is_based_on_old_texts_is_a_conflict(etcd: Etcd, prefix: str) -> None:
    storage = storage_of(etcd, prefix)
    etcd.put(f"{prefix}/a.toml", "1")
    old = read(storage).version
    etcd.put(f"{prefix}/b.toml", "1")
    with pytest.raises(StorageConflict):
        write(storage, {"a.toml": "2"}, old)
    assert etcd.get(f"{prefix}/a") == {f"{prefix}/a.toml": "1"}


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(lambda etcd, prefix: etcd.put(f"{prefix}/b.toml", "2"), id="put"),
        pytest.param(lambda etcd, prefix: etcd.ctl("del", f"{prefix}/a.toml"), id="del"),
        pytest.param(
            lambda etcd, prefix: write(
                second := storage_of(etcd, prefix), {"b.toml": None}, read(second).version
            ),
            id="del of another",
        ),
    ],
)
def test_a_change_between_reading_and_writing_is_a_conflict(
    etcd: Etcd,
    prefix: str,
    meanwhile: Callable[[Etcd, str], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = storage_of(etcd, prefix)
    etcd.put(f"{prefix}/a.toml", "1")
    etcd.put(f"{prefix}/b.toml", "1")
    version, commit = read(storage).version, storage._commit

    async def late(*arguments: object) -> None:
        await anyio.to_thread.run_sync(meanwhile, etcd, prefix)
        await commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(storage, "_commit", late)
    with pytest.raises(StorageConflict):
        write(storage, {"a.toml": "mine"}, version)
    assert "mine" not in etcd.get(f"{prefix}/").values()


def test_of_many_writers_one_wins(etcd: Etcd, prefix: str) -> None:
    etcd.put(f"{prefix}/a.toml", "0")
    results: list[str] = []

    async def one(number: int, version: str) -> None:
        try:
            await storage_of(etcd, prefix).write({f"{number}.toml": "x"}, expected=version)
            results.append("written")
        except StorageConflict:
            results.append("conflict")

    async def all_of_them() -> None:
        version = (await storage_of(etcd, prefix).read()).version
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(one, number, version)

    anyio.run(all_of_them)
    assert sorted(results) == ["conflict"] * 7 + ["written"]


@pytest.mark.parametrize("name", ["", "a//b", "../x", "a\0", "a/"])
def test_names_that_cannot_be_keys(etcd: Etcd, prefix: str, name: str) -> None:
    etcd.put(f"{prefix}/a.toml", "1")
    storage = storage_of(etcd, prefix)
    with pytest.raises(StorageError, match="cannot be the name of a document"):
        write(storage, {name: "1"}, read(storage).version)


def test_what_does_not_exist_cannot_be_removed(etcd: Etcd, prefix: str) -> None:
    etcd.put(f"{prefix}/a.toml", "1")
    storage = storage_of(etcd, prefix)
    with pytest.raises(StorageError, match=r"b.toml cannot be removed: it does not exist"):
        write(storage, {"b.toml": None}, read(storage).version)


def test_too_many_changes_at_once_are_refused_by_etcd(etcd: Etcd, prefix: str) -> None:
    etcd.put(f"{prefix}/a.toml", "1")
    storage = storage_of(etcd, prefix)
    documents: dict[str, str | None] = {f"{number}.toml": "" for number in range(200)}
    with pytest.raises(StorageError, match=r"at most 128 keys .*--max-txn-ops"):
        write(storage, documents, read(storage).version)


# Watching.


class Watched:
    """Counts the items of a watch."""

    def __init__(self, storage: EtcdStorage) -> None:
        self.storage = storage
        self.items = 0

    async def run(self) -> None:
        async for _ in self.storage.watch():
            self.items += 1

    async def reaches(self, count: int) -> None:
        with anyio.fail_after(10):
            while self.items < count:  # noqa: ASYNC110
                await anyio.sleep(0.01)


def watching_with(storage: EtcdStorage, script: Callable[[Watched], object]) -> Watched:
    """Watch while a script runs."""
    watched = Watched(storage)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watched.run)
            await watched.reaches(1)
            await script(watched)  # type: ignore[misc]
            tasks.cancel_scope.cancel()

    anyio.run(main)
    return watched


async def put(etcd: Etcd, key: str, text: str) -> None:
    await anyio.to_thread.run_sync(etcd.put, key, text)


def test_each_change_gives_an_item(etcd: Etcd, prefix: str) -> None:
    async def script(watched: Watched) -> None:
        await put(etcd, f"{prefix}-other", "x")
        await put(etcd, f"{prefix}/a.toml", "x")
        await watched.reaches(2)
        await anyio.to_thread.run_sync(etcd.ctl, "del", f"{prefix}/a.toml")
        await watched.reaches(3)

    assert watching_with(storage_of(etcd, prefix), script).items == 3


def test_silence_is_no_change_and_misses_none(
    etcd: Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SILENCE_SECONDS", 0.1)
    requests: list[object] = []
    stream = session.Session.stream

    def counted(self: session.Session, path: str, body: object, headers: object) -> object:
        requests.append(body)
        return stream(self, path, body, headers)  # type: ignore[arg-type]

    monkeypatch.setattr(session.Session, "stream", counted)

    async def script(watched: Watched) -> None:
        with anyio.fail_after(10):
            while len(requests) < 3:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert watched.items == 1
        await put(etcd, f"{prefix}/a.toml", "x")
        await watched.reaches(2)

    watching_with(storage_of(etcd, prefix), script)
    assert "start_revision" in str(requests[-1])


def test_a_compaction_leads_to_a_full_read(
    etcd: Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(etcd, prefix)
    watch = watching.Watch(storage._gateway, prefix)
    watch._revision = 1  # as after a long time without etcd
    for number in range(3):
        etcd.put(f"{prefix}/a.toml", str(number))
    etcd.ctl("compaction", str(etcd.revision))
    monkeypatch.setattr(storage, "watch", watch.changes)

    async def script(watched: Watched) -> None:
        await put(etcd, f"{prefix}/a.toml", "after")
        await watched.reaches(2)

    watching_with(storage, script)


def test_a_cluster_that_was_restored_from_a_backup_is_read_as_a_whole(
    etcd: Etcd, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(etcd, prefix)
    watch = watching.Watch(storage._gateway, prefix)
    watch._revision = 1 << 40  # etcd would wait for it
    monkeypatch.setattr(storage, "watch", watch.changes)

    async def script(watched: Watched) -> None:
        await put(etcd, f"{prefix}/a.toml", "1")
        await watched.reaches(2)

    watching_with(storage, script)


def test_the_next_endpoint_is_used(
    etcd: Etcd, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    etcd.put(f"{prefix}/a.toml", "1")
    location = f"etcd://127.0.0.1:{free_port()},{etcd.hosts}{prefix}"
    storage = EtcdStorage(parse_location(location))

    async def script(watched: Watched) -> None:
        await put(etcd, f"{prefix}/a.toml", "2")
        await watched.reaches(2)

    watching_with(storage, script)  # without a read before it
    assert len(read(EtcdStorage(parse_location(location))).files) == 1
    assert caplog.text.count("etcd cannot be watched") == 1


def test_nobody_there_is_an_error(prefix: str) -> None:
    one, other = free_port(), free_port()
    storage = EtcdStorage(parse_location(f"etcd://127.0.0.1:{one},127.0.0.1:{other}{prefix}"))
    with pytest.raises(StorageError) as caught:
        read(storage)
    assert str(caught.value) == (
        f"http://127.0.0.1:{one}: Connection refused; http://127.0.0.1:{other}: Connection refused"
    )


def test_an_etcd_that_does_not_answer_is_an_error(etcd: Etcd, prefix: str) -> None:
    etcd.put(f"{prefix}/a.toml", "1")
    etcd.pause()
    try:
        with pytest.raises(StorageError) as caught:
            read(storage_of(etcd, prefix, "timeout=300ms"))
    finally:
        etcd.resume()
    assert str(caught.value) == f"{etcd.url}: no answer within 0.3 s"


@pytest.mark.parametrize("written", [True, False])
def test_a_connection_that_is_lost_while_writing(
    etcd: Etcd, prefix: str, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    etcd.put(f"{prefix}/a.toml", "1")
    storage = storage_of(etcd, prefix)
    before, call = read(storage).version, storage._gateway.call

    async def lost(path: str, body: dict[str, object]) -> dict[str, object]:
        if path != "kv/txn":
            return await call(path, body)
        if written:
            await call(path, body)
        raise session.UnreachableError("the connection was lost")

    monkeypatch.setattr(storage._gateway, "call", lost)
    if written:
        assert write(storage, {"a.toml": "2"}, before) == read(storage).version != before
    else:
        with pytest.raises(StorageError, match="the connection was lost"):
            write(storage, {"a.toml": "2"}, before)


# Locks.


def test_a_lock_is_held_by_one(etcd: Etcd, prefix: str) -> None:
    held: list[str] = []

    async def one(name: str) -> None:
        lock = storage_of(etcd, prefix).lock("order/shop", 30)
        async with lock:
            assert lock.is_held
            held.append(f"{name} has it")
            await anyio.sleep(0.1)
            held.append(f"{name} leaves")
        assert not lock.is_held

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, "a")
            tasks.start_soon(one, "b")

    anyio.run(both)
    first = held[0][0]
    second = "b" if first == "a" else "a"
    assert held == [f"{first} has it", f"{first} leaves", f"{second} has it", f"{second} leaves"]
    assert etcd.get(f"{prefix}-locks") == {}


def test_a_lock_expires(etcd: Etcd, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    async def script() -> None:
        lock = storage_of(etcd, prefix).lock("x", 1)
        async with lock:
            with pytest.raises(RuntimeError):
                await lock.__aenter__()
            with anyio.fail_after(10):
                async with storage_of(etcd, prefix).lock("x", 1):
                    assert not lock.is_held

    anyio.run(script)
    assert caplog.records == []


def test_a_lock_needs_a_time(etcd: Etcd, prefix: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        storage_of(etcd, prefix).lock("x", 0.5)


def test_leaving_a_lock_without_etcd_is_a_warning(
    etcd: Etcd, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def script() -> None:
        storage = storage_of(etcd, prefix, "timeout=200ms")
        async with storage.lock("x", 1):
            storage._gateway._endpoints = ["http://127.0.0.1:1"]

    with caplog.at_level(logging.WARNING):
        anyio.run(script)
    assert "is held until it expires: http://127.0.0.1:1: Connection refused" in caplog.text
