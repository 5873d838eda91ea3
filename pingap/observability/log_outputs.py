"""The outputs of logs: files, standard error, or outputs of distributions."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from pingap.host.log_targets import LogTarget, LogTargetError, link_to, open_log

PIPE_BUF: Final = 4096
"""A writable pipe, socket or terminal accepts this many bytes without waiting for its reader."""


class LogOutput(Protocol):
    """The destination of one log, in one process.

    It is created when a configuration is built, also by ``pingap -t`` and in the process that forks the
    workers: connect with the first ``write``, and start no thread before it. All methods are called in the
    thread of the event loop, under normal load at most four times a second: they must not block.
    """

    def write(self, lines: bytes) -> int | None:
        """Write whole lines, each of which ends with a newline.

        :returns: None if all were accepted; otherwise the number of accepted bytes, and the rest is offered
            again.
        :raises Exception: nothing was accepted: the lines wait, up to 16 MiB, and are offered again with the
            next ones. Raise ``BlockingIOError`` if writing would block.
        """

    def reopen(self) -> None:
        """Connect again with the next ``write``: log files were moved away, or the process was forked."""

    def flush(self) -> None:
        """Pass on written lines; called after each batch, and before a process ends."""

    def close(self) -> None:
        """Release all resources; written lines are flushed before."""


LogTargetFactory: TypeAlias = Callable[[str], LogOutput]
"""Makes the output of a log from the text after the colon; raises ``ValueError`` if that is invalid."""


class FileOutput:
    """A file that is rotated by date, or standard error.

    :param target: the target; None for standard error.
    :param opens: False only checks that it could be opened.
    :raises LogTargetError: it cannot be opened.
    """

    def __init__(self, target: LogTarget | None, *, opens: bool = True) -> None:
        self._target = target
        self._suffix = ""
        self._fd = -1 if target is not None else sys.stderr.fileno()
        self._room: select.poll | None = None
        if target is None:
            self._room = room_of(self._fd)
        elif not opens:
            target.check()
        else:
            try:
                self._roll(target)
            except OSError as error:
                reason = error.strerror or str(error)
                raise LogTargetError(f"cannot open {target.path}: {reason}") from None

    def write(self, lines: bytes | memoryview) -> int:
        """Write as much as can be written now.

        :returns: how many bytes were written.
        :raises OSError: nothing can be written.
        """
        if self._target is not None:
            self._roll(self._target)
        return os.write(self._fd, self._portion(lines))

    def _portion(self, data: bytes | memoryview) -> bytes | memoryview:
        """Return the part that can be written now without blocking.

        :raises BlockingIOError: nothing can be written.
        """
        if self._room is None:
            return data
        if not self._room.poll(0):
            raise BlockingIOError(errno.EAGAIN, "its reader does not read")
        return data[:PIPE_BUF]

    def flush(self) -> None:
        """Do nothing: the system has the data already."""

    def reopen(self) -> None:
        """Open the file by its name."""
        if self._target is not None:
            self._open_file(self._target, self._suffix)

    def close(self) -> None:
        """Close the file."""
        if self._target is not None and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1  # the number may soon be reused: a later write opens the file again

    def _roll(self, target: LogTarget) -> None:
        """Open the file of the current period, unless it is open."""
        suffix = time.strftime(target.suffix_format, time.gmtime())
        if self._fd < 0 or suffix != self._suffix:
            self._open_file(target, suffix)

    def _open_file(self, target: LogTarget, suffix: str) -> None:
        path = target.path.with_name(target.path.name + suffix)
        fd = open_log(path)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._suffix = fd, suffix
        self._room = room_of(fd)
        if suffix:
            link_to(target.path, path.name)


def room_of(fd: int) -> select.poll | None:
    """Return a poll object that shows whether a pipe, socket or terminal is writable; None for regular files."""
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return None
    except OSError:  # standard error is closed
        return None
    room = select.poll()
    room.register(fd, select.POLLOUT)
    return room
