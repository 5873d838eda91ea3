"""Reading the files of a configuration; a device or FIFO, which could block or never end, is an error."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of a regular file; links are followed.

    :param most: maximum number of bytes; one more byte is returned if the file is longer.
    :raises OSError: the file cannot be read, or is not a regular file; ``strerror`` is the message.
    """
    with open_regular(path) as file:
        return file.read(most + 1)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; links are followed.

    :raises OSError: the file cannot be read, or is not a regular file; ``strerror`` is the message.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(fd, "rb")
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(Path(path)))
    found = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
    raise OSError(errno.EINVAL, f"it is {found}, expected a regular file", str(Path(path)))
