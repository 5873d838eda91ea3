"""Fingerprints: every way in which a file may change is seen, without reading it."""

import os

import pytest

from pingap.config import read
from pingap.config.fingerprint import take_fingerprint


@pytest.fixture
def conf(tmp_path):
    directory = tmp_path / "conf.d"
    (directory / "sub").mkdir(parents=True)
    (directory / "a.toml").write_text("one")
    (directory / "sub" / "b.toml").write_text("two")
    return directory


def rename_over(path, text):
    fresh = path.with_suffix(".tmp")
    fresh.write_text(text)
    times = path.stat()
    os.utime(fresh, ns=(times.st_atime_ns, times.st_mtime_ns))
    fresh.rename(path)


def wait_for_a_tick(conf):
    """Until the clock of the file system goes on: it has a grain of some milliseconds."""
    probe = conf / "probe"
    probe.touch()
    first = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == first:
        probe.touch()


CHANGES = {
    "a file is written": lambda conf: (conf / "a.toml").write_text("other"),
    "a file is replaced by one as long and as old": lambda conf: rename_over(
        conf / "a.toml", "ONE"
    ),
    "a file is written and its time set back": lambda conf: (
        times := (conf / "a.toml").stat(),
        (conf / "a.toml").write_text("ONE"),
        os.utime(conf / "a.toml", ns=(times.st_atime_ns, times.st_mtime_ns)),
    ),
    "rights change": lambda conf: (conf / "a.toml").chmod(0o640),
    "a file comes": lambda conf: (conf / "c.toml").write_text(""),
    "a file comes further down": lambda conf: (conf / "sub" / "c.toml").write_text(""),
    "a file goes": lambda conf: (conf / "a.toml").unlink(),
    "a directory comes": lambda conf: (
        (conf / "new").mkdir(),
        (conf / "new" / "x.toml").write_text(""),
    ),
    "a directory is moved": lambda conf: (conf / "sub").rename(conf / "moved"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_is_seen_that(conf, what):
    before = take_fingerprint(str(conf))
    assert take_fingerprint(str(conf)) == before
    wait_for_a_tick(conf)
    CHANGES[what](conf)
    now = take_fingerprint(str(conf))
    assert now != before
    assert now.changed_since(before)


IGNORED = {
    "another file comes": lambda conf: (conf / "a.toml~").write_text(""),
    "a hidden file comes": lambda conf: (conf / ".a.toml.swp").write_text(""),
    "a hidden directory comes": lambda conf: (
        (conf / ".git").mkdir(),
        (conf / ".git" / "x.toml").write_text(""),
    ),
    "a file is read": lambda conf: (conf / "a.toml").read_text(),
    "a link to a directory comes": lambda conf: (conf / "link").symlink_to(conf / "sub"),
}


@pytest.mark.parametrize("what", IGNORED)
def test_it_does_not_matter_that(conf, what):
    before = take_fingerprint(str(conf))
    IGNORED[what](conf)
    assert take_fingerprint(str(conf)) == before


def test_it_sees_the_files_that_are_read(conf):
    assert sorted(take_fingerprint(str(conf)).listing) == [name for name, _ in read(conf).files]


def test_links_are_followed(conf, tmp_path):
    """As Kubernetes mounts a ConfigMap: a directory is changed behind a link."""
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.toml").write_text("same")
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "..data").symlink_to(tmp_path / "v1")
    (mount / "a.toml").symlink_to("..data/a.toml")
    before = take_fingerprint(str(mount))
    (mount / "..tmp").symlink_to(tmp_path / "v2")
    (mount / "..tmp").rename(mount / "..data")
    assert take_fingerprint(str(mount)).changed_since(before) == [f"{mount}/a.toml"]


def test_other_files_are_seen_too(conf, tmp_path):
    key = tmp_path / "key.pem"
    before = take_fingerprint(str(conf), [str(key)])
    assert before.files == {str(key): None}
    key.write_text("x")
    now = take_fingerprint(str(conf), [str(key)])
    assert now.changed_since(before) == [str(key)]
    assert before.lacks_any_of(now)
    assert not now.lacks_any_of(before)


def test_a_single_file_and_no_file(conf):
    path = str(conf / "a.toml")
    assert list(take_fingerprint(f"{path}?separation").listing) == [path]
    assert take_fingerprint("").listing == {}
    assert take_fingerprint(str(conf / "missing")).listing == {str(conf / "missing"): None}


def test_a_directory_that_goes_is_a_change(conf):
    before = take_fingerprint(str(conf))
    conf.rename(conf.with_name("elsewhere"))
    now = take_fingerprint(str(conf))
    assert now.lacks_any_of(before)
    assert f"{conf}/a.toml" in now.changed_since(before)


def test_a_name_that_cannot_exist_is_missing():
    assert take_fingerprint("", ["a\0b"]).files == {"a\0b": None}


def test_a_pipe_has_no_state(tmp_path):
    """As in ``pingap -c <(...)``, which cannot be read again."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    before = take_fingerprint(str(pipe))
    os.utime(pipe, (1, 1))
    assert take_fingerprint(str(pipe)) == before
