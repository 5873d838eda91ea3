"""The pid file, also when one process takes it over from another."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest
from support.processes import run, start

from pingap.host.pid_file import PidFile, PidFileError, default_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_holds_the_process_id_for_everybody_to_read(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        PidFile(str(tmp_path / "a.pid")).write()
    finally:
        os.umask(old)
    path = tmp_path / "a.pid"
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert names(tmp_path) == ["a.pid"]


def test_it_is_removed_at_the_end(tmp_path: Path) -> None:
    file = PidFile(str(tmp_path / "a.pid"))
    file.write()
    file.remove()
    file.remove()
    assert names(tmp_path) == []


def test_what_was_there_is_kept_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pid"
    for pid in ("1", "2"):
        path.write_text(f"{pid}\n")
        PidFile(str(path)).write()
        assert path.read_text() == f"{os.getpid()}\n"
        assert (tmp_path / "a.pid.old").read_text() == f"{pid}\n"
    assert names(tmp_path) == ["a.pid", "a.pid.old"]


def test_writing_twice_does_not_make_ourselves_the_old_one(tmp_path: Path) -> None:
    file = PidFile(str(tmp_path / "a.pid"))
    file.write()
    file.write()
    assert names(tmp_path) == ["a.pid"]


OLD_PROCESS = """
import signal, sys
from pingap.host.pid_file import PidFile
signal.alarm(30)
file = PidFile(sys.argv[1])
file.write()
print("written", flush=True)
sys.stdin.read()
file.remove()
"""


def test_a_process_that_was_replaced_leaves_the_file_of_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "a.pid"
    with start(OLD_PROCESS, path, stdin=-1) as old:
        assert old.stdout is not None
        assert old.stdout.readline() == "written\n"
        new = PidFile(str(path))
        new.write()
        assert (tmp_path / "a.pid.old").read_text() == f"{old.pid}\n"
        assert old.communicate(timeout=20)[1] == ""
    assert path.read_text() == f"{os.getpid()}\n"
    assert names(tmp_path) == ["a.pid"]  # its own one, by the new name, it did remove


def test_a_reader_finds_an_id_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "a.pid"
    path.write_text("1\n")
    code = """
import sys, signal
from pingap.host.pid_file import PidFile
signal.alarm(30)
print("begins", flush=True)
for _ in range(300):
    PidFile(sys.argv[1]).write()
    open(sys.argv[1] + ".next", "w").write("1\\n")
    import os; os.replace(sys.argv[1] + ".next", sys.argv[1])
"""
    with start(code, path) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        seen = set()
        while writer.poll() is None:
            seen.add(path.read_text())
    assert writer.returncode == 0
    assert seen <= {"1\n", f"{writer.pid}\n"}


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_what_is_not_a_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pid"
    other = tmp_path / "other"
    other.write_text("precious")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(other)
    else:
        os.mkfifo(path)
    file = PidFile(str(path))
    with pytest.raises(PidFileError, match=r"^basic.pid_file: .*/a.pid is not a regular file$"):
        file.write()
    file.remove()
    assert names(tmp_path) == ["a.pid", "other"]
    assert other.read_text() == "precious"


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.pid"
    with pytest.raises(PidFileError) as caught:
        PidFile(str(path)).write()
    assert str(caught.value) == f"basic.pid_file: cannot write {path}: No such file or directory"


def test_a_relative_path_keeps_its_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = PidFile("a.pid")
    monkeypatch.chdir("/")
    file.write()
    assert names(tmp_path) == ["a.pid"]


def test_files_with_other_content_are_not_ours(tmp_path: Path) -> None:
    file = PidFile(str(tmp_path / "a.pid"))
    for text in ("", "abc", "-1", f"{os.getpid()}9", "9" * 1000):
        file.path.write_text(text)
        file.remove()
        assert file.path.exists()


def test_the_default_is_the_first_folder_that_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    folders = [str(tmp_path / name) for name in "ab"]
    assert default_path(folders) == tmp_path / "b" / "pingap.pid"
    assert default_path([str(tmp_path / "a")]) == Path("/tmp/pingap.pid")
    if os.geteuid() == 0:
        code = (
            "import os; from pingap.host.pid_file import default_path; os.setuid(65534);"
            "print(default_path())"
        )
        assert run(code) == (0, "/tmp/pingap.pid\n", "")


def test_signals_of_the_old_process_can_be_sent_by_its_new_name(tmp_path: Path) -> None:
    path = tmp_path / "a.pid"
    with start(OLD_PROCESS, path, stdin=-1) as old:
        assert old.stdout is not None
        old.stdout.readline()
        PidFile(str(path)).write()
        os.kill(int((tmp_path / "a.pid.old").read_text()), signal.SIGKILL)
        assert old.wait(20) == -signal.SIGKILL
