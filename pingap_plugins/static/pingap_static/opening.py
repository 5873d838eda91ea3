"""Opening files below a directory, so that no symbolic link leads out of it.

A path that is checked first and opened afterwards can be another one by then: somebody replaces a directory by
a link in between. So each name is opened relative to the directory that was opened before it, and links are
resolved here, never by the operating system.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from pingap_static.paths import Names

MOST_LINKS: Final = 40
"""Symbolic links in the resolution of one path, as in Linux."""
READ: Final = (
    os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
)  # O_NONBLOCK: do not wait for the writer of a FIFO
_STEP: Final = (
    getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
)  # O_PATH: directories need not be readable
_LINK_ERRORS: Final = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)


class LeavesRoot(OSError):
    """A symbolic link leads out of the root."""


def open_below(root: str, names: Names, *, follow: bool) -> int:
    """Open a file or directory for reading.

    :param root: the path of the root, which may itself be a link.
    :param names: the path below it; empty for the root itself.
    :param follow: follow links wherever they lead.
    :returns: a descriptor, which the caller closes.
    :raises LeavesRoot: a link leads out of the root, and ``follow`` is false.
    :raises OSError: it does not exist, or cannot be opened.
    """
    if follow or not names:
        return os.open(os.path.join(os.fsencode(root), *names), READ)  # noqa: PTH118  (bytes)
    walk = _Walk(root)
    try:
        return walk.open(names)
    finally:
        walk.close()


class _Walk:
    """One resolution: the directories that were opened on the way, outermost first."""

    def __init__(self, root: str) -> None:
        self._opened = [os.open(root, _STEP & ~os.O_NOFOLLOW)]
        self._root = _identity(self._opened[0])
        self._links = 0

    def close(self) -> None:
        """Close all directories."""
        for descriptor in self._opened:
            os.close(descriptor)

    def open(self, names: Names) -> int:
        """Open what the names lead to.

        :raises OSError: see ``open_below``.
        """
        left = list(reversed(names))
        while left:
            name = left.pop()
            if name == b"..":
                self._leave()
                continue
            try:
                flags = _STEP if left else READ | os.O_NOFOLLOW
                descriptor = os.open(name, flags, dir_fd=self._opened[-1])
            except OSError as error:
                if error.errno not in _LINK_ERRORS:
                    raise
                left += self._target(name, error)
                continue
            if left:
                self._opened.append(descriptor)
            else:
                return self._checked(descriptor)
        # The last link led to a directory that is open already.
        return self._checked(os.open(b".", READ, dir_fd=self._opened[-1]))

    def _leave(self) -> None:
        if len(self._opened) == 1:
            raise LeavesRoot
        os.close(self._opened.pop())

    def _target(self, name: bytes, error: OSError) -> list[bytes]:
        """Return the names of a link's target, last one first.

        :param error: what is raised if it is no link.
        """
        try:
            target = os.readlink(name, dir_fd=self._opened[-1])
        except OSError:
            raise error from None
        self._links += 1
        if self._links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith(b"/"):
            self.close()
            self._opened = []
            self._opened.append(os.open("/", _STEP))
        return [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]

    def _checked(self, descriptor: int) -> int:
        """Return the descriptor if the way to it, or itself, is below the root."""
        last = _identity(descriptor)
        if last == self._root or any(_identity(one) == self._root for one in self._opened):
            return descriptor
        os.close(descriptor)
        raise LeavesRoot


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
