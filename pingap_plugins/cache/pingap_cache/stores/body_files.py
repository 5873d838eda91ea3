"""Bodies in files: written block by block, checked when they are read, removed when nobody needs them.

All of it blocks, and runs in threads.
"""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pingap_cache.stores.interface import CHUNK
from pingap_cache.stores.raw_disk import is_filename, new_filename
from pingap_cache.stores.record import CorruptRecord

_TRIES: Final = 10


class NewFile:
    """A file that is being written.

    It is locked until its row is written. Locks end with their process, so an unlocked file without a
    row belongs to nobody (``remove_orphans``).

    :param folder: of the cache.
    :param levels: digits in the names of the folders below.
    :raises OSError: it cannot be made.
    """

    def __init__(self, folder: Path, levels: tuple[int, ...]) -> None:
        for _ in range(_TRIES):
            self.name = new_filename(levels)
            self._path = folder / self.name
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb", buffering=0)
            if _locked(self._file.fileno()) and os.fstat(self._file.fileno()).st_nlink:
                break
            self._file.close()  # it was taken for an orphan before it was locked
        else:
            raise OSError(f"{self._path} is removed again and again")
        self._lock = threading.Lock()  # (a cancelled caller closes the file while a thread writes)
        self.checksums: list[int] = []
        self.size = 0
        self.modified = 0
        """When it was last written; nanoseconds since 1970."""
        self.kept = False
        """Whether a row names it."""

    def write(self, blocks: Sequence[bytes]) -> None:
        """Append blocks.

        :raises OSError: they cannot be written.
        """
        with self._lock:
            if self._file.closed:
                raise OSError("it was closed")
            for block in blocks:
                left = memoryview(block)
                while left:
                    left = left[self._file.write(left) :]
                self.checksums.append(zlib.crc32(block))
                self.size += len(block)
            self.modified = os.fstat(self._file.fileno()).st_mtime_ns

    def close(self) -> None:
        """Close the file, and remove it if no row names it."""
        with self._lock:
            if not self._file.closed:
                if not self.kept:
                    with suppress(OSError):
                        self._path.unlink()
                self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "kept"):
            self.close()


class StoredFile:
    """A file that is being read.

    :param checksums: of its blocks.
    :raises CorruptRecord: there is no such file, or it has another length.
    :raises OSError: it cannot be opened.
    """

    def __init__(self, path: Path, size: int, checksums: Sequence[int]) -> None:
        self._lock = threading.Lock()
        self._checksums = checksums
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise CorruptRecord("its file is gone") from None
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        about = os.fstat(descriptor)
        self.modified = about.st_mtime_ns
        """When it was last written; nanoseconds since 1970."""
        if about.st_size != size:
            self._file.close()
            raise CorruptRecord(f"its file has {about.st_size} bytes instead of {size}")

    def blocks(self, first: int, count: int) -> list[bytes]:
        """Read blocks.

        :raises CorruptRecord: one is not what was written.
        :raises OSError: they cannot be read.
        """
        with self._lock:
            if self._file.closed:
                raise OSError("it was closed")
            data = os.pread(self._file.fileno(), count * CHUNK, first * CHUNK)
        found = [data[place : place + CHUNK] for place in range(0, len(data), CHUNK)]
        expected = self._checksums[first : first + count]
        if [zlib.crc32(block) for block in found] != list(expected):
            raise CorruptRecord(f"its file is damaged near byte {first * CHUNK}")
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()


def has_size(path: Path, size: int) -> bool:
    """Return whether a file is there, and has so many bytes.

    :raises OSError: that cannot be found out.
    """
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def stored_names(folder: Path) -> Iterator[list[str]]:
    """Yield the names of all files of bodies, by folder."""
    for where, _, files in os.walk(folder):
        below = os.path.relpath(where, folder)
        names = [name if below == "." else f"{below}/{name}" for name in files]
        yield [name for name in names if is_filename(name)]


def remove_orphan(path: Path, is_kept: Callable[[], bool]) -> bool:
    """Remove a file that nobody writes and no row names; return whether it was one.

    :param is_kept: says whether a row names it; asked while the file is locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if not _locked(descriptor) or is_kept():
            return False
        with suppress(FileNotFoundError):
            path.unlink()
        return True
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
