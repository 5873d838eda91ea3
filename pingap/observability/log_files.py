"""Log files: rotated by date, written in batches, never while a request waits.

Lines wait in memory until the next flush; a worker that cannot keep up writes directly. If nothing can be
written (a full disk, a reader that does not read), the waiting lines are bounded: the oldest are dropped and
counted, and their number is logged.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import anyio

from pingap.host.log_targets import LogTarget, LogTargetError
from pingap.observability.log_outputs import PIPE_BUF, FileOutput, LogOutput, room_of

log = logging.getLogger("pingap")

FLUSH_SECONDS: Final = 0.25
_BATCH: Final = 1024
"""Lines that may wait; beyond that, they are written immediately."""
MOST_KEPT: Final = 16 * 1024 * 1024
"""Bytes kept while a file cannot be written; beyond that, the oldest lines are dropped."""


class LogFile:
    """A file to which lines are appended, or stderr.

    :param target: see :class:`LogTarget`; empty for stderr. A regular file gets a suffix with the UTC
            date (daily by default), and a link with the plain name points to it.
        :param opens: False only checks that it could be opened.
        :param output: of a distribution, for a target that is not a file.
    :raises LogTargetError: a target that is not supported, or cannot be opened.
    """

    def __init__(
        self, target: str = "", *, opens: bool = True, output: LogOutput | None = None
    ) -> None:
        self.lock: AbstractContextManager[object] = threading.RLock()
        """Held while lines are written, because several threads may log."""
        self._waiting: deque[str] = deque()
        self._kept: deque[memoryview] = deque()
        """Data that could not be written, the oldest first."""
        self._kept_bytes = 0
        self._is_within_line = False
        self._is_cut = False
        """The rest of a partly written line has been dropped."""
        self._failing = ""
        self.lost = 0
        """Lines dropped since the start."""
        self._untold = 0
        self._name = target or "standard error"
        self.is_application_log = False
        self._output: LogOutput
        if output is not None:
            self._output = output
            self._name = target.partition(":")[0]  # the rest may contain a password
            self._write: Callable[[memoryview], int | None] = lambda data: output.write(bytes(data))
        else:
            parsed = LogTarget.parse(target) if target else None
            self._name = str(parsed.path) if parsed is not None else self._name
            self._output = file = FileOutput(parsed, opens=opens)
            self._write = file.write

    def write(self, line: str) -> None:
        """Append a line, which ends with a newline."""
        waiting = self._waiting
        waiting.append(line)
        if len(waiting) > _BATCH:
            if self._failing:  # retried by the next flush
                with self.lock:
                    self._keep(self._taken())
            else:
                self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting or self._kept:
            with self.lock:
                self._flush()

    def _flush(self) -> None:
        self._keep(self._taken())
        if self._is_cut:
            self._is_cut = False
            self._kept.appendleft(memoryview(b"\n"))
            self._kept_bytes += 1
        try:
            while self._kept:
                self._write_next()
            self._output.flush()
        except Exception as error:
            self._on_failure(error)
        else:
            self._on_success()

    def _taken(self) -> bytes:
        waiting = self._waiting  # other threads may add lines in the meantime
        lines = [waiting.popleft() for _ in range(len(waiting))]
        return "".join(lines).encode("utf-8", "backslashreplace")

    def _keep(self, data: bytes) -> None:
        """Keep data to be written later; the oldest lines beyond the limit are dropped."""
        if not data:
            return
        self._kept.append(memoryview(data))
        self._kept_bytes += len(data)
        while self._kept_bytes > MOST_KEPT and len(self._kept) > 1:
            gone = self._kept.popleft()
            self._kept_bytes -= len(gone)
            self._lose(gone)
            self._is_cut = self._is_cut or self._is_within_line

    def _lose(self, data: memoryview) -> None:
        lines = bytes(data).count(b"\n")
        self._untold += lines
        self.lost += lines

    def _write_next(self) -> None:
        data = self._kept[0]
        written = _checked(self._write(data), len(data))
        self._is_within_line = bytes(data[written - 1 : written]) != b"\n"
        self._kept_bytes -= written
        if written == len(data):
            self._kept.popleft()
        else:
            self._kept[0] = data[written:]

    def _on_failure(self, error: Exception) -> None:
        reason = _reason(error)
        if reason != self._failing:
            self._failing = reason
            self._tell(
                f"cannot be written: {reason}; lines are buffered, and the oldest are dropped"
            )

    def _on_success(self) -> None:
        if self._failing:
            self._failing = ""
            self._tell_lost("can be written again; ")

    def _tell_lost(self, event: str) -> None:
        lost, self._untold = self._untold, 0
        self._tell(f"{event}lines lost: {lost}")

    def _tell(self, text: str) -> None:
        if not self.is_application_log or not self._failing:
            log.warning("log %s: %s", self._name, text)
            return
        room = room_of(2)
        if room is None or room.poll(0):
            with contextlib.suppress(OSError):
                os.write(2, f"pingap: warning: log {self._name}: {text}\n".encode()[:PIPE_BUF])

    def close(self) -> None:
        """Write waiting lines and close the file."""
        with self.lock:
            self._close()

    def _close(self) -> None:
        self.flush()
        if self._kept:
            self._kept, gone = deque(), self._kept
            self._kept_bytes = 0
            for data in gone:
                self._lose(data)
            self._tell_lost("is closed; ")
        try:
            self._output.close()
        except Exception as error:
            self._tell(f"cannot be closed: {_reason(error)}")

    def reopen(self) -> None:
        """Write waiting lines, and open the file again by its name."""
        with self.lock:
            self.flush()
            self._reopen()

    def forked(self) -> None:
        """Give a forked process its own connection, if this is not a file."""
        if not isinstance(self._output, FileOutput):
            with self.lock:
                self._reopen()

    def _reopen(self) -> None:
        try:
            self._output.reopen()
        except Exception as error:
            self._on_failure(error)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else ""
    return text or str(error) or type(error).__name__


def path_of(target: str) -> Path | None:
    """Return the path in a target; None for standard error and for other targets."""
    try:
        return LogTarget.parse(target).path if target else None
    except LogTargetError:
        return None


class LogFiles:
    """All log files of a worker, each target opened once.

    :param opens: False only checks that they could be opened, as ``pingap -t`` does.
    """

    def __init__(self, *, opens: bool = True) -> None:
        self._opens = opens
        self._files: dict[str, LogFile] = {}

    @property
    def targets(self) -> frozenset[str]:
        """The open targets."""
        return frozenset(self._files)

    def open(self, target: str, output: Callable[[], LogOutput] | None = None) -> LogFile:
        """Return the file of a target; see :class:`LogFile`.

        :param output: makes its output, if it is not a file.
        """
        if target not in self._files:
            made = None if output is None else output()
            self._files[target] = LogFile(target, opens=self._opens, output=made)
        return self._files[target]

    def forked(self) -> None:
        """Adjust to a fork of the process that opened the files."""
        for file in self._files.values():
            file.forked()

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await anyio.sleep(FLUSH_SECONDS)
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for file in list(self._files.values()):  # a reload may be opening another one
            file.flush()

    def reopen(self) -> None:
        """Reopen all files: they may have been moved away (logrotate)."""
        for file in list(self._files.values()):
            file.reopen()

    def close_others(self, used: Collection[str]) -> None:
        """Close the files of targets that are no longer used."""
        for target in self._files.keys() - set(used):
            self._files.pop(target).close()

    def close(self) -> None:
        """Write waiting lines and close all files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


class LogFileHandler(logging.Handler):
    """Sends records of the ``logging`` module to a log file."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file = file
        file.is_application_log = True
        assert self.lock is not None
        file.lock = self.lock  # one lock, always taken in one order; renewed after a fork

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; warnings and errors are flushed immediately."""
        self._file.write(self.format(record) + "\n")
        if record.levelno >= logging.WARNING:
            self._file.flush()


def _checked(taken: object, size: int) -> int:
    """Return how many bytes an output has accepted.

    :raises BlockingIOError: none; the next flush tries again.
    :raises TypeError: the result is not valid for ``LogOutput.write``.
    """
    if taken is None:
        return size
    if type(taken) is not int or not 0 <= taken <= size:
        raise TypeError(f"its write returned {taken!r:.40}, not a number of bytes up to {size}")
    if not taken:
        raise BlockingIOError(errno.EAGAIN, "it accepts no data")
    return taken
