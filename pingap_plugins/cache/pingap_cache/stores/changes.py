"""What changed in a folder, told to all processes that have parts of it in memory.

A small file has a number for each of 65536 groups of keys. Whoever changes an entry writes another
random number there, after the change. Whoever keeps an entry in memory notes the number that was there
before it was read: as long as it is the same, nothing has changed. The file is mapped into memory for
reading, so to look takes no system call.
"""

from __future__ import annotations

import mmap
import os
import secrets
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

GROUPS: Final = 65536
_WIDTH: Final = 4
_SIZE: Final = GROUPS * _WIDTH


def group(key: bytes) -> int:
    """Return the group of a key."""
    return zlib.crc32(key) % GROUPS


class Changes:
    """The file.

    Writing goes through the system and not through memory: if the disk is full, that raises an error,
    where memory would kill the process.

    :raises OSError: it cannot be made or opened.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
        try:
            missing = _SIZE - os.fstat(self._file.fileno()).st_size
            if missing > 0:  # (Written out, since a hole may find no room later.)
                os.pwrite(self._file.fileno(), secrets.token_bytes(missing), _SIZE - missing)
            mapped = mmap.mmap(self._file.fileno(), _SIZE, access=mmap.ACCESS_READ)
        except BaseException:
            self._file.close()
            raise
        self.numbers: memoryview[int] = memoryview(mapped).cast("I")
        """The number of each group."""

    def number(self, key: bytes) -> int:
        """Return the number of the group of a key."""
        return self.numbers[group(key)]

    def tell(self, keys: Iterable[bytes]) -> None:
        """Say that entries have changed.

        :raises OSError: it cannot be written.
        """
        for number in {group(key) for key in keys}:
            os.pwrite(self._file.fileno(), secrets.token_bytes(_WIDTH), number * _WIDTH)

    def tell_all(self) -> None:
        """Say that everything has changed.

        :raises OSError: it cannot be written.
        """
        os.pwrite(self._file.fileno(), secrets.token_bytes(_SIZE), 0)

    def close(self) -> None:
        """Close the file. ``numbers`` can still be read, and does not change any more."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
