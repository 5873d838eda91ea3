"""A response body that is sent from a file."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from pingap.http.errors import FileBodyError
from pingap.plugins.worker_threads import SharedLimiter, in_thread

PIECE: Final = 128 * 1024
"""Bytes of a file that are read at a time."""
FILE_THREADS: Final = 8
"""Threads of a worker that open and read files."""

_OPEN_FLAGS: Final = (
    os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
)  # O_NONBLOCK: do not wait for the writer of a FIFO
_NO_WAIT: Final = getattr(os, "RWF_NOWAIT", 0)

_SAMPLE: Final = 256
"""Bytes at the announced end of a file that show whether it was overwritten by a longer one, or only grew."""

_threads: Final = SharedLimiter("file_threads", FILE_THREADS)


class FileBody:
    """The content of a regular file, or a part of it, as the body of a response.

    It is read in pieces, as fast as the client takes them. Waiting for a disk does not block the event loop.
    If the file turns out to be shorter than before, or overwritten, the response is cut off.

    A path is opened when the body is sent, so not for HEAD, and a response with it can be sent many times. A
    descriptor belongs to the body from here on: it is closed when the response has been sent or cannot be
    sent, or when the body is no longer used.

    Creating one makes a system call to the file system (``stat``). If that may take long, as on a network
    file system, do it in a thread: ``await anyio.to_thread.run_sync(FileBody, path)``.

    :param file: the path of the file, or a descriptor that is open for reading.
    :param start: the first byte that is sent.
    :param length: bytes that are sent; None for all up to the end of the file.
    :param name: what logs call a descriptor.
    :raises OSError: the file does not exist or is not accessible.
    :raises ValueError: it is not a regular file, or has fewer bytes. A descriptor is then closed.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | int,
        start: int = 0,
        length: int | None = None,
        *,
        name: str = "",
    ) -> None:
        self._path = "" if isinstance(file, int) else os.fspath(file)
        self.stat = os.stat(file)  # noqa: PTH116  (``Path`` takes no descriptor)
        """The file's metadata: its full size, the time of its last change."""
        self._open = (
            OpenFile(file, name or f"file {file}", self.stat) if isinstance(file, int) else None
        )
        size = self.stat.st_size
        self.start = start
        """The first byte that is sent."""
        self.content_length = size - start if length is None else length
        """Bytes that are sent."""
        problem = ""
        if not stat.S_ISREG(self.stat.st_mode):
            problem = f"{file} is not a regular file"
        elif not 0 <= start <= start + self.content_length <= size:
            problem = f"{file} has {size} bytes, not {self.content_length} from {start} on"
        if problem:
            self.close()
            raise ValueError(problem)

    def close(self) -> None:
        """Close the given descriptor if it is not in use; the body can no longer be sent."""
        if self._open is not None:
            self._open.close()

    async def open(self) -> OpenFile:
        """Return the file, open for reading. The caller must close it.

        :raises FileBodyError: it cannot be opened, or was replaced.
        """
        if self._open is not None:
            return self._open
        opening = _Opening(self._open_path)
        try:
            return await in_thread(_threads.get(), opening.run)
        except BaseException:
            opening.leave()
            raise

    def _open_path(self) -> OpenFile:
        try:
            descriptor = os.open(self._path, _OPEN_FLAGS)
        except OSError as error:
            raise FileBodyError(f"cannot open {self._path}: {error.strerror}") from None
        if _identity(os.fstat(descriptor)) != _identity(self.stat):
            os.close(descriptor)
            raise FileBodyError(f"{self._path} was replaced before it was sent")
        return OpenFile(descriptor, self._path, self.stat)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces of the body, for users other than the proxy, which reads ahead.

        :raises FileBodyError: the file cannot be read to the end of the body.
        """
        file = await self.open()
        try:
            place, left = self.start, self.content_length
            while left:
                piece = await file.read(place, min(left, PIECE))
                place, left = place + len(piece), left - len(piece)
                yield piece
        finally:
            file.close()


class OpenFile:
    """A descriptor that is closed exactly once, and never while a thread reads from it.

    Otherwise its number could already belong to another file.

    :param name: for errors.
    :param expected: the metadata of the content that was announced.
    """

    def __init__(self, descriptor: int, name: str, expected: os.stat_result) -> None:
        self._descriptor = descriptor
        self._name = name
        self._size = expected.st_size
        self._modified = expected.st_mtime_ns
        self._lock = threading.Lock()
        self._readers = 0
        self._over = False
        self._end: bytes | None = None  # read with the first piece
        self._cached = _NO_WAIT != 0  # the system can report whether bytes are cached

    def read_cached(self, place: int, size: int) -> bytes | None:
        """Return up to ``size`` bytes that are cached; None if reading would block.

        :raises FileBodyError: the file is shorter than before, or was overwritten.
        """
        if not self._cached or self._over:
            return None
        buffer = bytearray(size)
        try:
            count = os.preadv(self._descriptor, [buffer], place, _NO_WAIT)
        except BlockingIOError:
            return None
        except OSError:  # not on every file system
            self._cached = False
            return None
        if not count:
            raise self._shrunk(place)
        try:
            self._check(_NO_WAIT)
        except BlockingIOError:
            return None
        return bytes(buffer[:count]) if count < size else bytes(buffer)

    async def read(self, place: int, size: int) -> bytes:
        """Read bytes in a thread: ``size``, unless the file ends before.

        :raises FileBodyError: they cannot be read.
        """
        return await in_thread(_threads.get(), partial(self._read, place, size))

    def close(self) -> None:
        """Close the descriptor: now, or when no thread reads from it any longer."""
        with self._lock:
            closes = not (self._over or self._readers)
            self._over = True
        if closes:
            os.close(self._descriptor)

    __del__ = close

    def _read(self, place: int, size: int) -> bytes:
        with self._lock:
            if self._over:
                raise FileBodyError(f"{self._name} was closed before it was read")
            self._readers += 1
        try:
            piece = os.pread(self._descriptor, size, place)
            if piece:
                self._check(0)
        except OSError as error:
            raise FileBodyError(f"cannot read {self._name}: {error.strerror}") from None
        finally:
            with self._lock:
                self._readers -= 1
                closes = self._over and not self._readers
            if closes:
                os.close(self._descriptor)
        if not piece:
            raise self._shrunk(place)
        return piece

    def _check(self, flags: int) -> None:
        """Check that what was read is what was announced.

        A file that grows is not an error: what is sent is its old content. But its old end must still be there:
        otherwise, it was overwritten by a longer one.

        :param flags: of reading the end.
        :raises FileBodyError: the file is shorter, or was overwritten.
        :raises OSError: its end cannot be read; with ``RWF_NOWAIT``, ``BlockingIOError``.
        """
        if self._end is None:
            self._end = self._read_end(flags)
        found = os.fstat(self._descriptor)
        if found.st_size < self._size:
            raise self._shrunk(found.st_size)
        if found.st_mtime_ns != self._modified:
            if found.st_size == self._size or self._read_end(flags) != self._end:
                raise FileBodyError(f"{self._name} was overwritten while it was sent")
            self._modified = found.st_mtime_ns

    def _read_end(self, flags: int) -> bytes:
        """Return the last bytes of the announced content.

        :raises OSError: they cannot be read.
        """
        start = max(0, self._size - _SAMPLE)
        if not flags:
            return os.pread(self._descriptor, self._size - start, start)
        buffer = bytearray(self._size - start)
        count = os.preadv(self._descriptor, [buffer], start, flags)
        return bytes(buffer[:count])

    def _shrunk(self, place: int) -> FileBodyError:
        return FileBodyError(f"{self._name} shrank to {place} bytes or less while it was sent")


class _Opening:
    """Opens a file in a thread, for a caller that may have been cancelled meanwhile.

    Each of the two sets its own mark first and then checks the other's, so at least one of them
    closes the file; closing it twice does no harm.
    """

    def __init__(self, open_file: Callable[[], OpenFile]) -> None:
        self._open_file = open_file
        self._file: OpenFile | None = None
        self._is_left = False

    def run(self) -> OpenFile:
        """Open the file: the thread."""
        file = self._file = self._open_file()
        if self._is_left:
            file.close()
        return file

    def leave(self) -> None:
        """Record that the caller no longer waits for the file."""
        self._is_left = True
        if self._file is not None:
            self._file.close()


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    """Return the values that identify a file; the inode number alone may have been reused."""
    return found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode)
