"""Opens files as root in places where other users may have planted links.

For root, the kernel follows every link. In a directory that another user can write in, such as that of log
files after ``basic.user``, a link could lead root to any file of the system. So, for root, only links that
root has made are followed, at every step of the path. For other users, the kernel's own checks suffice.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_MOST_LINKS: Final = 40
"""Maximum number of links, the same as in the kernel."""
_LOOK: Final = os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)


def open_trusted(path: Path, flags: int, mode: int = 0o640) -> int:
    """Open a file as ``os.open`` does; as root, without following links of other users.

    :param path: absolute.
    :raises OSError: it cannot be opened, or the path contains another user's link.
    """
    flags |= os.O_CLOEXEC
    if os.geteuid() != 0 or not hasattr(os, "O_PATH"):
        return os.open(path, flags, mode)
    with _parent_of(path) as (directory, name):
        fd = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=directory)
        try:
            _refuse_second_name(fd, directory)
        except OSError:
            os.close(fd)
            raise
    return fd


def make_trusted_folder(path: Path, mode: int, uid: int, gid: int) -> None:
    """Create a directory and its missing parents, as root for another user.

    :param path: absolute.
    :raises OSError: it cannot be created, or the path contains another user's link.
    """
    if path.exists():
        return
    make_trusted_folder(path.parent, mode, uid, gid)
    with _parent_of(path) as (directory, name):
        try:
            os.mkdir(name, mode, dir_fd=directory)
        except FileExistsError:  # another process has created it in the meantime, so it is not ours
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=directory)
        try:
            os.fchown(fd, uid, gid)
        finally:
            os.close(fd)


def is_trusted_folder(path: Path) -> bool:
    """Return whether only root can change a directory and the path to it."""
    for one in (path, *path.parents, *(real := path.resolve()).parents, real):
        found = one.lstat()
        open_to_others = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or (open_to_others and not stat.S_ISLNK(found.st_mode)):
            return False
    return True


@contextmanager
def _parent_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the open directory of a file, and the file's name in it; links of the last name are followed, too."""
    todo = list(reversed(path.parts[1:]))
    here, links = os.open("/", _LOOK | os.O_DIRECTORY), 0
    try:
        while todo:
            name = todo.pop()
            try:
                found = os.open(name, _LOOK, dir_fd=here)
            except FileNotFoundError:
                if todo:
                    raise
                yield here, name
                return
            try:
                target = _link_target(found, path)
            except BaseException:
                os.close(found)
                raise
            if target is None and not todo:
                os.close(found)
                yield here, name
                return
            if target is None:
                os.close(here)
                here = found
                continue
            os.close(found)
            if (links := links + 1) > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            if target.startswith("/"):
                os.close(here)
                here = os.open("/", _LOOK | os.O_DIRECTORY)
            todo += reversed([part for part in target.split("/") if part])
    finally:
        os.close(here)
    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _link_target(fd: int, path: Path) -> str | None:
    """Return the target of a link; None if it is not a link.

    :raises PermissionError: the link belongs to another user.
    """
    found = os.fstat(fd)
    if not stat.S_ISLNK(found.st_mode):
        return None
    if found.st_uid != 0:
        raise PermissionError(errno.EACCES, "a link of another user is not followed", str(path))
    return os.readlink("", dir_fd=fd)


def _refuse_second_name(fd: int, directory: int) -> None:
    """Reject a file with additional names in a directory of another user: as dangerous as a link."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink == 1:
        return
    if os.fstat(directory).st_uid != 0:
        raise PermissionError(errno.EACCES, "it is a second name of another file")
