"""A configuration from several places: what is merged, who is named in conflicts, and where changes go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest

from pingap.build.loading import load_configuration, read_configuration, read_from
from pingap.build.registry import installed_registry
from pingap.build.storages import storage_of
from pingap.config import ConfigError
from pingap.config.editing.toml_text import Items
from pingap.config.snapshot import Snapshot
from pingap.config.storage.files import FileStorage
from pingap.config.storage.history import ConfigNote, ConfigVersion
from pingap.config.storage.interface import StorageConflict, StorageError
from pingap.config.storage.joined import JoinedStorage, Part
from pingap.config.storage.memory import MemoryStorage
from pingap.inspection import versions
from pingap.supervisor.recording import Recorder

REGISTRY = installed_registry()
SERVER = '[servers.web]\naddr = "127.0.0.1:0"\n'
LOCATION = '[locations.a]\nservers = ["web"]\nplugins = ["pingap:ping"]\n'


def joined(*documents: dict[str, str]) -> tuple[JoinedStorage, list[MemoryStorage]]:
    storages = [MemoryStorage(one) for one in documents]
    return JoinedStorage([Part(f"m{at}://", one) for at, one in enumerate(storages)]), storages


def test_files_of_several_places_are_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "main.toml").write_text(SERVER)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "a.toml").write_text(LOCATION)
    places = [f"{tmp_path}/apps", f"{tmp_path}/main.toml"]
    snapshot = read_configuration(places, REGISTRY)
    assert snapshot.directory == f"{tmp_path}/apps"
    assert load_configuration(snapshot, REGISTRY).servers["web"].locations == ("a",)


def test_conflicts_name_both_places(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(SERVER + LOCATION)
    snapshot = read_configuration([f"{tmp_path}/one.toml", f"{tmp_path}/two.toml"], REGISTRY)
    with pytest.raises(ConfigError) as caught:
        load_configuration(snapshot, REGISTRY)
    assert [str(one) for one in caught.value.problems] == [
        f"{tmp_path}/two.toml:1: servers.web: is defined here and in {tmp_path}/one.toml:1",
        f"{tmp_path}/two.toml:3: locations.a: is defined here and in {tmp_path}/one.toml:3",
    ]


@pytest.mark.parametrize(
    ("places", "messages"),
    [
        (["a", "a"], ["a: is given twice with -c"]),
        (
            ["a", "nope://x", "dockr://"],
            [
                "dockr://: no installed distribution provides this storage",
                "nope://: no installed distribution provides this storage",
            ],
        ),
    ],
)
def test_wrong_places_are_told_at_once(places: Sequence[str], messages: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        storage_of(places, REGISTRY)
    found = [str(one) for one in caught.value.problems]
    assert all(one.startswith(said) for one, said in zip(found, messages, strict=True))


def test_a_place_that_cannot_be_read_is_named() -> None:
    class Away(MemoryStorage):
        async def read(self) -> Snapshot:
            raise StorageError("it is away")

    storage = JoinedStorage([Part("m://", MemoryStorage()), Part("etcd://", Away())])
    with pytest.raises(StorageError, match=r'^"etcd://": it is away$'):
        anyio.run(read_from, storage)


def test_documents_are_written_where_they_are() -> None:
    storage, (one, two) = joined({"a.toml": "a"}, {"b.toml": "b"})

    async def write() -> None:
        version = (await storage.read()).version
        version = await storage.write({"b.toml": "c"}, expected=version)
        assert version == (await storage.read()).version
        version = await storage.write({"new.toml": "n"}, expected=version)
        with pytest.raises(StorageError, match="these documents are in m0:// and m1://"):
            await storage.write({"a.toml": "", "b.toml": ""}, expected=version)
        two.change({"b.toml": "d"})
        with pytest.raises(StorageConflict):
            await storage.write({"a.toml": ""}, expected=version)

    anyio.run(write)
    assert (one.documents, two.documents) == (
        {"a.toml": "a", "new.toml": "n"},
        {"b.toml": "d"},
    )


def test_changes_of_any_place_are_noticed() -> None:
    storage, storages = joined({}, {})

    async def follow() -> None:
        async with aclosing(storage.watch()) as changes:
            with anyio.fail_after(10):
                await anext(changes)
                for one in storages:
                    one.change({"x.toml": ""})
                    await anext(changes)

    anyio.run(follow)


def test_a_watch_that_fails_is_passed_on() -> None:
    class Broken(MemoryStorage):
        async def watch(self) -> AsyncIterator[None]:
            yield
            raise LookupError("broken")

    class Ended(MemoryStorage):
        async def watch(self) -> AsyncIterator[None]:
            yield

    async def follow(storage: MemoryStorage) -> None:
        async with aclosing(JoinedStorage([Part("m://", storage)]).watch()) as changes:
            with anyio.fail_after(10):
                async for _ in changes:
                    pass

    with pytest.raises(LookupError):
        anyio.run(follow, Broken())
    with pytest.raises(StorageError, match="ended its watch"):
        anyio.run(follow, Ended())


class Containers(MemoryStorage):
    """What others describe: optional, and not to be written."""

    is_writable = False

    async def read(self) -> Snapshot:
        snapshot = await super().read()
        return replace(snapshot, optional={name: {} for name, _ in snapshot.files})

    async def write(self, documents: Mapping[str, str | None], *, expected: str) -> str:
        raise StorageError("containers cannot be written")


class Site:
    """Files with a history, after containers."""

    def __init__(self, folder: Path) -> None:
        self.conf = folder / "conf.d"
        self.conf.mkdir()
        self.containers = Containers({"container a": LOCATION})
        self.files = FileStorage(f"{self.conf}?enable_history")
        parts = [Part("docker://", self.containers), Part(str(self.conf), self.files)]
        self.storage = JoinedStorage(parts)
        (self.conf / "servers.toml").write_text(SERVER)

    def write_items(self, items: Items) -> None:
        snapshot = anyio.run(self.storage.read)
        anyio.run(partial(self.storage.write_items, items, expected=snapshot.version))

    def record(self) -> list[ConfigVersion]:
        async def record() -> list[ConfigVersion]:
            snapshot = await self.storage.read()
            await Recorder(self.storage).record(snapshot, ConfigNote())
            assert self.storage.history is not None
            return await self.storage.history.versions()

        return anyio.run(record)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_items_are_written_to_the_first_place_that_can_be_written(site: Site) -> None:
    assert (site.storage.is_writable, site.storage.layout) == (True, site.files.layout)
    site.write_items({("locations", "b"): {"path": "/b"}})
    assert (site.conf / "locations.toml").read_text() == '[locations.b]\npath = "/b"\n'
    with pytest.raises(StorageError, match="container a is not TOML"):
        site.write_items({("locations", "a"): {"path": "/a"}})
    both: Items = {("locations", "a"): {"path": "/a"}, ("locations", "b"): None}
    with pytest.raises(StorageError, match="these items are in docker:// and "):
        site.write_items(both)


def test_the_start_of_a_container_is_no_version(site: Site) -> None:
    (first,) = site.record()
    assert first.version == site.files.snapshot().version
    site.containers.change({"container b": LOCATION.replace("s.a]", "s.b]")})
    assert site.record() == [first]


def test_a_version_is_restored_beside_containers(site: Site) -> None:
    (site.conf / "plugins.toml").write_text("# old\n")
    (first,) = site.record()
    (site.conf / "plugins.toml").unlink()
    (site.conf / "more.toml").write_text("# new\n")
    site.record()
    site.containers.change({"container a": LOCATION + "# now\n"})

    async def restore() -> None:
        history = versions.history_of(site.storage)
        texts = await history.snapshot(first.name)
        wanted = versions.restoration(await site.storage.read(), texts)
        assert [one for one in wanted.problems(REGISTRY) if not one.is_warning] == []
        assert set(wanted.documents) == {f"{site.conf}/{name}.toml" for name in ("plugins", "more")}
        await versions.restore(site.storage, wanted, ConfigNote("", "it broke"))
        assert (await history.versions())[-1].version == first.version

    anyio.run(restore)
    assert {path.name for path in site.conf.iterdir()} == {"servers.toml", "plugins.toml"}
    assert len(site.record()) == 3
