"""The history of files: what is kept, for how long, and who can read it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import anyio
import pytest

from pingap.config import Snapshot
from pingap.config.storage import file_history
from pingap.config.storage.errors import StorageError
from pingap.config.storage.file_history import FileHistory
from pingap.config.storage.files import FileStorage
from pingap.config.storage.history import ConfigNote, ConfigVersion


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text("# 0\n")
    return tmp_path / "conf.d"


def record(conf: Path, text: str, note: ConfigNote | None = None) -> FileHistory:
    (conf / "a.toml").write_text(text)
    storage = FileStorage(f"{conf}?enable_history")
    history = storage.history
    assert history is not None
    anyio.run(history.record, storage.snapshot(), note or ConfigNote("me", "a test"))
    return history


def versions(history: FileHistory) -> list[ConfigVersion]:
    return anyio.run(history.versions)


def test_versions_are_recorded_and_read(conf: Path) -> None:
    record(conf, "# 1\n")
    history = record(conf, "# ü\n", ConfigNote("x\ny" * 200, "w h y"))
    first, second = versions(history)
    assert (first.note, second.note.reason) == (ConfigNote("me", "a test"), "w h y")
    assert "\n" not in second.note.by
    assert len(second.note.by) == 200
    snapshot = anyio.run(history.snapshot, second.name)
    assert snapshot.files == (("a.toml", "# ü\n"),)
    assert snapshot.version == second.version == FileStorage(str(conf)).snapshot().version
    assert FileStorage(str(conf)).snapshot().files == ((f"{conf}/a.toml", "# ü\n"),)


def test_only_the_owner_can_read_them(conf: Path) -> None:
    history = record(conf, "# 1\n")
    assert history.folder == conf.with_name("conf.d-history")
    (path,) = history.folder.iterdir()
    assert history.folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_equal_texts_are_one_version(conf: Path) -> None:
    record(conf, "# 1\n")
    assert len(versions(record(conf, "# 1\n"))) == 1
    record(conf, "# 2\n")
    assert len(versions(record(conf, "# 1\n"))) == 3


def test_the_oldest_are_forgotten(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_history, "MOST_VERSIONS", 3)
    for number in range(5):
        history = record(conf, f"# {number}\n")
    names = [one.name for one in versions(history)]
    assert len(names) == 3
    monkeypatch.setattr(file_history, "MOST_BYTES", 1000)
    record(conf, f"# {'x' * 2000}\n")
    assert len(versions(history)) == 1


def test_a_clock_that_was_set_back_keeps_the_order(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(conf, "# 1\n")
    monkeypatch.setattr(file_history.time, "time", lambda: 1.0)
    first, second = versions(record(conf, "# 2\n"))
    assert first.at < second.at


def test_damaged_versions_are_left_out(conf: Path) -> None:
    history = record(conf, "# 1\n")
    (history.folder / "1999999999999-0123456789ab").write_text("{")
    (history.folder / "else").write_text("{")
    assert len(versions(history)) == 1
    with pytest.raises(StorageError, match="1999999999999-0123456789ab is damaged"):
        anyio.run(history.snapshot, "1999999999999-0123456789ab")
    for name in ("../a", "1999999999998-0123456789ab"):
        with pytest.raises(StorageError, match="there is no version"):
            anyio.run(history.snapshot, name)
    record(conf, "# 2\n")
    assert len(versions(history)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_records_belongs_to_the_owner(conf: Path) -> None:
    conf.with_name("conf.d-history").mkdir(0o700)
    os.chown(conf.with_name("conf.d-history"), 1234, 4321)
    (path,) = record(conf, "# 1\n").folder.iterdir()
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_without_being_asked_for_there_is_none(conf: Path) -> None:
    assert FileStorage(str(conf)).history is None
    assert FileStorage(f"{conf}?enable_history=false").history is None
    conf.with_name("conf.d-history").mkdir()
    assert FileStorage(str(conf)).history is not None


def test_a_directory_that_is_a_link_keeps_its_history_beside_the_link(
    conf: Path, tmp_path: Path
) -> None:
    (tmp_path / "releases" / "2").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/2")
    history = FileStorage(f"{tmp_path}/current?enable_history").history
    assert history is not None
    assert history.folder == tmp_path / "current-history"


def test_a_history_that_cannot_be_written_is_told(conf: Path) -> None:
    conf.with_name("conf.d-history").write_text("")
    history = FileStorage(f"{conf}?enable_history").history
    assert history is not None
    with pytest.raises(StorageError, match=r"conf\.d-history: File exists"):
        anyio.run(partial(history.record, Snapshot(), ConfigNote()))
