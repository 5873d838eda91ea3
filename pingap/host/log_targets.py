"""Log targets: ``path[?rolling=daily|hourly|minutely|never]``, and how they are opened.

A name that is not a regular file (a device, a FIFO, a link that we did not make) is opened directly: it is
neither rotated by date nor replaced.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from pingap.config.problem import quoted
from pingap.config.references import absolute_path
from pingap.host.trusted_files import open_trusted

_SUFFIXES: Final = {
    "daily": ".%Y-%m-%d",
    "hourly": ".%Y-%m-%d-%H",
    "minutely": ".%Y-%m-%d-%H-%M",
    "never": "",
}
_STREAMS: Final = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_NUMBERED: Final = re.compile(r"/(?:dev/fd|proc/self/fd)/(\d{1,9})")
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MODE: Final = 0o640


class LogTargetError(ValueError):
    """A log cannot be written there; the message names the path and gives the reason."""


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where a log goes.

    :param path: absolute.
    :param suffix_format: of the file's name, for ``strftime``; empty: no rotation.
    """

    path: Path
    suffix_format: str

    @classmethod
    def parse(cls, text: str) -> LogTarget:
        """Read a target.

        :raises LogTargetError: it is not supported.
        """
        if text.startswith("syslog:"):
            raise LogTargetError("logging to syslog is not supported yet")
        name, _, query = text.partition("?")
        parameters = parse_qs(query)
        rolling = parameters.pop("rolling", ["daily"])[-1]
        if rolling not in _SUFFIXES:
            raise LogTargetError(f"rolling={rolling}: expected one of {', '.join(_SUFFIXES)}")
        for unused in ("channel_buffer", "flush_timeout"):
            parameters.pop(unused, None)  # concerns pingap 0.13.9's writer; ours drops no lines
        if parameters:
            raise LogTargetError(f"unknown parameter {next(iter(parameters))} of the log file")
        path = absolute_path(name)
        if _exists(path) and path.is_dir():
            path = path / "pingap.log"
        return cls(path, "" if is_special(path) else _SUFFIXES[rolling])

    def check(self) -> None:
        """Check for errors that ``open_log`` would raise, without changing anything.

        :raises LogTargetError: it could not be opened.
        """
        if (fd := stream_of(self.path)) is not None:
            _check_stream(fd, self.path)
            return
        if _exists(self.path) and not self.suffix_format:
            if not os.access(self.path, os.W_OK, effective_ids=True):
                raise LogTargetError(f"cannot write {self.path}: {os.strerror(errno.EACCES)}")
            return
        folder = next(one for one in self.path.parents if one.exists())
        if not folder.is_dir():
            raise LogTargetError(f"cannot open {self.path}: {folder} is not a directory")
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            text = f"this user may not create files in {folder}"
            raise LogTargetError(f"cannot open {self.path}: {text}")


def _exists(path: Path) -> bool:
    """Return whether the file exists.

    :raises LogTargetError: it cannot exist (a loop of links, a name that is too long).
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    except ValueError:
        raise LogTargetError(f"cannot open {quoted(str(path))}: there is a NUL in it") from None
    except OSError as error:
        raise LogTargetError(f"cannot open {path}: {error.strerror}") from None
    return True


def is_special(path: Path) -> bool:
    """Return whether the name belongs to something that must be opened directly."""
    if stream_of(path) is not None:
        return True
    try:
        if path.is_symlink():
            return not is_our_link(path)
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def is_our_link(path: Path) -> bool:
    """Return whether it is one of our own links, which lead to a rotated file beside it."""
    target = str(path.readlink())
    return "/" not in target and target.startswith(f"{path.name}.")


def stream_of(path: Path) -> int | None:
    """Return the number of a file that is already open in this process, if the path refers to one."""
    name = str(path)
    if name in _STREAMS:
        return _STREAMS[name]
    found = _NUMBERED.fullmatch(name)
    return int(found[1]) if found else None


def open_log(path: Path) -> int:
    """Open a file for appending, and create its directories; does not wait for a reader of a FIFO.

    :raises LogTargetError: ``path`` refers to an open file, and there is none.
    :raises OSError: it cannot be opened.
    """
    if (fd := stream_of(path)) is not None:
        # A copy: a socket cannot be opened again, nor can other files after a change of the user.
        _check_stream(fd, path)
        return os.dup(fd)
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_fifo():
        return open_trusted(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
    return open_trusted(path, _APPEND | os.O_NONBLOCK, _MODE)


def _check_stream(fd: int, path: Path) -> None:
    """Accept only files that were passed to this process: our own files have similar numbers.

    :raises LogTargetError: there is none.
    """
    try:
        passed = fd <= 2 or os.get_inheritable(fd)
    except OSError:
        passed = False
    if not passed:
        raise LogTargetError(f"cannot open {path}: no such file was passed to this process")


def link_to(path: Path, name: str) -> None:
    """Make the plain name a link to the current file, unless the name is used otherwise."""
    if path.is_symlink():
        if not is_our_link(path):
            return
    elif path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    temporary.replace(path)
