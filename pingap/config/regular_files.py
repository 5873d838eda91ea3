"""Reading the files that a configuration consists of: never one that has no end, or waits for a writer."""

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
    """Return what a regular file holds, links followed.

    :param most: bytes; of a longer file one more byte is returned.
    :raises OSError: it cannot be read, or is something else; ``strerror`` says so.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            found = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
            text = f"it is {found}, expected a regular file"
            raise OSError(errno.EINVAL, text, str(Path(path)))
        return file.read(most + 1)
