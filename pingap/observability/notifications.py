"""Events that operators want to be told of. They go to the log; the one place that may send them on."""

from __future__ import annotations

import logging
from typing import Final, Literal

log = logging.getLogger("pingap")

Kind = Literal["backend_status", "upstream_status"]
Level = Literal["info", "warn", "error"]

# What is grave for a backend is not an error of ours.
_LOG_LEVELS: Final = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.WARNING}


def notify(kind: Kind, level: Level, title: str, message: str, detail: str = "") -> None:
    """Tell of an event (observability.md 7).

    :param kind: the category that operators choose events by.
    :param level: how grave it is.
    :param title: what kind of thing happened.
    :param message: what happened to whom.
    :param detail: why, for the log.
    """
    log.log(_LOG_LEVELS[level], "%s: %s%s", title, message, f": {detail}" if detail else "")
