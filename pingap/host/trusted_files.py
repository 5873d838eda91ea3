"""Opening files as root where other users may have planted links.

The kernel follows every link for root. In a folder that somebody else may write in, such as that of
log files after ``basic.user``, a link could lead root to any file of the system. So, for root, only
links that root has made are followed, at every step of the path. For other users the kernel's own
checks are enough.
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
"""As many as the kernel follows."""
_LOOK: Final = os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)


def open_trusted(path: Path, flags: int, mode: int = 0o640) -> int:
    """Open a file as ``os.open`` does; as root, without following links of other users.

    :param path: absolute.
    :raises OSError: it cannot be opened, or another user's link is on the way.
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
    """Make a folder, and those above that are missing, as root for another user.

    :param path: absolute.
    :raises OSError: it cannot be made, or another user's link is on the way.
    """
    if path.exists():
        return
    make_trusted_folder(path.parent, mode, uid, gid)
    with _parent_of(path) as (directory, name):
        try:
            os.mkdir(name, mode, dir_fd=directory)
        except FileExistsError:  # made by somebody else meanwhile: then it is not ours
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=directory)
        try:
            os.fchown(fd, uid, gid)
        finally:
            os.close(fd)


def is_trusted_folder(path: Path) -> bool:
    """Tell whether only root can change what the names in a folder, and the way to it, mean."""
    for one in (path, *path.parents, *(real := path.resolve()).parents, real):
        found = one.lstat()
        open_to_others = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if found.st_uid != 0 or (open_to_others and not stat.S_ISLNK(found.st_mode)):
            return False
    return True


@contextmanager
def _parent_of(path: Path) -> Iterator[tuple[int, str]]:
    """Give the folder of a file, open, and the file's name in it: the last link is followed, too."""
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
    """Return where a link leads; None if it is none.

    :raises PermissionError: the link is another user's.
    """
    found = os.fstat(fd)
    if not stat.S_ISLNK(found.st_mode):
        return None
    if found.st_uid != 0:
        raise PermissionError(errno.EACCES, "a link of another user is not followed", str(path))
    return os.readlink("", dir_fd=fd)


def _refuse_second_name(fd: int, directory: int) -> None:
    """Refuse a file that has other names as well, in a folder of another user: as bad as a link."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink == 1:
        return
    if os.fstat(directory).st_uid != 0:
        raise PermissionError(errno.EACCES, "it is a second name of another file")
