"""The file with the process ID, for service managers, ``kill`` and ``logrotate``."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pingap.config.references import absolute_path

_FOLDERS: Final = ("/run", "/var/run")
_NAME: Final = "pingap.pid"
_MODE: Final = 0o644
_LONGEST: Final = 32


class PidFileError(Exception):
    """The file cannot be written; the message names it and gives the reason."""


def default_path(folders: Iterable[str] = _FOLDERS) -> Path:
    """Return the default path, without ``basic.pid_file``: the first that this process may write."""
    for folder in map(Path, folders):
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return folder / _NAME
    return Path("/tmp") / _NAME  # noqa: S108 - as in pingap; nothing that is there is trusted


class PidFile:
    """A file with the ID of this process.

    A previous file becomes ``<name>.old``, whether its process is alive or not. In a hot upgrade it is: the
    new process writes the file as its last step before the old one exits, and each removes only a file that
    contains its own ID.

    :param path: the path; empty for :func:`default_path`.
    """

    def __init__(self, path: str = "") -> None:
        self._path = absolute_path(path) if path else default_path()
        self._old = self._path.with_name(self._path.name + ".old")

    @property
    def path(self) -> Path:
        """The file's absolute path."""
        return self._path

    def write(self) -> None:
        """Write the file; it exists at all times, with the old ID or the new one.

        :raises PidFileError: it cannot be written, or the name is that of something else.
        """
        try:
            with suppress(FileNotFoundError):
                if not stat.S_ISREG(self._path.lstat().st_mode):
                    raise PidFileError(f"basic.pid_file: {self._path} is not a regular file")
                if _read(self._path) != os.getpid():
                    self._keep_old()
            self._replace()
        except OSError as error:
            why = error.strerror
            raise PidFileError(f"basic.pid_file: cannot write {self._path}: {why}") from None

    def remove(self) -> None:
        """Remove the file at the end, under its current name, if it contains our ID.

        A directory in which this process can no longer write is not treated as an error at this point.
        """
        with suppress(OSError):
            for path in (self._path, self._old):
                if _read(path) == os.getpid():
                    path.unlink()

    def _keep_old(self) -> None:
        """Give the existing file a second name, so that the first one is never missing."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.old")
        temporary.unlink(missing_ok=True)
        try:
            os.link(self._path, temporary, follow_symlinks=False)
        except OSError:  # a file system without hard links, or a file of another user
            self._path.replace(self._old)
        else:
            temporary.replace(self._old)

    def _replace(self) -> None:
        fd, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(fd, "w") as file:
                file.write(f"{os.getpid()}\n")
                os.fchmod(file.fileno(), _MODE)
            temporary.replace(self._path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _read(path: Path) -> int | None:
    """Return the process ID in a file, or ``None``. Does not block and follows no link."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        text = file.read(_LONGEST).strip()
    return int(text) if text.isdigit() else None
