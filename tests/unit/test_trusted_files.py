"""Root follows no link that another user has made."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pingap.config import UnixAddress
from pingap.host.privileges import Account, make_folder, open_for
from pingap.host.sockets import BindError, listen
from pingap.host.trusted_files import is_trusted_folder, open_trusted
from pingap.supervisor.private_folders import PlaceError
from pingap.supervisor.upgrade_place import place_to_wait

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = pwd.getpwnam("nobody")
ACCOUNT = Account(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of root that everybody may enter, with one of nobody, and one that stands for /etc."""
    with TemporaryDirectory(prefix="pingap-") as name:
        found = Path(name)
        found.chmod(0o755)
        (found / "etc").mkdir()
        (found / "theirs").mkdir()
        os.chown(found / "theirs", ACCOUNT.uid, ACCOUNT.gid)
        yield found


def plant(link: Path, target: Path) -> None:
    link.symlink_to(target)
    os.chown(link, ACCOUNT.uid, ACCOUNT.gid, follow_symlinks=False)


def test_a_link_of_another_user_is_not_followed_anywhere_on_the_way(folder: Path) -> None:
    plant(folder / "theirs" / "a.log", folder / "etc" / "evil")
    plant(folder / "theirs" / "sub", folder / "etc")
    for path in ("theirs/a.log", "theirs/sub/evil"):
        with pytest.raises(PermissionError, match="link of another user"):
            open_trusted(folder / path, APPEND)
        with pytest.raises(PermissionError):
            open_for(folder / path, ACCOUNT)
    with pytest.raises(PermissionError):
        make_folder(folder / "theirs" / "sub" / "new", ACCOUNT)
    with pytest.raises(BindError):
        listen(UnixAddress(f"{folder}/theirs/sub/web.sock"), account=ACCOUNT)
    assert list((folder / "etc").iterdir()) == []


def test_links_of_root_are_followed(folder: Path) -> None:
    (folder / "link").symlink_to("etc")
    (folder / "etc" / "a.log").symlink_to(folder / "etc" / "b.log")
    os.close(open_trusted(folder / "link" / "a.log", APPEND))
    assert (folder / "etc" / "b.log").exists()
    assert not is_trusted_folder(folder / "theirs")
    assert is_trusted_folder(folder / "link")


def test_a_second_name_of_a_file_is_as_bad(folder: Path) -> None:
    (folder / "etc" / "passwd").write_text("root")
    os.link(folder / "etc" / "passwd", folder / "theirs" / "a.log")
    with pytest.raises(PermissionError, match="second name"):
        open_trusted(folder / "theirs" / "a.log", APPEND)


@pytest.mark.parametrize("place", ["theirs/new/a.log", "ours/new/a.log"])
def test_a_file_belongs_to_the_user_who_serves(folder: Path, place: str) -> None:
    (folder / "ours").mkdir()
    os.close(open_for(folder / place, ACCOUNT))
    assert (folder / place).stat().st_uid == ACCOUNT.uid
    assert (folder / place).stat().st_mode & 0o777 == 0o640
    os.close(open_for(folder / place, ACCOUNT))


def test_a_file_that_root_has_left_there_is_appended_to(folder: Path) -> None:
    path = folder / "theirs" / "a.log"
    path.write_text("before\n")
    path.chmod(0o600)
    fd = open_for(path, ACCOUNT)
    os.write(fd, b"now\n")
    os.close(fd)
    assert path.read_text() == "before\nnow\n"


@pytest.mark.parametrize("place", ["theirs", "etc"])
def test_a_socket_belongs_to_the_user_who_serves(folder: Path, place: str) -> None:
    path = folder / place / "web.sock"
    with listen(UnixAddress(str(path)), account=ACCOUNT):
        found = path.lstat()
        assert (found.st_uid, found.st_mode & 0o777) == (ACCOUNT.uid, 0o660)


def test_the_place_of_an_upgrade_is_private(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = (str(folder / "none"), str(folder / "theirs"), str(folder / "etc"))
    monkeypatch.setattr("pingap.supervisor.private_folders._FOLDERS", folders)
    place = Path(place_to_wait("", ACCOUNT))
    assert place == folder / "theirs" / f"pingap-{ACCOUNT.uid}" / "upgrade.sock"
    assert (place.parent.stat().st_mode & 0o777, place.parent.stat().st_uid) == (0o700, ACCOUNT.uid)
    assert place_to_wait("", ACCOUNT) == str(place)
    place.parent.chmod(0o770)  # somebody else may have been there
    assert Path(place_to_wait("", ACCOUNT)).parent.parent == folder / "etc"
    monkeypatch.setattr("pingap.supervisor.private_folders._FOLDERS", folders[:2])
    with pytest.raises(PlaceError, match=r"set basic\.upgrade_sock"):
        place_to_wait("", ACCOUNT)
