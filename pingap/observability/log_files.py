"""Log files: rolled by date, written in batches, never on the way of a request.

Nothing is dropped: lines wait in memory until the next flush, and a worker that cannot keep up
writes in line.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import anyio

FLUSH_SECONDS: Final = 0.25
_BATCH: Final = 1024
"""Lines that may wait; more are written at once."""
_MOST_KEPT: Final = 16 * 1024 * 1024
"""Characters kept while a file cannot be written; older ones are lost then."""

_SUFFIXES: Final = {
    "daily": ".%Y-%m-%d",
    "hourly": ".%Y-%m-%d-%H",
    "minutely": ".%Y-%m-%d-%H-%M",
    "never": "",
}


class LogFile:
    """A file that lines are appended to, or stderr.

    :param target: ``path[?rolling=daily|hourly|minutely|never]``; empty for stderr. The file gets a
        suffix with the UTC date (daily by default), and a link with the plain name points to it.
    :raises ValueError: a target that is not supported.
    :raises OSError: the file cannot be opened.
    """

    def __init__(self, target: str = "") -> None:
        self._waiting: list[str] = []
        self._failing = False
        self._suffix = ""
        self._path: Path | None = None
        self._fd = sys.stderr.fileno() if not target else -1
        if target:
            self._path, self._suffix_format = _parse_target(target)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._roll()

    def write(self, line: str) -> None:
        """Append a line, which ends with a newline."""
        waiting = self._waiting
        waiting.append(line)
        if len(waiting) > _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        data = "".join(waiting).encode("utf-8", "backslashreplace")
        try:
            if self._path is not None:
                self._roll()
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self._keep(data.decode("utf-8", "backslashreplace"), error)
        else:
            self._failing = False

    def _keep(self, text: str, error: OSError) -> None:
        """Keep what could not be written for the next flush; the disk may have room again."""
        if not self._failing:
            self._failing = True
            with contextlib.suppress(OSError):
                os.write(2, f"pingap: log {self._path}: {error.strerror}\n".encode())
        self._waiting = [text[-_MOST_KEPT:]]

    def close(self) -> None:
        """Write what waits and close the file."""
        self.flush()
        if self._path is not None and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1  # the number is somebody else's soon: who writes later opens the file

    def reopen(self) -> None:
        """Write what waits, and open the file again by its name."""
        self.flush()
        if self._path is not None:
            try:
                self._open_file(self._suffix)
            except OSError as error:
                self._keep("", error)

    def _roll(self) -> None:
        """Open the file of this period, unless it is open."""
        suffix = time.strftime(self._suffix_format, time.gmtime())
        if self._fd < 0 or suffix != self._suffix:
            self._open_file(suffix)

    def _open_file(self, suffix: str) -> None:
        assert self._path is not None
        path = self._path.with_name(self._path.name + suffix)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._suffix = fd, suffix
        if suffix:
            _link(self._path, path.name)


def _parse_target(target: str) -> tuple[Path, str]:
    if target.startswith("syslog:"):
        raise ValueError("logging to syslog is not supported yet")
    name, _, query = target.partition("?")
    parameters = parse_qs(query)
    rolling = parameters.pop("rolling", ["daily"])[-1]
    if rolling not in _SUFFIXES:
        raise ValueError(f"rolling={rolling}: expected one of {', '.join(_SUFFIXES)}")
    for unused in ("channel_buffer", "flush_timeout"):
        parameters.pop(unused, None)  # of pingap's writer; ours drops no lines
    if parameters:
        raise ValueError(f"unknown parameter {next(iter(parameters))} of the log file")
    path = Path(name).expanduser().absolute()
    if path.is_dir():
        path = path / "pingap.log"
    return path, _SUFFIXES[rolling]


def path_of(target: str) -> Path | None:
    """Return the path in a target; None for standard error, and for what is no target."""
    try:
        return _parse_target(target)[0] if target else None
    except ValueError:
        return None


def _link(link: Path, target: str) -> None:
    """Let the plain name point to the current file, unless something else has that name."""
    if link.exists() and not link.is_symlink():
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


class LogFiles:
    """All log files of a worker, each target opened once."""

    def __init__(self) -> None:
        self._files: dict[str, LogFile] = {}

    def open(self, target: str) -> LogFile:
        """Return the file of a target; see :class:`LogFile`."""
        if target not in self._files:
            self._files[target] = LogFile(target)
        return self._files[target]

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await anyio.sleep(FLUSH_SECONDS)
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for file in list(self._files.values()):  # (a reload may be opening another one)
            file.flush()

    def reopen(self) -> None:
        """Open all files anew: they may have been moved away (logrotate)."""
        for file in list(self._files.values()):
            file.reopen()

    def close_others(self, used: Collection[str]) -> None:
        """Close the files of targets that are not used any more."""
        for target in self._files.keys() - set(used):
            self._files.pop(target).close()

    def close(self) -> None:
        """Write what waits and close all files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


class LogFileHandler(logging.Handler):
    """Sends records of the ``logging`` module to a log file."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; warnings and errors are written at once."""
        self._file.write(self.format(record) + "\n")
        if record.levelno >= logging.WARNING:
            self._file.flush()
