"""The storage of files: conflicts, links, modes, failures in the middle, crashes at any moment."""

from __future__ import annotations

import os
import random
import resource
import shutil
import tempfile
from collections.abc import Callable, Mapping
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

import anyio
import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from pingap.config.editing.toml_text import Items
from pingap.config.storage import replacing
from pingap.config.storage.errors import StorageConflict, StorageError
from pingap.config.storage.files import FileStorage
from pingap.config.storage.interface import ConfigStorage
from pingap.config.storage.memory import MemoryStorage, TextStorage

ONE = '[basic]\nname = "one"\n'
TWO = '[basic]\nname = "two"\n'


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    directory = tmp_path / "conf.d"
    (directory / "sub").mkdir(parents=True)
    (directory / "a.toml").write_text(ONE)
    (directory / "sub" / "b.toml").write_text("[upstreams]\n")
    return directory


def version(storage: ConfigStorage) -> str:
    return anyio.run(storage.read).version


def write(
    storage: ConfigStorage, documents: Mapping[str, str | None], expected: str | None = None
) -> str:
    """Write with the version of now, unless another one is given; check the one that is returned."""

    async def main() -> str:
        known = (await storage.read()).version if expected is None else expected
        written = await storage.write(documents, expected=known)
        assert (await storage.read()).version == written
        return written

    return anyio.run(main)


