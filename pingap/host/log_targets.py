"""What a log is written to: ``path[?rolling=daily|hourly|minutely|never]``, and how that is opened.

A name that is no regular file (a device, a FIFO, a link that is not ours) is opened as what it is:
it is neither rolled by date nor replaced.
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
    """A log cannot be written there; the message names the path and says why."""


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where a log goes.

    :param path: absolute.
    :param suffix_format: of the file's name, for ``strftime``; empty: no rolling.
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
            parameters.pop(unused, None)  # of pingap's writer; ours drops no lines
        if parameters:
            raise LogTargetError(f"unknown parameter {next(iter(parameters))} of the log file")
        path = absolute_path(name)
        if _exists(path) and path.is_dir():
            path = path / "pingap.log"
        return cls(path, "" if is_special(path) else _SUFFIXES[rolling])

    def check(self) -> None:
        """Find out what ``open_log`` would find, and change nothing.

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
            text = f"this user may not make files in {folder}"
            raise LogTargetError(f"cannot open {self.path}: {text}")


def _exists(path: Path) -> bool:
    """Return whether there is such a file.

    :raises LogTargetError: there can be none (a loop of links, a name that is too long).
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
    """Tell whether something has this name that must be opened as what it is."""
    if stream_of(path) is not None:
        return True
    try:
        if path.is_symlink():
            return not is_our_link(path)
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def is_our_link(path: Path) -> bool:
    """Tell whether it leads to a rolled file beside it, as those do that we make."""
    target = str(path.readlink())
    return "/" not in target and target.startswith(f"{path.name}.")


def stream_of(path: Path) -> int | None:
    """Return the number of a file that is open in this process already, if the path means that."""
    name = str(path)
    if name in _STREAMS:
        return _STREAMS[name]
    found = _NUMBERED.fullmatch(name)
    return int(found[1]) if found else None


def open_log(path: Path) -> int:
    """Open a file to append to, and the folders above it; neither waits for a reader of a FIFO.

    :raises LogTargetError: ``path`` means an open file, and there is none.
    :raises OSError: it cannot be opened.
    """
    if (fd := stream_of(path)) is not None:
        # A copy: to open it again is not possible for a socket, or after a change of the user.
        _check_stream(fd, path)
        return os.dup(fd)
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_fifo():
        return open_trusted(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
    return open_trusted(path, _APPEND | os.O_NONBLOCK, _MODE)


def _check_stream(fd: int, path: Path) -> None:
    """Take only files that were passed to this process: ours have numbers of the same kind.

    :raises LogTargetError: there is none.
    """
    try:
        passed = fd <= 2 or os.get_inheritable(fd)
    except OSError:
        passed = False
    if not passed:
        raise LogTargetError(f"cannot open {path}: no such file was passed to this process")


def link_to(path: Path, name: str) -> None:
    """Let the plain name lead to the current file, unless something else has that name."""
    if path.is_symlink():
        if not is_our_link(path):
            return
    elif path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    temporary.replace(path)
