"""Reading the files of a configuration; a device or FIFO, which could block or never end, is an error."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a directory"),
)


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of a regular file; links are followed.

    :param most: maximum number of bytes; one more byte is returned if the file is longer.
    :raises OSError: the file cannot be read, or is not a regular file; ``strerror`` is the message.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            found = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
            text = f"it is {found}, expected a regular file"
            raise OSError(errno.EINVAL, text, str(Path(path)))
        return file.read(most + 1)
