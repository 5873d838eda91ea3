"""Unexpected exceptions, for plugins that collect them (``pingap_failure``)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request

_LOGGERS: Final = ("pingap", "asyncio")
COUNTED: Final = "pingap_counted"
"""Attribute of a log record: the failure has already been passed on."""
REQUEST: Final = "pingap_request"
"""Attribute of a log record: the request and its context."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An unexpected exception.

    :param error: the exception, with its traceback. It belongs to pingap: do not keep it longer than
        necessary, because its frames keep other objects alive.
    :param where: name of the plugin instance, or ``pingap.`` and a module of pingap.
    :param request: the request that was being handled, if known. It contains everything the client sent,
        including secrets.
    :param ctx: its context.
    """

    error: BaseException
    where: str
    request: Request | None = None
    ctx: RequestContext | None = None


Report = Callable[[Failure], None]

_threads: dict[DefectHandler, int] = {}
"""Handlers of all workers of this process -> their threads."""


class DefectHandler(logging.Handler):
    """Passes on exceptions that pingap logs with a traceback.

    :param report: called with each; never raises.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(logging.ERROR)
        self._report = report

    def attach(self) -> None:
        """Start, in the thread of the worker."""
        _threads[self] = threading.get_ident()
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self)

    def detach(self) -> None:
        """End."""
        _threads.pop(self, None)
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Exclude log records of plugins, and the threads of other workers."""
        if record.name not in _LOGGERS or hasattr(record, COUNTED) or not record.exc_info:
            return False
        others = {thread for handler, thread in _threads.items() if handler is not self}
        return record.thread not in others

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on."""
        if record.exc_info and (error := record.exc_info[1]) is not None:
            where = f"pingap.{record.module}" if record.name == "pingap" else record.name
            request, ctx = getattr(record, REQUEST, (None, None))
            self._report(Failure(error, where, request, ctx))
