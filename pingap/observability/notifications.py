"""Events that operators want to be told of."""

from __future__ import annotations

import logging

log = logging.getLogger("pingap")


def notify(kind: str, message: str, level: int = logging.WARNING) -> None:
    """Tell of an event; it goes to the log.

    :param kind: the category that operators choose events by: ``service_discover_fail``.
    """
    log.log(level, "%s: %s", kind, message)
