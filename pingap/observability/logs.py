"""The application log: the destination and format of records of the ``logging`` module."""

from __future__ import annotations

import json
import logging
import os
from typing import Final

from pingap.observability.log_files import LogFile, LogFileHandler
from pingap.observability.timestamps import local_time

_LOGGERS: Final = ("pingap", "asyncio")
"""Loggers that write to the application log; the event loop logs exceptions that were not caught."""
_LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}


class TextFormatter(logging.Formatter):
    """``<time> <LEVEL> <message>``, the format of pingap 0.13.9."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(word)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line of a record, without its traceback."""
        record.word = _word(record)
        return super().formatMessage(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the current time: records are formatted when they are made."""
        return local_time()


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``timestamp``, ``level`` and ``fields`` with ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        fields = {"message": record.getMessage()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json_line(_word(record), fields)


def _word(record: logging.LogRecord) -> str:
    """Return the level of a record in the spelling of pingap 0.13.9."""
    return "WARN" if record.levelno == logging.WARNING else record.levelname


def json_line(level: str, fields: dict[str, str]) -> str:
    """Return a line of the application log in JSON, with the current time."""
    return json.dumps({"timestamp": local_time(), "level": level, "fields": fields})


def parse_level(directives: str) -> int:
    """Return the level of filter directives such as ``info,pingap::proxy=debug``.

    Only a level without a target applies; directives for parts of the Rust program have no effect here.
    """
    words = [word.strip().lower() for word in directives.split(",")]
    bare = [word for word in words if word in _LEVELS]
    return _LEVELS[bare[-1]] if bare else logging.INFO


def set_up_logging(file: LogFile, level: str, *, as_json: bool) -> None:
    """Send the application log to a file.

    :param level: ``basic.log_level``; empty for ``RUST_LOG``, else INFO.
    """
    handler = LogFileHandler(file)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    set_log_level(level)


def set_log_level(level: str) -> None:
    """Set the level of the application log.

    :param level: ``basic.log_level``; empty for ``RUST_LOG``, else INFO.
    """
    logging.getLogger("pingap").setLevel(parse_level(level or os.environ.get("RUST_LOG", "")))