def refusal(storage: ConfigStorage, documents: Mapping[str, str | None]) -> str:
    with pytest.raises(StorageError) as caught:
        write(storage, documents)
    return str(caught.value)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_documents_are_written_made_and_removed(conf: Path) -> None:
    storage = FileStorage(str(conf))
    before = version(storage)
    after = write(
        storage,
        {f"{conf}/a.toml": TWO, f"{conf}/sub/b.toml": None, "new/c.toml": "[servers]\n"},
    )
    assert after != before
    assert (conf / "a.toml").read_text() == TWO
    assert not (conf / "sub" / "b.toml").exists()
    assert (conf / "new" / "c.toml").read_text() == "[servers]\n"
    assert names_in(conf) == ["a.toml", "new", "sub"]  # nothing temporary is left
    assert (conf / "new" / "c.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("spelling", ["conf.d", "./conf.d", "conf.d/", "conf.d?separation", "."])
def test_names_may_be_relative_to_the_directory(
    conf: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(conf if spelling == "." else conf.parent)
    storage = FileStorage(spelling)
    write(storage, {"a.toml": TWO, "sub/d.toml": "[servers]\n"})
    assert (conf / "a.toml").read_text() == TWO
    write(storage, {"sub/d.toml": None})
    assert not (conf / "sub" / "d.toml").exists()


def test_a_change_by_somebody_else_is_a_conflict(conf: Path) -> None:
    storage = FileStorage(str(conf))
    known = version(storage)
    (conf / "sub" / "b.toml").write_text("[plugins]\n")
    with pytest.raises(StorageConflict):
        write(storage, {"a.toml": TWO}, known)
    assert (conf / "a.toml").read_text() == ONE


def test_a_change_while_it_is_written_is_a_conflict(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, fsync = FileStorage(str(conf)), os.fsync

    def slow(fd: int) -> None:
        (conf / "sub" / "b.toml").write_text("[plugins]\n")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow)
    with pytest.raises(StorageConflict):
        write(storage, {"a.toml": TWO})
    assert (conf / "a.toml").read_text() == ONE
    assert names_in(conf) == ["a.toml", "sub"]


def test_a_link_stays_and_its_target_is_replaced(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.toml"
    target.write_text("[plugins]\n")
    (conf / "l.toml").symlink_to("../elsewhere/real.toml")
    storage = FileStorage(str(conf))
    write(storage, {"l.toml": "[locations]\n"})
    assert (conf / "l.toml").is_symlink()
    assert target.read_text() == "[locations]\n"
    write(storage, {"l.toml": None})
    assert not (conf / "l.toml").is_symlink()
    assert target.read_text() == "[locations]\n"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_mode_is_kept(conf: Path, mode: int) -> None:
    (conf / "a.toml").chmod(mode)
    write(FileStorage(str(conf)), {"a.toml": TWO})
    assert (conf / "a.toml").stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_is_kept(conf: Path) -> None:
    os.chown(conf / "a.toml", 1234, 4321)
    write(FileStorage(str(conf)), {"a.toml": TWO})
    found = (conf / "a.toml").stat()
    assert (found.st_uid, found.st_gid) == (1234, 4321)


def test_an_owner_that_cannot_be_kept_is_an_error(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    other = os.stat_result((0o100644, 1, 1, 1, os.getuid() + 1, 1, 1, 0, 0, 0))
    change = replacing._Change(conf / "a.toml", b"x")
    change._stat = other
    with pytest.raises(PermissionError, match="its owner and group could not be kept"):
        change._write(b"x")
    assert names_in(conf) == ["a.toml", "sub"]


def test_a_file_that_cannot_be_replaced_is_told(conf: Path) -> None:
    storage = FileStorage(str(conf))
    said = refusal(storage, {"a.toml": TWO, "sub/b.toml/c.toml": "x = 1"})
    assert said.startswith(f"{conf}/sub/b.toml/c.toml cannot be written: ")
    assert (conf / "a.toml").read_text() == ONE


def test_what_was_written_is_put_back_if_another_file_fails(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (conf / "z.toml").write_text("")
    (conf / "a.toml").chmod(0o640)
    (conf / "k.toml").symlink_to("a.toml")
    replace = Path.replace

    def fail_for_z(self: Path, target: Path) -> Path:
        if target.name == "z.toml":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_for_z)
    changes = {"a.toml": TWO, "new.toml": "", "sub/b.toml": None, "k.toml": None, "z.toml": "x=1"}
    said = refusal(FileStorage(str(conf)), changes)
    assert said == f"{conf}/z.toml cannot be written: No space left on device"
    assert (conf / "a.toml").read_text() == ONE
    assert (conf / "a.toml").stat().st_mode & 0o777 == 0o640
    assert (conf / "sub" / "b.toml").read_text() == "[upstreams]\n"
    assert (conf / "k.toml").is_symlink()
    assert names_in(conf) == ["a.toml", "k.toml", "sub", "z.toml"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../x.toml", "cannot be the name of a document"),
        ("/etc/x.toml", "cannot be the name of a document"),
        (".x.toml", "cannot be the name of a document"),
        ("sub/.hidden/x.toml", "cannot be the name of a document"),
        ("x\0.toml", "cannot be the name of a document"),
        ("", "cannot be the name of a document"),
        ("x.hcl", "would not be read: expected the suffix .toml"),
        ("link/x.toml", "would not be read: link is a link"),
    ],
)
def test_names_that_would_not_be_read_are_refused(conf: Path, name: str, said: str) -> None:
    (conf / "link").symlink_to("sub")
    assert said in refusal(FileStorage(str(conf)), {name: ""})
    assert not (conf.parent / "x.toml").exists()


def test_what_does_not_exist_cannot_be_removed(conf: Path) -> None:
    said = refusal(FileStorage(str(conf)), {"c.toml": None})
    assert said == f'"{conf}/c.toml" cannot be removed: it does not exist'


def test_a_configuration_of_one_file_has_no_others(conf: Path) -> None:
    storage = FileStorage(str(conf / "a.toml"))
    write(storage, {f"{conf}/a.toml": TWO})
    assert (conf / "a.toml").read_text() == TWO
    assert "the configuration is one file" in refusal(storage, {f"{conf}/c.toml": ""})


def test_another_writer_is_waited_for(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "LOCK_SECONDS", 0.0)
    with replacing.only_writer(conf):
        said = refusal(FileStorage(str(conf)), {"a.toml": TWO})
    assert said == f"{conf} is being written by another process"


def test_a_change_is_seen(conf: Path) -> None:
    async def main() -> None:
        storage = FileStorage(str(conf))
        with anyio.fail_after(10):
            changes = storage.watch()
            await anext(changes)  # it watches
            (conf / "c.toml").write_text("[servers]\n")
            await anext(changes)
            await storage.write({"a.toml": TWO}, expected=(await storage.read()).version)
            await anext(changes)

    anyio.run(main)


KILLED_TEXTS = [f"# {chr(97 + one) * 200_000}\n" for one in range(8)]


def write_for_ever(conf: Path, begun: Event) -> None:
    async def main() -> None:
        storage = FileStorage(str(conf))
        begun.set()
        for text in cycle(KILLED_TEXTS):
            version = (await storage.read()).version
            await storage.write({"a.toml": text}, expected=version)

    anyio.run(main)


def test_a_writer_that_is_killed_leaves_the_old_or_the_new_text(conf: Path) -> None:
    processes, chance = get_context("fork"), random.Random(7)
    for _ in range(20):
        begun = processes.Event()
        writer = processes.Process(target=write_for_ever, args=(conf, begun))
        writer.start()
        assert begun.wait(20)
        writer.join(chance.uniform(0.0, 0.05))  # it does not end by itself
        writer.kill()
        writer.join()
        assert (conf / "a.toml").read_text() in [ONE, *KILLED_TEXTS]
    write(FileStorage(str(conf)), {"a.toml": TWO})
    assert names_in(conf) == ["a.toml", "sub"]  # what was left behind is gone


def save(location: object, items: Items) -> None:
    """Change items as often as others change something in between."""

    async def main() -> None:
        storage = FileStorage(str(location))
        while True:
            try:
                await storage.write_items(items, expected=(await storage.read()).version)
            except StorageConflict:
                continue
            return

    anyio.run(main)


def in_a_process(work: Callable[[], object], user: int = 0) -> str:
    """Return what a call in another process raises."""
    processes = get_context("fork")
    ours, theirs = processes.Pipe(duplex=False)

    def child() -> None:
        if user:
            os.setgroups([])
            os.setuid(user)
        try:
            work()
        except Exception as error:
            theirs.send(f"{type(error).__name__}: {error}")
        theirs.send("")

    process = processes.Process(target=child)
    process.start()
    said = str(ours.recv()) if ours.poll(30) else "nothing"
    process.join()
    return said


def test_items_are_written_where_they_are(conf: Path) -> None:
    items: Items = {("basic",): {"name": "two"}, ("servers", "web"): {"addr": "127.0.0.1:80"}}
    save(conf, items)
    assert (conf / "a.toml").read_text() == TWO
    assert (conf / "servers.toml").read_text() == '[servers.web]\naddr = "127.0.0.1:80"\n'
    assert (conf / "servers.toml").stat().st_mode & 0o777 == 0o600
    save(f"{conf}?separation", {("locations", "shop"): {"path": "/"}})
    assert (conf / "locations" / "shop.toml").read_text() == '[locations.shop]\npath = "/"\n'
    save(f"{conf}?separation", {("locations", "shop"): None})
    assert names_in(conf / "locations") == []
    save(conf / "a.toml", {("locations", "shop"): {"path": "/"}})
    assert (conf / "a.toml").read_text() == f'{TWO}\n[locations.shop]\npath = "/"\n'


def test_an_item_that_cannot_be_written_is_told(conf: Path) -> None:
    with pytest.raises(StorageError, match=r"there is no section \"server\""):
        save(conf, {("server", "web"): {}})


def test_no_change_of_several_writers_is_lost(conf: Path) -> None:
    def work(writer: int) -> None:
        for number in range(4):
            save(conf, {("locations", f"l{writer}-{number}"): {"path": "/"}})

    processes = get_context("fork")
    writers = [processes.Process(target=work, args=(one,)) for one in range(3)]
    for one in writers:
        one.start()
    for number in range(4):  # as an editor does
        (conf / "new").write_text(f'[basic]\nname = "{number}"\n')
        (conf / "new").replace(conf / "a.toml")
    for one in writers:
        one.join()
    assert len(tomli.loads((conf / "locations.toml").read_text())["locations"]) == 12
    assert (conf / "a.toml").read_text() == '[basic]\nname = "3"\n'
    assert names_in(conf) == ["a.toml", "locations.toml", "sub"]


def test_a_full_disk_changes_nothing(conf: Path) -> None:
    text = '[basic]\nname = "' + "x" * 5000 + '"\n'

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        write(FileStorage(str(conf)), {"sub/b.toml": "# new\n", "a.toml": text})

    said = in_a_process(fill)
    assert said == f"StorageError: {conf}/a.toml cannot be written: File too large"
    assert (conf / "a.toml").read_text() == ONE
    assert (conf / "sub" / "b.toml").read_text() == "[upstreams]\n"
    assert [names_in(conf), names_in(conf / "sub")] == [["a.toml", "sub"], ["b.toml"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_written_is_told() -> None:
    with tempfile.TemporaryDirectory() as name:
        conf = Path(name)
        conf.chmod(0o755)
        (conf / "a.toml").write_text(ONE)
        said = in_a_process(lambda: write(FileStorage(name), {"a.toml": TWO}), user=65534)
        assert said == f"StorageError: {name}/a.toml cannot be written: Permission denied"
        assert (conf / "a.toml").read_text() == ONE


def test_a_directory_that_was_switched_meanwhile_is_a_conflict(
    conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(conf, tmp_path / "second")
    (tmp_path / "second" / "a.toml").write_text(TWO)
    (tmp_path / "current").symlink_to("conf.d")
    prepare = replacing._Change.prepare

    def switch(self: replacing._Change) -> None:
        prepare(self)
        (tmp_path / "next").symlink_to("second")
        (tmp_path / "next").replace(tmp_path / "current")

    monkeypatch.setattr(replacing._Change, "prepare", switch)
    with pytest.raises(StorageConflict):
        write(FileStorage(str(tmp_path / "current")), {"a.toml": "# mine\n"})
    assert (conf / "a.toml").read_text() == ONE
    assert (tmp_path / "second" / "a.toml").read_text() == TWO
    assert names_in(conf) == names_in(tmp_path / "second") == ["a.toml", "sub"]


names = st.from_regex(r"([a-z]{1,3}/){0,2}[a-c]{1,2}\.toml", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
rounds = st.lists(st.dictionaries(names, st.none() | texts, max_size=4), max_size=4)


def make_files() -> ConfigStorage:
    directory = tempfile.mkdtemp()
    return FileStorage(directory)


@pytest.mark.parametrize("make", [make_files, MemoryStorage])
@settings(max_examples=60, deadline=None)
@given(changes=rounds)
def test_what_is_written_is_read(
    make: Callable[[], ConfigStorage], changes: list[dict[str, str | None]]
) -> None:
    async def main() -> None:
        storage, model = make(), dict[str, str]()
        for change in changes:
            change = {name: text for name, text in change.items() if text or name in model}
            known = (await storage.read()).version
            written = await storage.write(change, expected=known)
            merged = {**model, **change}
            model = {name: text for name, text in merged.items() if text is not None}
            snapshot = await storage.read()
            assert {snapshot._inside(name): text for name, text in snapshot.files} == model
            assert snapshot.version == written

    anyio.run(main)


# Storages in memory.


def test_memory_has_conflicts_and_watchers() -> None:
    async def main() -> None:
        storage = MemoryStorage({"a.toml": ONE})
        known = (await storage.read()).version
        with anyio.fail_after(5):
            changes = storage.watch()
            await anext(changes)
            await storage.write({"a.toml": TWO, "b.toml": ""}, expected=known)
            await anext(changes)
            with pytest.raises(StorageConflict):
                await storage.write({"a.toml": None}, expected=known)
            await anyio.to_thread.run_sync(storage.change, {"b.toml": None})
            await anext(changes)
        assert storage.documents == {"a.toml": TWO}

    anyio.run(main)


def test_a_text_of_the_command_line_is_not_written() -> None:
    storage = TextStorage(ONE, "<quick start>")
    assert "give -c PATH" in refusal(storage, {"<quick start>": TWO})
