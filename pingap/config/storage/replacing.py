"""Replaces files atomically: readers see the old text or the new one, even after a crash.

Each new text is written to a temporary file in the same directory, which is renamed over the old file
once all are written. Several files cannot be replaced atomically: if one fails, the previous ones are
restored, but a crash in between leaves some of them old.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from pingap.config.storage.errors import StorageError

log = logging.getLogger("pingap")

LOCK_SECONDS: Final = 5.0
"""How long a writer waits for another writer."""
_SUFFIX: Final = ".pingap-new"


def replace_files(texts: Mapping[Path, bytes | None], check: Callable[[], None]) -> None:
    """Replace, create or remove files.

    A file keeps its mode and its owner; a link is kept, and its target is replaced. New files are readable
    by their owner only, since they may contain secrets.

    :param texts: path -> new content; None: remove the file.
    :param check: called when everything is prepared; nothing is replaced if it raises.
    :raises StorageError: a file cannot be written; all files are unchanged.
    """
    with ExitStack() as stack:
        changes = [_Change(path, content) for path, content in texts.items()]
        for change in changes:
            stack.callback(change.discard)
            _or_fail(change.path, change.prepare)
        check()
        done: list[_Change] = []
        try:
            for change in changes:
                done.append(change)
                _or_fail(change.path, change.apply)
        except BaseException:
            for change in reversed(done):
                change.undo()
            raise


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Prevent other pingap processes from writing to a configuration.

    :raises StorageError: another process is writing for too long.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + LOCK_SECONDS
        while not _lock(fd):
            if time.monotonic() > end:
                raise StorageError(f"{directory} is being written by another process")
            time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: versions reveal conflicts
        return True
    return True


def _or_fail(path: Path, step: Callable[[], None]) -> None:
    try:
        step()
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from None


class _Change:
    """The replacement of one file.

    :param content: the new content; None: the file is removed.
    """

    def __init__(self, path: Path, content: bytes | None) -> None:
        self.path = path
        self._content = content
        self._target = path if content is None else Path(os.path.realpath(path))
        self._before: bytes | None = None
        self._link: Path | None = None
        self._stat: os.stat_result | None = None
        self._temporary: Path | None = None

    def prepare(self) -> None:
        """Write the new content to a temporary file."""
        with suppress(FileNotFoundError):
            self._stat = self._target.stat()
            self._before = self._target.read_bytes()
        if self._content is None:
            self._link = self.path.readlink() if self.path.is_symlink() else None
            if not os.access(self.path.parent, os.W_OK):
                raise PermissionError(0, "its directory may not be written")
            return
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()
        self._temporary = self._write(self._content)

    def apply(self) -> None:
        """Rename the temporary file over the old one."""
        if self._temporary is None:
            self.path.unlink()
        else:
            self._temporary.replace(self._target)
            self._temporary = None
        self._sync_directory()

    def undo(self) -> None:
        """Restore the previous content, if it was replaced."""
        try:
            if self._link is not None:
                if not self.path.is_symlink():
                    self.path.symlink_to(self._link)
            elif self._before is None:
                self._target.unlink(missing_ok=True)
            elif not self._is_as_before():
                self._write(self._before).replace(self._target)
            self._sync_directory()
        except OSError as error:
            log.error("%s cannot be restored: %s", self.path, error.strerror)  # noqa: TRY400

    def discard(self) -> None:
        """Remove temporary files that were not used."""
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def _is_as_before(self) -> bool:
        try:
            now = self._target.stat()
        except FileNotFoundError:
            return False
        return self._stat is not None and now.st_ino == self._stat.st_ino

    def _write(self, content: bytes) -> Path:
        """Return a new file with the mode and the owner of the old one, synced to disk."""
        fd, name = tempfile.mkstemp(_SUFFIX, self._prefix, self._target.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                if self._stat is not None:
                    self._take_over(fd, self._stat)
                file.flush()
                os.fsync(fd)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)

    def _take_over(self, fd: int, before: os.stat_result) -> None:
        now = os.fstat(fd)
        if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
            try:
                os.fchown(fd, before.st_uid, before.st_gid)
            except PermissionError:
                raise PermissionError(0, "its owner and group could not be kept") from None
        os.fchmod(fd, before.st_mode & 0o7777)

    @property
    def _prefix(self) -> str:
        return f".{self._target.name[:100]}."  # files that begin with a dot are not read

    def _remove_leftovers(self) -> None:
        """Remove the temporary files of a process that was killed."""
        for entry in os.scandir(self._target.parent):
            if entry.name.startswith(self._prefix) and entry.name.endswith(_SUFFIX):
                Path(entry.path).unlink(missing_ok=True)

    def _sync_directory(self) -> None:
        fd = os.open(self._target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # not supported by some file systems
                os.fsync(fd)
        finally:
            os.close(fd)
