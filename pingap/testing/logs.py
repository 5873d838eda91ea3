"""The logs of a proxy under test, kept in memory."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pingap.config import BasicConfig
from pingap.observability.log_files import LogFile, LogFiles
from pingap.observability.log_outputs import LogOutput
from pingap.observability.logs import JsonFormatter, TextFormatter, parse_level
from pingap.testing.stream import LIMIT

_logger: Final = logging.getLogger("pingap")
_attached: Final[dict[Recorder, int]] = {}
"""Recorders of running proxies -> the thread of each."""
_level_before = logging.NOTSET


class UnexpectedError(AssertionError):
    """A proxy logged an error that the test did not expect; its cause is the original exception."""


@dataclass(frozen=True)
class LoggedError:
    """An error of the application log.

    :param text: its lines, with the traceback.
    :param error: the exception, if one was logged with it.
    """

    text: str
    error: BaseException | None


class Recorder(logging.Handler):
    """Keeps what one proxy writes to its application log and its access logs.

    ``logging`` is shared by the whole process: records from the thread of another proxy are ignored, all
    others are kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        """The application log, including access logs that go there."""
        self.access: list[str] = []
        """The lines of all access logs."""
        self.errors: list[LoggedError] = []
        """Errors that no test expected."""
        self.files = _Files(self)
        self._changed = threading.Condition()

    def attach(self, basic: BasicConfig, thread: int) -> None:
        """Start listening.

        :param thread: of the proxy.
        """
        global _level_before
        self.setFormatter(JsonFormatter() if basic.log_format_json else TextFormatter())
        self.setLevel(parse_level(basic.log_level or os.environ.get("RUST_LOG", "")))
        if not _attached:
            _level_before = _logger.level
        _attached[self] = thread
        _logger.addHandler(self)
        _logger.setLevel(min(one.level for one in _attached))

    def detach(self) -> None:
        """Listen no longer."""
        if _attached.pop(self, None) is not None:
            _logger.removeHandler(self)
            _logger.setLevel(min((one.level for one in _attached), default=_level_before))

    def filter(self, record: logging.LogRecord) -> bool:
        """Exclude records from the threads of other proxies."""
        threads = {thread for recorder, thread in _attached.items() if recorder is not self}
        return record.thread not in threads and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        text = self.format(record)
        with self._changed:
            self.lines.append(text)
            if record.levelno >= logging.ERROR:
                error = record.exc_info[1] if record.exc_info else None
                self.errors.append(LoggedError(text, error))
            self._changed.notify_all()

    def emit_access(self, line: str, *, shared: bool) -> None:
        """Keep a line of an access log.

        :param shared: whether it is part of the application log, after a time and a level.
        """
        line = line.removesuffix("\n")
        with self._changed:
            if shared:
                self.lines.append(line)
            self.access.append(line.split(" ", 2)[2] if shared else line)
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """The application log."""
        return "".join(f"{line}\n" for line in self.lines)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Return once a condition holds; it is checked after each line.

        :raises AssertionError: it does not hold in time; the message has the condition and the log.
        """
        with self._changed:
            if not self._changed.wait_for(condition, LIMIT):
                raise AssertionError(f"{what}; the log:\n{self.text or '(empty)'}")

    def expect_error(self, text: str) -> LoggedError:
        """Wait for an error that contains a text, and mark it as expected."""

        def found() -> LoggedError | None:
            return next((error for error in self.errors if text in error.text), None)

        self.wait(found, f"there is no error with {text!r} in the log")
        error = found()
        assert error is not None
        self.errors.remove(error)
        return error

    def check(self) -> None:
        """Raise an unexpected error from the log."""
        if self.errors:
            first, *more = self.errors
            also = f"\n(and {len(more)} more)" if more else ""
            text = first.text if first.error is None else first.text.partition("\n")[0]
            raise UnexpectedError(f"the proxy logged an error: {text}{also}") from first.error


class _Files(LogFiles):
    """The log files of one proxy: recorded, and written only if they have a name."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._opened: dict[str, LogFile] = {}

    def open(self, target: str, output: Callable[[], LogOutput] | None = None) -> LogFile:
        if target not in self._opened:
            made = None if output is None else output()
            named = _NamedFile(target, self._recorder, made) if target else None
            self._opened[target] = named or _ApplicationLog(self._recorder)
        return self._opened[target]

    def close(self) -> None:
        for file in self._opened.values():
            file.close()
        self._opened.clear()


class _ApplicationLog(LogFile):
    """Receives everything that would go to stderr: access logs without a file."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def write(self, line: str) -> None:
        self._recorder.emit_access(line, shared=True)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class _NamedFile(LogFile):
    """A file that is written, and its lines recorded."""

    def __init__(self, target: str, recorder: Recorder, output: LogOutput | None) -> None:
        super().__init__(target, output=output)
        self._recorder = recorder

    def write(self, line: str) -> None:
        super().write(line)
        self._recorder.emit_access(line, shared=False)
