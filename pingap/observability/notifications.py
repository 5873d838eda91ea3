"""Events that operators want to be told of. They go to the log; here is where to send them on."""

from __future__ import annotations

import logging
from typing import Final, Literal

log = logging.getLogger("pingap")

Level = Literal["info", "warn", "error"]

INFO: Final[Level] = "info"
ERROR: Final[Level] = "error"

# What is grave for a backend is not an error of ours.
_LOG_LEVELS: Final = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.WARNING}


def notify(kind: str, message: str, level: Level = "warn", detail: str = "") -> None:
    """Tell of an event.

    :param kind: the category that operators choose events by: ``backend_status``.
    :param message: what happened to whom.
    :param level: how grave it is.
    :param detail: why, for the log.
    """
    log.log(_LOG_LEVELS[level], "%s: %s%s", kind, message, f": {detail}" if detail else "")
